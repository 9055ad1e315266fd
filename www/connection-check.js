// The connection check: what the SDK's `diagnose` finds, as a list that fills while it runs. Its dialog can be opened
// from wherever the state of the connection is shown, and begins at once.
// @ts-check

import { dialog } from "./dialogs.js";
import { h, icon, need } from "./dom.js";
import { copied } from "./share.js";

/** @typedef {import("../js/index.js").Diagnosis} Diagnosis */
/** @typedef {import("../js/index.js").DiagnosisCheck} Check */
/** @typedef {import("../js/index.js").DiagnosisName} Name */
/** @typedef {import("../js/index.js").DiagnoseOptions} Options */

/** In the order of the list, from what everything needs to what only calls need. @type {Record<Name, string>} */
const LABELS = {
  webSocket: "Way to the server",
  signalling: "Session with the server",
  dataChannel: "Direct links in this browser",
  hostCandidates: "Addresses of this device",
  reflexiveCandidates: "Public address",
  stun: "STUN servers",
  turnUdp: "TURN relay over UDP",
  turnTcp: "TURN relay over TCP or TLS",
  camera: "Camera",
  microphone: "Microphone",
};
const NAMES = /** @type {Name[]} */ (Object.keys(LABELS));

/** The state is always a word and a sign, never a colour alone. */
const SIGNS = {
  waiting: { sign: "clock", word: "Checking" },
  passed: { sign: "check", word: "Passed" },
  failed: { sign: "warning", word: "Failed" },
  skipped: { sign: "minus", word: "Skipped" },
};

export class ConnectionCheck {
  /** @param {(options: Options) => Promise<Diagnosis>} diagnose */
  constructor(diagnose) {
    this.diagnose = diagnose;
    this.dialog = dialog("check");
    this.result = need("check-result", HTMLElement);
    this.progress = need("check-progress", HTMLProgressElement);
    this.list = need("check-list", HTMLElement);
    this.media = need("check-media", HTMLInputElement);
    this.again = need("check-again", HTMLButtonElement);
    this.copy = need("check-copy", HTMLButtonElement);
    this.report = need("check-report", HTMLTextAreaElement);
    this.abort = new AbortController();
    /** @type {Map<Name, HTMLElement>} */
    this.rows = new Map();
    this.back = 0;
    this.dialog.addEventListener("close", () => this.abort.abort());
    this.again.addEventListener("click", () => void this.run());
    this.media.addEventListener("change", () => this.media.checked && void this.run());
    this.copy.addEventListener("click", () => void this.copyReport());
  }

  open() {
    if (this.dialog.open) return;
    this.media.checked = false; // or the browser would ask without having been asked to
    this.dialog.showModal();
    void this.run();
  }

  async run() {
    this.abort.abort();
    const abort = (this.abort = new AbortController());
    this.begin();
    try {
      const report = await this.diagnose({
        media: this.media.checked,
        signal: abort.signal,
        onProgress: (check) => abort === this.abort && this.show(check),
      });
      if (abort === this.abort) this.end(report.ok, report.summary, report.text);
    } catch (error) {
      if (abort !== this.abort || abort.signal.aborted) return;
      for (const row of this.rows.values()) if (row.dataset.status === "waiting") row.remove();
      const text = error instanceof Error ? error.message : String(error);
      this.end(false, `The check could not be made. ${text}`, text);
    }
  }

  begin() {
    this.dialog.dataset.state = "running";
    this.result.textContent = "Checking the connection…";
    this.progress.max = NAMES.length;
    this.progress.value = 0;
    this.copy.disabled = true;
    this.report.hidden = true;
    this.rows = new Map(NAMES.map((name) => [name, row(name, "waiting")]));
    this.list.replaceChildren(...this.rows.values());
  }

  /** @param {Check} check */
  show({ name, status, cause, remedy, detail, milliseconds }) {
    const done = row(name, status, cause, remedy, `${milliseconds} ms${detail === "" ? "" : ` · ${detail}`}`);
    this.rows.get(name)?.replaceWith(done);
    this.rows.set(name, done);
    this.progress.value += 1;
  }

  /** @param {boolean} ok @param {string} summary @param {string} text */
  end(ok, summary, text) {
    this.dialog.dataset.state = ok ? "ok" : "failed";
    this.result.textContent = summary;
    this.report.value = text;
    this.copy.disabled = false;
  }

  async copyReport() {
    // The field comes into view only where the browser does not let the page copy.
    this.report.hidden = false;
    const done = await copied(this.report.value, this.report);
    this.report.hidden = done;
    if (done) this.copy.focus();
    this.copy.replaceChildren(icon(done ? "check" : "copy"), done ? "Copied" : "Press Ctrl+C");
    clearTimeout(this.back);
    this.back = setTimeout(() => this.copy.replaceChildren(icon("copy"), "Copy report"), 2500);
  }
}

/** What stands between backticks is code. @param {string} text */
const withCode = (text) => text.split("`").map((part, index) => (index % 2 === 1 ? h("code", {}, part) : part));

/** @param {Name} name @param {keyof typeof SIGNS} status */
function row(name, status, cause = "", remedy = "", more = "") {
  const { sign, word } = SIGNS[status];
  const element = h(
    "li",
    { title: more },
    icon(sign),
    h("span", { className: "label" }, LABELS[name] ?? name),
    h("span", { className: "word" }, word),
    cause !== "" && h("p", { className: "cause" }, ...withCode(cause)),
    remedy !== "" && h("p", { className: "remedy" }, ...withCode(remedy)),
  );
  element.dataset.role = "check";
  element.dataset.name = name;
  element.dataset.status = status;
  return element;
}
