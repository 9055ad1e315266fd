// One open thread as this page knows it: who is there, what was said, what is unread. No DOM here; whoever shows it
// listens with `onChange`. Messages live in memory only, and only the last few thousand of them.
// @ts-check

import { explain } from "./explain.js";
import { cleanName, nameOf, shortId, threadTitle } from "./names.js";
import { Offer } from "./offer.js";
import { OwnOffer } from "./own-offer.js";
import { LONGEST } from "./text.js";

/** @typedef {import("../js/index.js").Thread} SdkThread */
/** @typedef {import("../js/index.js").Member} Member */
/** @typedef {import("../js/index.js").PeerState} PeerState */
/** @typedef {import("../js/index.js").LeaveReason} LeaveReason */

/** @typedef {{ id: string, name: string, state: PeerState, release: () => void }} Person */
/** @typedef {"sending" | "delivered" | "unheard" | "failed"} Delivery "unheard": nobody else was in the thread. */
/**
 * @typedef {object} Message
 * @property {"message"} type
 * @property {number} seq
 * @property {number} at
 * @property {string} author  the sender's id, "" for one's own
 * @property {string} name
 * @property {string} text
 * @property {boolean} strange  it was no text, so `text` only describes it
 * @property {Delivery} [state]  of one's own
 * @property {string} [problem]
 */
/** @typedef {{ kind: "join" | "leave" | "name" | "note", reason?: LeaveReason, name: string, text: string, at: number }} Line */
/** @typedef {{ type: "notice", seq: number, at: number, lines: Line[], joined: number, left: number }} Notice */
/** @typedef {{ type: "offer", seq: number, at: number, author: string, name: string, offer: Offer }} Offered */
/** @typedef {{ type: "own-offer", seq: number, at: number, author: "", offer: OwnOffer }} OwnOffered */
/** @typedef {Message | Notice | Offered | OwnOffered} Item */

/**
 * @typedef {{ kind: "item", item: Item } | { kind: "item-changed", item: Item } | { kind: "over", text: string }
 *   | { kind: "people" | "status" | "unread" }} Change  "over": a transfer ended, in words
 */

/** Older items than these are forgotten. */
const KEPT = 5000;
/** Milliseconds that one's own offer stands; it ends with the page at the latest. */
const STANDS = 24 * 60 * 60 * 1000;
/** Notices that follow each other share an item; this many of their lines are kept. */
const LINES = 40;

/** @type {Record<LeaveReason, string>} */
const REASONS = {
  left: "left",
  timed_out: "lost the connection",
  kicked: "was removed",
  replaced: "went on in another window",
};

export class OpenThread {
  /** @param {string} id */
  constructor(id) {
    this.id = id;
    this.title = threadTitle(id);
    /** @type {"joining" | "joined" | "failed"} */
    this.status = "joining";
    this.problem = "";
    /** @type {SdkThread | null} */
    this.thread = null;
    /** @type {Map<string, Person>} */
    this.people = new Map();
    /** @type {Item[]} */
    this.items = [];
    /** The `seq` that the next item gets; `items[0]` has the lowest. */
    this.end = 0;
    this.unread = 0;
    /** The first message that was not seen when it came, for the line above it; -1 if there is none. */
    this.firstUnread = -1;
    this.watched = false;
    /** Where the reader was: the first visible item, or -1 for the end. */
    this.place = -1;
    /** @type {Set<(change: Change) => void>} */
    this.listeners = new Set();
    /** @type {(() => void)[]} */
    this.releases = [];
  }

