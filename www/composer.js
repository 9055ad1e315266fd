// Where one writes: a field that grows with the text, sends with Enter, and keeps a draft for every thread.
// @ts-check

import { h, inNextFrame, need } from "./dom.js";
import { loadDrafts, saveDrafts } from "./store.js";

/** @typedef {import("./thread.js").OpenThread} OpenThread */

/** Longer texts would only be cut at the other side. */
const MOST = 20_000;

export class Composer {
  constructor() {
    this.form = need("composer", HTMLFormElement);
    this.field = need("composer-text", HTMLTextAreaElement);
    this.button = need("composer-send", HTMLButtonElement);
    this.attach = need("attach", HTMLButtonElement);
    this.hint = need("composer-hint", HTMLElement);
    this.drafts = loadDrafts();
    /** @type {OpenThread | null} */
    this.model = null;
    this.keep = inNextFrame(() => saveDrafts(this.drafts));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    this.field.addEventListener("keydown", (event) => {
      // While an input method composes, Enter belongs to it. (Safari ends the composition before this event: 229.)
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      this.send();
    });
    this.field.addEventListener("input", () => this.changed());
    // Else a tap on the button would close the keyboard of a phone.
    this.button.addEventListener("pointerdown", (event) => event.preventDefault());
  }

  /** @param {OpenThread | null} model */
  show(model) {
    this.model = model;
    this.field.value = model === null ? "" : (this.drafts.get(model.id) ?? "");
    this.field.placeholder = model === null ? "" : "Write a message";
    this.fit();
    this.refresh();
  }

  /** The thread's status or the text's length changed. */
  refresh() {
    const joined = this.model?.status === "joined";
    this.attach.disabled = !joined;
    const { length } = this.field.value;
    const left = MOST - length;
    this.button.disabled = !joined || left < 0 || this.field.value.trim() === "";
    if (left < 0) this.say(`${(-left).toLocaleString()} characters too many. Send it in parts.`);
    else if (left < 1000) this.say(`${left.toLocaleString()} characters left`);
    else this.say("");
  }

  /** @param {string} text */
  say(text) {
    if (this.hint.textContent === text) return;
    this.hint.replaceChildren(...(text === "" ? [] : [h("span", {}, text)]));
  }

  changed() {
    if (this.model !== null) {
      if (this.field.value === "") this.drafts.delete(this.model.id);
      else this.drafts.set(this.model.id, this.field.value);
      this.keep();
    }
    this.fit();
    this.refresh();
  }

  fit() {
    this.field.style.height = "auto";
    this.field.style.height = `${this.field.scrollHeight}px`;
  }

  send() {
    this.refresh();
    const text = this.field.value.replace(/^\s*\n|\s+$/g, "");
    if (this.model === null || this.button.disabled || text === "") return;
    this.field.value = "";
    this.changed();
    this.model.send(text);
    this.field.focus();
  }

  /** @param {string} id */
  forget(id) {
    this.drafts.delete(id);
    this.keep();
  }

  focus() {
    this.field.focus({ preventScroll: true });
  }
}
