// A file's way across, as the page sees it. Its two kinds, `Incoming` and `Outgoing`, do the work over a connection that
// may be another one after each reload of either page; what it is at and how far it is stays here.

import { Emitter } from "./emitter.js";
import { failure } from "./kit.js";
import { Limiter, Progress } from "./progress.js";

const OVER = ["done", "failed", "cancelled"];

/** The limit of a transfer, in bytes a second. */
export function speed(limit) {
  if (limit === undefined || (typeof limit === "number" && limit > 0)) return limit;
  throw failure("invalid_option", "`limit` takes bytes a second, more than 0");
}

export class Transfer extends Emitter {
  /** Held by those that do the work: the connection at present. */
  connection;
  #state = "waiting";
  #error;
  #settle;
  #paused = { here: false, there: false };
  #progress;
  #total;

  constructor(offer, peer, limit) {
    super(["progress", "state"]);
    this.offer = offer;
    this.peer = peer;
    this.limiter = new Limiter(speed(limit));
    this.#total = offer.size;
    this.#progress = new Progress(this.#total, (progress) => Emitter.emit(this, "progress", progress));
    this.done = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
    // A page that listens to `state` needs not look after the promise, too.
    this.done.catch(() => {});
    for (const name of ["connection", "limiter"]) Object.defineProperty(this, name, { enumerable: false });
  }

  get state() {
    return this.#state;
  }

  get progress() {
    return this.#progress.value;
  }

  get error() {
    return this.#error;
  }

  /** Who has paused it: `"here"`, `"there"`, both, or nobody. */
  get pausedBy() {
    return ["here", "there"].filter((side) => this.#paused[side]);
  }

  get isPaused() {
    return this.pausedBy.length > 0;
  }

  get isOver() {
    return OVER.includes(this.#state);
  }

  set limit(limit) {
    this.limiter.limit = speed(limit) ?? Infinity;
  }

  get limit() {
    return this.limiter.limit;
  }

  pause() {
    this.#pause("here", true);
  }

  resume() {
    this.#pause("here", false);
  }

  cancel() {
    if (this.isOver) return;
    this.end("cancelled", failure("cancelled", "by this page"), "cancelled");
  }

  #pause(side, paused) {
    if (this.isOver || this.#paused[side] === paused) return;
    this.#paused[side] = paused;
    if (side === "here") this.pausing(paused);
    if (this.isPaused) this.#progress.rest();
    const before = this.#state;
    this.settle();
    // By somebody else, too, or no longer.
    if (before === "paused" && this.#state === "paused") Emitter.emit(this, "state", "paused");
  }

  // ---- for those that do the work ----

  /** What is to be done when this page pauses it, or lets it go on. */
  pausing() {}

  /** What is to be done when it is over. */
  ended() {}

  pausedThere(paused) {
    this.#pause("there", paused);
  }

  /** There is a connection, or none. */
  attach(connection) {
    this.limiter.wake();
    this.connection = connection;
    if (!connection) {
      this.#paused.there = false;
      this.#progress.rest();
    } else if (this.#paused.here) {
      this.pausing(true);
    }
    this.settle();
  }

  settle() {
    if (!this.isOver) this.#become(!this.connection ? "waiting" : this.isPaused ? "paused" : "active");
  }

  has(bytes) {
    if (!this.isOver) this.#progress.set(bytes);
  }

  advance(bytes) {
    if (!this.isOver) this.#progress.add(bytes);
  }

  /** It is over; `say` is what the other side is told, if it does not know. */
  end(state, result, say) {
    if (this.isOver) return;
    const { connection } = this;
    this.connection = undefined;
    if (state === "done") this.#progress.set(this.#total);
    else this.#error = result;
    this.#state = state;
    this.limiter.wake();
    // All is in order before the page hears of it, which may begin anew at once.
    this.ended(state);
    if (say) connection?.reject(say);
    if (state === "done") this.#settle.resolve(result);
    else this.#settle.reject(result);
    this.#progress.end();
    Emitter.emit(this, "state", state);
  }

  #become(state) {
    if (this.#state === state) return;
    this.#state = state;
    Emitter.emit(this, "state", state);
  }
}
