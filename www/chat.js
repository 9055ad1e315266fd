// The transcript of the visible thread. It keeps a window of at most a few hundred items in the document, wherever one
// reads, so that thousands of messages stay as quick as ten; it follows new messages only while one is at the end.
// @ts-check

import { announce, avatar, h, icon, inNextFrame, isolated, need, unseen } from "./dom.js";
import { dye } from "./names.js";
import { OfferView } from "./offer-view.js";
import { OwnOfferView } from "./own-offer-view.js";
import { messageText } from "./text.js";
import { sizeText } from "./units.js";

/** @typedef {import("./thread.js").OpenThread} OpenThread */
/** @typedef {import("./thread.js").Item} Item */
/** @typedef {import("./thread.js").Message} Message */
/** @typedef {import("./thread.js").Notice} Notice */
/** @typedef {import("./thread.js").Offered} Offered */
/** @typedef {import("./thread.js").OwnOffered} OwnOffered */

const WINDOW = 240;
const STEP = 80;
const NEAR_END = 48;
const GROUP = 5 * 60_000;
/** More notices in a row than this are summed up in one line. */
const FEW_LINES = 4;

const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });

export class Chat {
  constructor() {
    this.scroller = need("transcript", HTMLElement);
    this.list = need("messages", HTMLElement);
    this.opening = need("opening", HTMLElement);
    this.jump = need("jump", HTMLButtonElement);
    /** @type {OpenThread | null} */
    this.model = null;
    /** The items in the document are those from `first` up to, not with, `last`. */
    this.first = 0;
    this.last = 0;
    this.following = true;
    /** How far it was scrolled. */
    this.top = 0;
    this.fresh = 0;
    /** @type {Map<number, HTMLElement>} */
    this.rows = new Map();
    /** Of the rows that are cards. @type {Map<number, OfferView | OwnOfferView>} */
    this.views = new Map();
    /** @type {Set<Item>} */
    this.stale = new Set();
    this.update = inNextFrame(() => this.draw());
    this.release = () => {};
    this.scroller.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.jump.addEventListener("click", () => this.toEnd());
    // A keyboard coming up, a rotated phone: whoever was at the end stays there.
    const sizes = new ResizeObserver(() => this.following && this.stick());
    sizes.observe(this.scroller);
    // A card that grows: a list that is opened, a picture that is there.
    sizes.observe(this.list);
  }

  /** @param {OpenThread | null} model */
  show(model) {
    this.leavePlace();
    this.release();
    this.model = model;
    this.clear();
    this.stale.clear();
    this.fresh = 0;
    if (model === null) {
      this.release = () => {};
      return;
    }
    this.release = model.onChange((change) => {
      if (change.kind === "item") {
        const { item } = change;
        if (!this.following) this.fresh += item.type !== "notice" && item.author !== "" ? 1 : 0;
        if (item.type !== "notice" && item.author === "") this.toEnd();
        this.speak(item);
        this.update();
      } else if (change.kind === "item-changed") {
        this.stale.add(change.item);
        if (change.item.type === "notice") this.speak(change.item);
        this.update();
      } else if (change.kind === "people") {
        // Cards say who is away, and whether anybody is there to take something.
        for (const view of this.views.values()) view.update();
      }
    });
    const place = model.firstUnread >= model.start ? model.firstUnread : model.place;
    this.following = place < 0;
    this.last = this.following ? model.end : Math.min(model.end, Math.max(place, model.start) + WINDOW / 2);
    this.first = this.last;
    this.draw();
    if (!this.following) {
      this.grow(this.last - Math.max(model.start, this.last - WINDOW));
      this.rows.get(Math.max(place, model.start))?.scrollIntoView({ block: "start" });
      this.scroller.scrollTop -= 56; // leave the line above the first new message in sight
      this.scrolled();
    } else {
      this.stick();
    }
  }

