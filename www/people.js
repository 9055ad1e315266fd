// Who is in the visible thread, and how each of them is reached. The state of a link is always a word and a drawing,
// never a colour alone: a straight strand is direct, one with a knot goes through the server.
// @ts-check

import { avatar, h, icon, inNextFrame, isolated, need, svg } from "./dom.js";

/** @typedef {import("./thread.js").OpenThread} OpenThread */
/** @typedef {import("./thread.js").Person} Person */
/** @typedef {import("../js/index.js").PeerState} PeerState */

/** @type {Record<PeerState, { word: string, meaning: string, strand: string[] }>} */
export const LINKS = {
  live: { word: "Direct", meaning: "Messages go straight from browser to browser.", strand: ["M6 7H42"] },
  connecting: { word: "Connecting", meaning: "Looking for a direct way.", strand: ["M6 7H42"] },
  recovering: {
    word: "Recovering",
    meaning: "The link was interrupted. Messages wait until it is back.",
    strand: ["M6 7c4-6 8-6 12 0s8 6 12 0 8-6 12 0"],
  },
  relayed: {
    word: "Via server",
    meaning: "No direct way was found, so the server passes messages on.",
    strand: ["M6 7H42", "M24 2.5l4.5 4.5-4.5 4.5-4.5-4.5z"],
  },
  offline: { word: "Offline", meaning: "There is no link at the moment.", strand: ["M6 7h10", "M32 7h10"] },
};

/** More rows than these are not drawn; the count says how many there are. */
const MOST_ROWS = 200;

export class People {
  /** @param {{ me: () => { id: string, name: string } }} host */
  constructor({ me }) {
    this.me = me;
    this.list = need("people-list", HTMLElement);
    this.count = need("people-count", HTMLElement);
    this.button = need("people-button", HTMLButtonElement);
    this.summary = need("thread-summary", HTMLElement);
    /** @type {OpenThread | null} */
    this.model = null;
    /** @type {Map<string, { row: HTMLElement, id: string, name: string, state: PeerState | "" }>} By id, oneself by "". */
    this.rows = new Map();
    this.release = () => {};
    this.update = inNextFrame(() => this.draw());
  }

  /** @param {OpenThread | null} model */
  show(model) {
    this.release();
    this.model = model;
    this.rows.clear();
    this.list.replaceChildren();
    this.release = () => {};
    if (model === null) return;
    const stop = model.onChange((change) => {
      if (change.kind === "people" || change.kind === "status") this.update();
    });
    this.release = () => void stop();
    this.draw();
  }

  draw() {
    const { model } = this;
    if (model === null) return;
    const others = [...model.people.values()];
    const byName = new Intl.Collator().compare;
    const shown = others
      .map((person) => ({ person, label: model.label(person) }))
      .sort((a, b) => byName(a.label, b.label))
      .slice(0, MOST_ROWS);

    const wanted = new Map(shown.map(({ person, label }) => [person.id, { label, state: person.state }]));
    for (const [id, { row }] of this.rows) {
      if (id === "" || wanted.has(id)) continue;
      row.remove();
      this.rows.delete(id);
    }
    const me = this.me();
    this.place(0, "", me.name, "", me.id);
    shown.forEach(({ person, label }, index) => this.place(index + 1, person.id, label, person.state, person.id));
    this.list.querySelector(".rest")?.remove();
    if (others.length > MOST_ROWS) {
      this.list.append(h("li", { className: "rest" }, `and ${(others.length - MOST_ROWS).toLocaleString()} more`));
    }

    const total = others.length + 1;
    this.count.textContent = total.toLocaleString();
    this.drawButton(others, total);
    this.summary.replaceChildren(...(model.status === "joined" ? summaryOf(others) : [model.status === "joining" ? "Joining…" : "Not joined"]));
  }

  /**
   * Puts the row of one person at its place, new only if something about it is.
   * @param {number} index @param {string} key @param {string} name @param {PeerState | ""} state @param {string} id
   */
  place(index, key, name, state, id) {
    let known = this.rows.get(key);
    if (known === undefined || known.id !== id || known.name !== name || known.state !== state) {
      const row = personRow(id, name, state);
      known?.row.replaceWith(row);
      known = { row, id, name, state };
      this.rows.set(key, known);
    }
    const there = this.list.children[index];
    if (there !== known.row) this.list.insertBefore(known.row, there ?? null);
  }

  /** @param {Person[]} others @param {number} total */
  drawButton(others, total) {
    const faces = others.slice(0, 2).map((person) => avatar(person.id, person.name));
    this.button.replaceChildren(
      h("span", { className: "faces" }, ...(faces.length > 0 ? faces : [icon("people")])),
      h("span", { className: "number", "aria-hidden": "true" }, total.toLocaleString()),
    );
    this.button.setAttribute("aria-label", `People: ${total}`);
  }
}

/** @param {string} id @param {string} name @param {PeerState | ""} state  "" for oneself */
function personRow(id, name, state) {
  const about = h("div", { className: "about" }, h("p", { className: "who" }, isolated(name, "name"), state === "" && h("span", { className: "you" }, "you")));
  const row = h("li", { className: "person" }, avatar(id, name), about);
  row.dataset.role = state === "" ? "me" : "person";
  row.dataset.id = id;
  if (state !== "") {
    row.dataset.state = state;
    about.append(linkState(state));
  }
  return row;
}

/** @param {PeerState} state */
function linkState(state) {
  const { word, meaning, strand } = LINKS[state] ?? LINKS.offline;
  const drawing = svg(
    "svg",
    { viewBox: "0 0 48 14", class: "strand", "aria-hidden": "true" },
    svg("circle", { cx: 3, cy: 7, r: 3 }),
    ...strand.map((d) => svg("path", { d })),
    svg("circle", { cx: 45, cy: 7, r: 3 }),
  );
  const element = h("p", { className: "link", title: meaning }, drawing, h("span", { className: "word" }, word));
  element.dataset.role = "link-state";
  element.dataset.state = state;
  return element;
}

/** @param {Person[]} others @returns {(Node | string)[]} */
function summaryOf(others) {
  if (others.length === 0) return ["Only you are here"];
  const people = others.length === 1 ? "You and 1 other" : `You and ${others.length.toLocaleString()} others`;
  const live = others.filter(({ state }) => state === "live").length;
  const relayed = others.filter(({ state }) => state === "relayed").length;
  if (live === others.length) return [`${people} · direct`];
  if (relayed === others.length) return [`${people} · via server`];
  const parts = [live > 0 ? `${live} direct` : "", relayed > 0 ? `${relayed} via server` : ""].filter((part) => part !== "");
  return parts.length === 0 ? [people] : [people, h("span", { className: "mixed" }, ` · ${parts.join(", ")}`)];
}
