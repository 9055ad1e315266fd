// What index.js hands in: the one class of errors, and the machines of the wasm. Imported here they would be others.

export const kit = {};

/** An error of the library's; `peers` are ids. */
export function failure(code, detail = "", options = {}) {
  return new kit.PeerloomError(code, detail, options);
}
