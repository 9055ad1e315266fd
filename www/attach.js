// Ways for files into the visible thread: picked with the button beside the message field, dropped anywhere on the page,
// or pasted.
// @ts-check

import { filled, need } from "./dom.js";

/** @typedef {import("./thread.js").OpenThread} OpenThread */

export class Attach {
  /** Something of this page's own is dragged, such as a picture in it. */
  isInner = false;

  /** @param {{ target: () => OpenThread | null }} host */
  constructor({ target }) {
    this.target = target;
    this.overlay = need("drop", HTMLElement);
    this.overlayTitle = need("drop-title", HTMLElement);
    this.overlayText = need("drop-text", HTMLElement);
    this.picker = need("attach-files", HTMLInputElement);
    need("attach", HTMLButtonElement).addEventListener("click", () => this.picker.click());
    this.picker.addEventListener("change", () => this.picked());
    addEventListener("dragstart", () => (this.isInner = true));
    addEventListener("dragend", () => (this.isInner = false));
    for (const name of ["dragenter", "dragover"]) addEventListener(name, (event) => event instanceof DragEvent && this.dragged(event));
    // Out of the window: towards no element. Between elements of the page, "dragover" comes again at once.
    addEventListener("dragleave", (event) => event.relatedTarget === null && this.hide());
    // A pointer that moves drags nothing; some ways to end a drag are told by nothing else.
    addEventListener("pointermove", () => this.hide());
    addEventListener("drop", (event) => this.dropped(event));
    addEventListener("paste", (event) => this.pasted(event));
  }

  /** Who gets what is dropped or pasted now. */
  get receiver() {
    const model = this.target();
    return model?.status === "joined" && !isAsking() ? model : null;
  }

  picked() {
    const files = [...(this.picker.files ?? [])];
    this.picker.value = ""; // the same file again is a change, too
    if (files.length > 0) this.target()?.offer(files);
  }

  /** @param {DragEvent} event */
  hasFiles(event) {
    return !this.isInner && event.dataTransfer !== null && event.dataTransfer.types.includes("Files");
  }

  /** @param {DragEvent} event */
  dragged(event) {
    if (!this.hasFiles(event) || event.dataTransfer === null) return;
    // Also where nothing can be dropped: else the browser would leave the page for the file.
    event.preventDefault();
    const { receiver } = this;
    event.dataTransfer.dropEffect = receiver === null ? "none" : "copy";
    if (!isAsking()) this.show(receiver);
  }

  /** @param {DragEvent} event */
  dropped(event) {
    this.hide();
    if (!this.hasFiles(event) || event.dataTransfer === null) return;
    event.preventDefault();
    // As it is, and at once: it can be read during this event only.
    this.receiver?.offer(event.dataTransfer);
  }

  /** @param {ClipboardEvent} event */
  pasted(event) {
    const files = [...(event.clipboardData?.files ?? [])];
    const text = event.clipboardData?.getData("text/plain").trim() ?? "";
    const { receiver } = this;
    if (files.length === 0 || receiver === null) return;
    // Office programs put a picture of the text beside the text; file managers put the files' names there.
    if (text !== "" && !files.some(({ name }) => text.includes(name))) return;
    event.preventDefault();
    const [first] = files;
    const isNameless = files.length === 1 && first !== undefined && /^image\.\w+$/.test(first.name);
    receiver.offer(files, isNameless ? pictureName(first.name) : undefined);
  }

  /** @param {OpenThread | null} receiver */
  show(receiver) {
    const shown = receiver?.id ?? "";
    if (!this.overlay.hidden && this.overlay.dataset.thread === shown) return;
    this.overlay.dataset.thread = shown;
    this.overlayTitle.replaceChildren(...(receiver !== null ? filled("Offer to everybody in {name}", receiver.title) : ["Not here"]));
    this.overlayText.textContent =
      receiver !== null ? "Files and folders. Nothing is sent until somebody accepts." : "Start or join a thread first, then drop files into it.";
    this.overlay.hidden = false;
  }

  hide() {
    this.overlay.hidden = true;
  }
}

/** A dialog has the page. */
const isAsking = () => document.querySelector("dialog[open]") !== null;

/** Browsers call every pasted picture the same. @param {string} name */
function pictureName(name) {
  const now = new Date();
  const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
  const date = [now.getFullYear(), two(now.getMonth() + 1), two(now.getDate())].join("-");
  const time = [two(now.getHours()), two(now.getMinutes()), two(now.getSeconds())].join(".");
  return `Picture ${date} ${time}${name.slice(name.lastIndexOf("."))}`;
}