  /** Remembers where one was reading, for when one comes back. */
  leavePlace() {
    if (this.model === null) return;
    this.model.firstUnread = -1;
    if (this.following) {
      this.model.place = -1;
      return;
    }
    const top = this.scroller.getBoundingClientRect().top;
    for (const [seq, row] of this.rows) {
      if (row.getBoundingClientRect().bottom > top + 56) {
        this.model.place = seq;
        return;
      }
    }
  }

  /** Brings the document up to date with the model. */
  draw() {
    const { model } = this;
    if (model === null) return;
    for (const item of this.stale) {
      const old = this.rows.get(item.seq);
      if (old !== undefined) this.replace(old, item);
    }
    this.stale.clear();
    if (this.following) {
      this.first = Math.max(this.first, model.end - WINDOW, model.start);
      if (this.last < this.first) this.last = this.first;
    }
    this.forget();
    const room = this.following ? WINDOW : Math.max(0, WINDOW - (this.last - this.first));
    this.append(Math.min(model.end, this.last + room));
    if (this.following) {
      if (this.first > model.start && this.last - this.first < STEP) this.grow(STEP);
      this.stick();
    }
    this.showJump();
  }

  /** Takes out what lies before `first` or is no longer in memory. */
  forget() {
    const { model } = this;
    if (model === null) return;
    this.first = Math.max(this.first, model.start);
    const height = this.scroller.scrollHeight;
    let removed = false;
    for (const [seq, row] of this.rows) {
      if (seq >= this.first && seq < this.last) continue;
      row.remove();
      this.rows.delete(seq);
      this.views.get(seq)?.release();
      this.views.delete(seq);
      removed = removed || seq < this.first;
    }
    this.last = Math.max(this.last, this.first);
    this.opening.hidden = model.items.length > 0 && this.first > model.start;
    if (removed && !this.following) this.scroller.scrollTop -= height - this.scroller.scrollHeight;
  }

  /** Takes everything out. */
  clear() {
    for (const view of this.views.values()) view.release();
    this.views.clear();
    this.rows.clear();
    this.list.replaceChildren();
  }

  /** @param {number} end */
  append(end) {
    const rows = document.createDocumentFragment();
    for (; this.last < end; this.last += 1) {
      const row = this.row(this.last);
      if (row !== null) rows.append(row);
    }
    this.list.append(rows);
  }

  /** Adds earlier items above without moving what is in sight. @param {number} by */
  grow(by) {
    const { model } = this;
    if (model === null) return;
    const target = Math.max(model.start, this.first - by);
    if (target === this.first) return;
    const height = this.scroller.scrollHeight;
    const rows = document.createDocumentFragment();
    /** @type {Map<number, HTMLElement>} */
    const later = new Map(this.rows);
    this.rows.clear();
    const before = this.first;
    for (let seq = target; seq < before; seq += 1) {
      const row = this.row(seq);
      if (row !== null) rows.append(row);
    }
    for (const [seq, row] of later) this.rows.set(seq, row);
    this.first = target;
    this.list.prepend(rows);
    this.opening.hidden = this.first > model.start;
    this.scroller.scrollTop += this.scroller.scrollHeight - height;
  }

  scrolled() {
    const { model, scroller } = this;
    if (model === null) return;
    const below = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight;
    // Who reads the end leaves it upwards; what has grown below is followed.
    const stays = this.following && scroller.scrollTop >= this.top;
    this.top = scroller.scrollTop;
    const atEnd = stays || (below < NEAR_END && this.last === model.end);
    if (atEnd !== this.following) {
      this.following = atEnd;
      if (atEnd) this.fresh = 0;
      this.showJump();
    }
    if (scroller.scrollTop < 300 && this.first > model.start) {
      this.grow(STEP);
      if (this.last - this.first > WINDOW) {
        this.last = this.first + WINDOW;
        this.following = false;
        this.forget();
      }
    } else if (below < 300 && this.last < model.end) {
      this.append(Math.min(model.end, this.last + STEP));
      this.first = Math.max(this.first, this.last - WINDOW);
      this.forget();
    }
  }

