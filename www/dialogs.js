// Dialogs, all of them the browser's own <dialog>: it keeps the focus inside, closes with Escape, and gives the focus
// back. On narrow screens the panels beside the chat become dialogs too.
// @ts-check

import { need } from "./dom.js";

/** Closes with a click beside it, and with every button that has `data-close`. @param {string} id */
export function dialog(id) {
  const element = need(id, HTMLDialogElement);
  element.addEventListener("click", (event) => {
    if (!(event.target instanceof Element)) return;
    if (event.target === element || event.target.closest("[data-close]") !== null) element.close();
  });
  return element;
}

/**
 * Asks; true if the visitor agreed.
 * @param {{ title: string, text: string, yes: string }} question
 * @returns {Promise<boolean>}
 */
export function ask({ title, text, yes }) {
  const element = need("ask", HTMLDialogElement);
  const button = need("ask-yes", HTMLButtonElement);
  need("ask-title", HTMLElement).textContent = title;
  need("ask-text", HTMLElement).textContent = text;
  button.textContent = yes;
  return new Promise((resolve) => {
    let agreed = false;
    button.onclick = () => {
      agreed = true;
      element.close();
    };
    element.addEventListener("close", () => resolve(agreed), { once: true });
    element.showModal();
    button.focus();
  });
}

/** A panel that stands beside the chat where there is room and slides over it where there is none. */
export class Panel {
  /** @param {string} id @param {string} buttonId @param {string} roomy  the media query that says there is room */
  constructor(id, buttonId, roomy) {
    this.panel = need(id, HTMLElement);
    this.home = document.createComment(id);
    this.panel.before(this.home);
    this.sheet = dialog(`${id}-sheet`);
    this.sheet.addEventListener("close", () => this.home.after(this.panel));
    need(buttonId, HTMLButtonElement).addEventListener("click", () => {
      this.sheet.append(this.panel);
      this.sheet.showModal();
    });
    matchMedia(roomy).addEventListener("change", () => this.close());
  }

  close() {
    if (this.sheet.open) this.sheet.close();
  }
}
