// The visible thread: its head, its transcript, its composer and the people beside it, bound to one OpenThread at a
// time. What stands before the first message depends on who is there: an invitation as long as one is alone.
// @ts-check

import { Chat } from "./chat.js";
import { Composer } from "./composer.js";
import { dialog } from "./dialogs.js";
import { h, inNextFrame, isolated, need, touch } from "./dom.js";
import { dye, hashOf } from "./names.js";
import { People } from "./people.js";
import { invitation } from "./share.js";

/** @typedef {import("./thread.js").OpenThread} OpenThread */
/**
 * @typedef {object} Host
 * @property {() => { id: string, name: string, chosen: boolean }} me
 * @property {() => void} editName
 * @property {() => void} keepName
 * @property {(model: OpenThread) => void} rejoin
 * @property {(id: string) => void} leave
 */

export class ThreadView {
  /** @param {Host} host */
  constructor(host) {
    this.host = host;
    this.chat = new Chat();
    this.composer = new Composer();
    this.people = new People(host);
    this.section = need("thread", HTMLElement);
    this.title = need("thread-title", HTMLElement);
    this.opening = need("opening", HTMLElement);
    this.notes = need("notes", HTMLElement);
    this.share = dialog("share");
    /** @type {OpenThread | null} */
    this.model = null;
    this.release = () => {};
    /** What opening and notes were drawn for, so that typing in them is not disturbed. */
    this.drawn = "";
    this.update = inNextFrame(() => this.draw());
    need("invite", HTMLButtonElement).addEventListener("click", () => this.invite());
    need("leave", HTMLButtonElement).addEventListener("click", () => this.model && host.leave(this.model.id));
  }

  /** @param {OpenThread | null} model */
  show(model) {
    if (this.model === model) return;
    this.release();
    this.model = model;
    this.drawn = "";
    if (this.share.open) this.share.close();
    if (model !== null) {
      const stop = model.onChange((change) => {
        if (change.kind !== "unread") this.update();
      });
      this.release = () => void stop();
      this.section.className = dye(model.id);
      this.title.replaceChildren(isolated(model.title));
      this.title.title = model.title;
      this.draw();
    } else {
      this.release = () => {};
    }
    this.chat.show(model);
    this.composer.show(model);
    this.people.show(model);
  }

  /** Where one goes on: the field, but not on a phone, whose keyboard would hide what one came to read. */
  focus() {
    if (touch()) this.title.focus({ preventScroll: true });
    else this.composer.focus();
  }

  draw() {
    const { model } = this;
    if (model === null) return;
    const me = this.host.me();
    const alone = model.status === "joined" && model.people.size === 0;
    const talked = model.items.some((item) => item.type !== "notice");
    this.composer.refresh();
    const drawn = JSON.stringify([model.status, model.problem, alone, talked, me.chosen || me.name, this.link()]);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    this.opening.replaceChildren(this.openingOf(model, alone && !talked));
    this.notes.replaceChildren(...this.notesOf(me, alone && talked));
  }

  link() {
    const { model } = this;
    if (model === null) return "";
    return model.thread?.link ?? new URL(hashOf(model.id), location.href).href;
  }

  /** @param {OpenThread} model @param {boolean} inviting */
  openingOf(model, inviting) {
    if (model.status === "failed") {
      const again = h("button", { type: "button", className: "primary", onclick: () => this.host.rejoin(model) }, "Try again");
      const leave = h("button", { type: "button", onclick: () => this.host.leave(model.id) }, "Close this thread");
      const card = h("div", { className: "card", role: "alert" }, h("h2", {}, "You are not in this thread"), h("p", {}, model.problem), h("div", { className: "buttons" }, again, leave));
      card.dataset.role = "join-failed";
      return card;
    }
    if (inviting) {
      const card = h(
        "div",
        { className: "card" },
        h("h2", {}, "It’s just you so far"),
        h("p", {}, "Send this link to those you want to meet, or let them scan the code. Whoever opens it is here."),
        invitation(this.link(), model.title, "alone"),
      );
      card.dataset.role = "alone";
      return card;
    }
    return h("p", { className: "beginning" }, model.status === "joining" ? "Joining…" : "What is said here is not stored anywhere. You see it from the moment you came.");
  }

  /** @param {ReturnType<Host["me"]>} me @param {boolean} unheard */
  notesOf(me, unheard) {
    const notes = [];
    if (unheard) {
      const invite = h("button", { type: "button", className: "quiet", onclick: () => this.invite() }, "Invite people");
      const note = h("p", { className: "note" }, h("span", {}, "Nobody else is here now, so what you write reaches nobody."), invite);
      note.dataset.role = "nobody";
      notes.push(note);
    }
    if (!me.chosen) {
      const change = h("button", { type: "button", className: "quiet", onclick: () => this.host.editName() }, "Change");
      const keep = h("button", { type: "button", className: "quiet", onclick: () => this.host.keepName() }, "Keep it");
      const note = h("p", { className: "note" }, h("span", {}, "You are ", h("b", {}, isolated(me.name)), "."), change, keep);
      note.dataset.role = "name-hint";
      notes.push(note);
    }
    return notes;
  }

  invite() {
    const { model } = this;
    if (model === null) return;
    need("share-text", HTMLElement).replaceChildren("Whoever opens this link is in ", h("b", {}, isolated(model.title)), ".");
    need("share-body", HTMLElement).replaceChildren(invitation(this.link(), model.title, "share"));
    this.share.showModal();
    /** @type {HTMLElement | null} */ (this.share.querySelector("[data-role=copy-link]"))?.focus();
  }
}
