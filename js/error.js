// The one class of errors. Rust makes most of them through `makeError`; the texts come from the one table, which
// index.js hands in, so that they are not shipped twice.

let table = {};

/** Hands in the table of codes, causes and remedies. */
export function describe(errors) {
  table = errors;
}

export class PeerloomError extends Error {
  constructor(code, detail = "", { retryAfter, cause, peers } = {}) {
    const entry = table[code];
    const what = entry ? entry.cause : code;
    super(detail ? `${what.replace(/\.$/, "")}: ${detail}` : what, cause === undefined ? undefined : { cause });
    this.name = "PeerloomError";
    this.code = code;
    this.detail = detail;
    this.remedy = entry ? entry.remedy : "";
    if (retryAfter !== undefined) this.retryAfter = retryAfter;
    if (peers?.length > 0) this.peers = peers;
  }
}

/** For Rust. */
export function makeError(code, detail, retryAfter, cause, peers) {
  return new PeerloomError(code, detail, { retryAfter, cause, peers });
}