  /** @param {(change: Change) => void} listener */
  onChange(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** @param {Change} change */
  changed(change) {
    for (const listener of this.listeners) listener(change);
  }

  get start() {
    return this.end - this.items.length;
  }

  /** @param {number} seq */
  item(seq) {
    return this.items[seq - this.start];
  }

  /** Our messages that somebody still waits for. */
  get pending() {
    return this.items.filter((item) => item.type === "message" && item.state === "sending").length;
  }

  /** @param {SdkThread} thread */
  attach(thread) {
    this.detach();
    // What was offered through a client that is no more reaches nobody.
    for (const { offer } of this.ownOffers) if (offer.sdk?.thread !== thread) offer.leave();
    this.thread = thread;
    this.status = "joined";
    this.problem = "";
    this.releases = [
      thread.on("join", (member) => {
        const known = this.people.has(member.id);
        const person = this.meet(member);
        if (!known) this.notice({ kind: "join", name: person.name, text: "joined" });
        this.changed({ kind: "people" });
      }),
      thread.on("leave", ({ member, reason }) => {
        const person = this.people.get(member.id);
        person?.release();
        this.people.delete(member.id);
        const name = person?.name ?? nameOfMember(member);
        this.notice({ kind: "leave", reason, name, text: REASONS[reason] ?? REASONS.left });
        this.changed({ kind: "people" });
      }),
      thread.on("update", (member) => {
        const before = this.people.get(member.id)?.name;
        const { name } = this.meet(member);
        if (before !== undefined && before !== name) this.notice({ kind: "name", name: before, text: `is now ${name}` });
        this.changed({ kind: "people" });
      }),
      thread.on("message", ({ from, data }) => this.receive(from, data)),
      thread.on("offer", (offer) => this.receiveOffer(/** @type {import("./offer.js").SdkOffer} */ (offer))),
    ];
    for (const member of thread.members.values()) this.meet(member);
    this.changed({ kind: "status" });
    this.changed({ kind: "people" });
  }

  detach() {
    for (const release of this.releases) release();
    for (const person of this.people.values()) person.release();
    this.releases = [];
    this.people.clear();
    this.thread = null;
  }

  /** @param {string} problem */
  fail(problem) {
    this.detach();
    this.status = "failed";
    this.problem = problem;
    this.changed({ kind: "status" });
    this.changed({ kind: "people" });
  }

  joining() {
    this.detach();
    this.status = "joining";
    this.changed({ kind: "status" });
    this.changed({ kind: "people" });
  }

  /** @param {Member} member @returns {Person} */
  meet(member) {
    this.people.get(member.id)?.release();
    const { peer } = member;
    /** @type {Person} */
    const person = { id: member.id, name: nameOfMember(member), state: peer.state, release: () => undefined };
    person.release = peer.on("state", (state) => {
      person.state = state;
      this.changed({ kind: "people" });
    });
    this.people.set(member.id, person);
    return person;
  }

  /** Two people of one name get something to tell them apart. @param {Person} person */
  label(person) {
    const plain = person.name.toLocaleLowerCase();
    for (const other of this.people.values()) {
      if (other.id !== person.id && other.name.toLocaleLowerCase() === plain) return `${person.name} · ${shortId(person.id)}`;
    }
    return person.name;
  }

  /** @param {Member} from @param {unknown} data */
  receive(from, data) {
    const person = this.people.get(from.id);
    const said = typeof data === "string";
    this.add({
      type: "message",
      seq: this.end,
      at: Date.now(),
      author: from.id,
      name: person ? this.label(person) : nameOfMember(from),
      text: said ? data.slice(0, LONGEST) : `Something that this page can’t show (${describe(data)})`,
      strange: !said,
    });
  }

  /** @param {import("./offer.js").SdkOffer} sdk */
  receiveOffer(sdk) {
    const person = this.people.get(sdk.from.id);
    const name = person ? this.label(person) : nameOf(sdk.from.userData, sdk.from.id);
    for (const { offer: earlier } of this.offers) {
      // Whoever loads their page anew is somebody else to the server, and has to pick the same files again.
      if (earlier.key === sdk.key && earlier.state === "waiting" && !this.people.has(earlier.sdk.from.id)) earlier.giveWay();
    }
    const offer = new Offer(sdk, name);
    offer.onOver = (text) => this.changed({ kind: "over", text });
    this.add({ type: "offer", seq: this.end, at: Date.now(), author: sdk.from.id, name, offer });
    offer.goOn();
  }

  /** Offers files to everybody here, and to those who come. @param {import("../js/index.js").Offerable} what @param {string} [name] */
  offer(what, name) {
    const options = { expires: STANDS, ...(name === undefined ? {} : { name }) };
    const offering = this.thread?.offer(what, options) ?? Promise.reject(new Error("This page is not in the thread at the moment."));
    const offer = new OwnOffer(offering, (peer) => {
      const person = this.people.get(peer.id);
      return person ? this.label(person) : nameOf(peer.userData, peer.id);
    });
    offer.onOver = (text) => this.changed({ kind: "over", text });
    this.add({ type: "own-offer", seq: this.end, at: Date.now(), author: "", offer });
  }

  /** What others offer. */
  get offers() {
    return this.items.filter((item) => item.type === "offer");
  }

  get ownOffers() {
    return this.items.filter((item) => item.type === "own-offer");
  }

  /** How many transfers would end with this page: of one's own files, and of others'. */
  get underWay() {
    return {
      sent: this.ownOffers.reduce((sum, { offer }) => sum + offer.underWay, 0),
      received: this.offers.filter(({ offer }) => offer.isUnderWay).length,
    };
  }

  /** Ends what it has of offers and transfers. */
  leave() {
    for (const { offer } of [...this.offers, ...this.ownOffers]) offer.leave();
  }

  /** @param {string} text */
  send(text) {
    /** @type {Message} */
    const message = {
      type: "message",
      seq: this.end,
      at: Date.now(),
      author: "",
      name: "You",
      text,
      strange: false,
      state: "sending",
    };
    this.add(message);
    void this.deliver(message);
  }

  /** @param {Message} message */
  retry(message) {
    if (message.state === "failed" || message.state === "unheard") void this.deliver(message);
  }

  /** @param {Message} message */
  async deliver(message) {
    message.state = "sending";
    this.changed({ kind: "item-changed", item: message });
    try {
      if (this.thread === null) throw new Error("This page is not in the thread at the moment.");
      // Without anybody else the promise resolves at once, which must not look as if somebody had it.
      const heard = this.people.size > 0;
      await this.thread.send(message.text);
      message.state = heard ? "delivered" : "unheard";
    } catch (error) {
      message.state = "failed";
      message.problem = explain(error);
    }
    this.changed({ kind: "item-changed", item: message });
  }

  /** @param {Omit<Line, "at">} line */
  notice(line) {
    const at = Date.now();
    const last = this.items[this.items.length - 1];
    /** @type {Notice} */
    const notice =
      last?.type === "notice" && at - last.at < 600_000
        ? last
        : { type: "notice", seq: this.end, at, lines: [], joined: 0, left: 0 };
    notice.lines.push({ ...line, at });
    if (notice.lines.length > LINES) notice.lines.shift();
    if (line.kind === "join") notice.joined += 1;
    if (line.kind === "leave") notice.left += 1;
    if (notice === last) this.changed({ kind: "item-changed", item: notice });
    else this.add(notice);
  }

  /** @param {Item} item */
  add(item) {
    this.items.push(item);
    this.end += 1;
    // A fifth at a time, so that a full thread does not move its whole array at every message.
    if (this.items.length > KEPT * 1.2) this.items.splice(0, this.items.length - KEPT);
    if (item.type !== "notice" && item.author !== "" && !this.watched) {
      this.unread += 1;
      if (this.firstUnread < 0) this.firstUnread = item.seq;
      this.changed({ kind: "unread" });
    }
    this.changed({ kind: "item", item });
  }

  /** @param {boolean} watched  whether somebody is looking at this thread now */
  watch(watched) {
    if (this.watched && !watched && this.firstUnread >= 0) {
      // What was new has been seen; the line goes above what comes from now on.
      const seen = this.item(this.firstUnread);
      this.firstUnread = -1;
      if (seen !== undefined) this.changed({ kind: "item-changed", item: seen });
    }
    this.watched = watched;
    if (watched && this.unread > 0) {
      this.unread = 0;
      this.changed({ kind: "unread" });
    }
  }
}

/** What one said in the thread counts, else what one said to everybody. @param {Member} member */
function nameOfMember(member) {
  const here = member.userData;
  const hasName =
    typeof here === "object" && here !== null && !Array.isArray(here) && cleanName(Reflect.get(here, "name")) !== "";
  return nameOf(hasName ? here : member.peer.userData, member.id);
}

/** @param {unknown} data */
function describe(data) {
  if (data === null || data === undefined) return "nothing at all";
  if (typeof data !== "object") return `a ${typeof data}`;
  return cleanName(Object.prototype.toString.call(data).slice(8, -1)) || "an object";
}