  toEnd() {
    if (this.model === null) return;
    if (this.last < this.model.end - WINDOW) {
      this.clear();
      this.first = this.last = this.model.end - WINDOW;
    }
    this.following = true;
    this.fresh = 0;
    this.draw();
  }

  stick() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.top = this.scroller.scrollTop;
  }

  showJump() {
    const hidden = this.following || this.model === null || this.model.items.length === 0;
    this.jump.hidden = hidden;
    if (hidden) return;
    const text = this.fresh === 0 ? "Latest" : this.fresh === 1 ? "1 new message" : `${this.fresh} new messages`;
    this.jump.replaceChildren(icon("down"), text);
  }

  /** @param {Item} item */
  speak(item) {
    if (item.type === "message") {
      if (item.author !== "") announce(`${item.name}: ${item.text.slice(0, 300)}`);
      return;
    }
    if (item.type === "offer") announce(`${item.name} offers ${item.offer.sdk.name}, ${sizeText(item.offer.sdk.size)}`);
    if (item.type !== "notice") return;
    const line = item.lines[item.lines.length - 1];
    if (line !== undefined) announce(`${line.name} ${line.text}`.trim());
  }

  /** @param {HTMLElement} old @param {Item} item */
  replace(old, item) {
    const had = old.contains(document.activeElement);
    if (item.type === "message" && item.author === "") {
      // The text stays, so that a selection in it, or its opened length, does too.
      old.querySelector(".trouble")?.remove();
      old.querySelector(".sign")?.replaceWith(this.sign(item));
      old.dataset.state = item.state;
      const trouble = this.trouble(item);
      if (trouble !== null) old.append(trouble);
    } else if (item.type === "offer") {
      // Its card looks after itself; what has changed is the line above it.
      old.querySelector(".divider.new")?.remove();
    } else {
      const row = this.row(item.seq);
      if (row !== null) old.replaceWith(row);
    }
    if (had && !document.contains(document.activeElement)) need("composer-text", HTMLElement).focus();
  }

  /** @param {number} seq */
  row(seq) {
    const { model } = this;
    const item = model?.item(seq);
    if (model === null || item === undefined) return null;
    const before = model.item(seq - 1);
    const dividers = [];
    if (before === undefined ? !isToday(item.at) : !sameDay(before.at, item.at)) {
      dividers.push(h("p", { className: "divider" }, h("span", {}, day.format(item.at))));
    }
    if (seq === model.firstUnread) dividers.push(h("p", { className: "divider new" }, h("span", {}, "New")));
    const row = this.rowOf(item, dividers.length > 0 ? undefined : before);
    row.prepend(...dividers);
    this.rows.set(seq, row);
    return row;
  }

  /** @param {Item} item @param {Item | undefined} before  what it may continue */
  rowOf(item, before) {
    if (item.type === "message") return this.message(item, before);
    return item.type === "notice" ? this.notice(item) : this.offer(item);
  }

  /** @param {Message} item @param {Item | undefined} before  what it may continue */
  message(item, before) {
    const own = item.author === "";
    const goesOn = before?.type === "message" && before.author === item.author && item.at - before.at < GROUP;
    const row = h("li", { className: `message ${own ? "own" : dye(item.author)}${goesOn ? "" : " first"}` });
    row.dataset.role = "message";
    row.dataset.own = String(own);
    row.dataset.author = item.author;
    const text = messageText(item.text);
    if (item.strange) text.classList.add("strange");
    if (own) {
      row.dataset.state = item.state;
      if (!goesOn) row.append(h("p", { className: "byline" }, time(item.at)));
      row.append(h("div", { className: "line" }, this.sign(item), h("div", { className: "bubble" }, unseen("You: "), text)));
      const trouble = this.trouble(item);
      if (trouble !== null) row.append(trouble);
      return row;
    }
    if (goesOn) {
      row.append(unseen(`${item.name}: `), text, time(item.at));
    } else {
      row.append(
        avatar(item.author, item.name),
        h("p", { className: "byline" }, isolated(item.name, "name"), time(item.at)),
        text,
      );
    }
    return row;
  }

  /** @param {Offered | OwnOffered} item */
  offer(item) {
    const own = item.type === "own-offer";
    const view = own ? new OwnOfferView(item.offer, () => this.model?.people.size === 0) : new OfferView(item.offer);
    this.views.get(item.seq)?.release();
    this.views.set(item.seq, view);
    const row = h("li", { className: `message first ${own ? "own" : dye(item.author)}` });
    row.dataset.role = "offer";
    row.dataset.own = String(own);
    row.dataset.author = item.author;
    row.dataset.state = item.offer.state;
    if (own) row.append(h("p", { className: "byline" }, h("span", { className: "small" }, "You offer"), time(item.at)));
    else row.append(avatar(item.author, item.name), h("p", { className: "byline" }, isolated(item.name, "name"), h("span", { className: "small" }, "offers"), time(item.at)));
    row.append(view.element);
    return row;
  }

  /** How far one's own message has come. @param {Message} item */
  sign(item) {
    const sign = h("span", { className: "sign", title: new Date(item.at).toLocaleString() });
    if (item.state === "delivered") {
      sign.title = `Delivered to everybody here, ${sign.title}`;
      sign.append(icon("check"), unseen("Delivered"));
    } else if (item.state === "sending") {
      sign.append(h("span", { className: "word" }, "Sending"), icon("clock"));
    }
    return sign;
  }

  /** What stands below one's own message if it did not arrive. @param {Message} item */
  trouble(item) {
    const { model } = this;
    if (model === null || (item.state !== "failed" && item.state !== "unheard")) return null;
    const failed = item.state === "failed";
    const words = failed ? `Not delivered. ${item.problem ?? ""}` : "Nobody else was here to read this.";
    const again = h(
      "button",
      { type: "button", className: "quiet", onclick: () => model.retry(item) },
      failed ? "Try again" : "Send again",
    );
    again.dataset.role = "retry";
    const note = h("p", { className: "trouble", role: failed ? "alert" : null }, failed && icon("warning"), words, " ", again);
    note.dataset.role = "trouble";
    return note;
  }

  /** @param {Notice} item */
  notice(item) {
    const row = h("li", { className: "notices" });
    const lines = item.lines.map((line) => {
      const element = h("p", { className: "notice" }, isolated(line.name, "name"), " ", h("bdi", {}, line.text), " ", time(line.at));
      element.dataset.role = "notice";
      element.dataset.kind = line.kind;
      if (line.reason !== undefined) element.dataset.reason = line.reason;
      return element;
    });
    if (lines.length <= FEW_LINES) {
      row.append(...lines);
    } else {
      const sums = [
        item.joined > 0 ? `${item.joined.toLocaleString()} joined` : "",
        item.left > 0 ? `${item.left.toLocaleString()} left` : "",
      ].filter((sum) => sum !== "");
      const recent = lines.splice(-2);
      const summary = sums.length > 0 ? `In all ${sums.join(", ")}` : "Earlier changes";
      row.append(h("details", {}, h("summary", {}, summary), ...lines), ...recent);
    }
    return row;
  }
}

/** @param {number} at */
function time(at) {
  const moment = new Date(at);
  return h("time", { dateTime: moment.toISOString(), title: moment.toLocaleString() }, clock.format(moment));
}

/** @param {number} a @param {number} b */
const sameDay = (a, b) => new Date(a).toDateString() === new Date(b).toDateString();
/** @param {number} at */
const isToday = (at) => sameDay(at, Date.now());
