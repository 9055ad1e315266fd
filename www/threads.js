// The list of open threads, with what is unread in each, and a way to leave each.
// @ts-check

import { h, icon, inNextFrame, isolated, need, unseen } from "./dom.js";
import { dye, hashOf } from "./names.js";

/** @typedef {import("./thread.js").OpenThread} OpenThread */

export class Threads {
  /** @param {{ open: Map<string, OpenThread>, visible: () => string, leave: (id: string) => void }} host */
  constructor(host) {
    this.host = host;
    this.list = need("threads-list", HTMLElement);
    this.button = need("threads-button", HTMLButtonElement);
    this.update = inNextFrame(() => this.draw());
  }

  draw() {
    const { open, visible, leave } = this.host;
    // Drawing anew would lose the focus, so it goes back to the same thread's same control.
    const active = document.activeElement;
    const focused = active instanceof HTMLElement && this.list.contains(active) ? active : null;
    const focusedThread = focused?.closest("li")?.dataset.id;
    const focusedTag = focused?.tagName.toLowerCase() ?? "a";

    const rows = [...open.values()].map((model) => {
      const current = model.id === visible();
      const link = h(
        "a",
        { href: hashOf(model.id), "aria-current": current ? "page" : null },
        h("span", { className: "knot", "aria-hidden": "true" }),
        isolated(model.title, "name"),
        model.unread > 0 && h("span", { className: "badge" }, count(model.unread), unseen(" unread")),
      );
      const away = h(
        "button",
        { type: "button", className: "icon-button", "aria-label": `Leave ${model.title}`, title: "Leave", onclick: () => leave(model.id) },
        icon("close"),
      );
      const row = h("li", { className: `${dye(model.id)}${current ? " current" : ""}` }, link, away);
      row.dataset.role = "thread";
      row.dataset.id = model.id;
      row.dataset.unread = String(model.unread);
      return row;
    });
    this.list.replaceChildren(...rows);
    if (focusedThread !== undefined) {
      const again = rows.find((row) => row.dataset.id === focusedThread)?.querySelector(focusedTag);
      if (again instanceof HTMLElement) again.focus();
    }

    const elsewhere = [...open.values()].reduce((sum, model) => sum + (model.id === visible() ? 0 : model.unread), 0);
    this.button.replaceChildren(
      icon("menu"),
      ...(elsewhere > 0 ? [h("span", { className: "badge", "aria-hidden": "true" }, count(elsewhere))] : []),
    );
    this.button.setAttribute("aria-label", elsewhere > 0 ? `Threads: ${elsewhere} unread elsewhere` : "Threads");
  }
}

/** @param {number} number */
const count = (number) => (number > 99 ? "99+" : String(number));
