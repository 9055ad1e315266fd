// Files that somebody offers in a thread, as this page knows them: taken or not, how far they are, how it ended. No DOM
// here; whoever shows it listens with `onChange`.
// @ts-check

import { acceptedOffers, forgetAccepted, rememberAccepted } from "./store.js";
import { spoken, whyClosed, whyNotArrived } from "./trouble.js";

/** @typedef {import("../js/index.js").Transfer} Transfer */
/** @typedef {import("../js/index.js").TransferState} TransferState */
/** @typedef {import("../js/index.js").FileOffer & { readonly key: string, save(files: File[]): Promise<void> }} SdkOffer */
/** @typedef {"offered" | "declined" | "closed" | TransferState} OfferState "closed": it can't be had any more. */

/** After these a transfer does not go on by itself when the page is loaded anew. */
const ENDS = ["done", "cancelled", "declined", "offer_closed", "storage_full", "storage_failed", "file_corrupt", "file_changed"];

export class Offer {
  /** @param {SdkOffer} sdk @param {string} owner  the name of who offers it */
  constructor(sdk, owner) {
    this.sdk = sdk;
    this.owner = owner;
    this.isDeclined = false;
    /** Its owner came back and offers the same again: that one goes on. */
    this.isReplaced = false;
    /** Why it can't be had any more. */
    this.closed = "";
    /** What has arrived. @type {File[]} */
    this.files = [];
    /** @type {Set<() => void>} */
    this.listeners = new Set();
    /** Told, in words, how it ended. @type {(text: string) => void} */
    this.onOver = () => {};
    sdk.on("close", ({ reason }) => {
      this.closed = reason;
      this.changed();
    });
  }

  /** @param {() => void} listener @returns {() => void} */
  onChange(listener) {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  changed() {
    for (const listener of this.listeners) listener();
  }

  get key() {
    return this.sdk.key;
  }

  /** Only the same owner is trusted to go on with what was accepted: somebody else could offer other files under its name. */
  get memory() {
    return `${this.sdk.from.id} ${this.sdk.key}`;
  }

  /** @returns {OfferState} */
  get state() {
    const { transfer, state } = this.sdk;
    if (this.isDeclined) return "declined";
    if (transfer !== undefined) return transfer.state;
    return state === "closed" ? "closed" : "offered";
  }

  get isUnderWay() {
    return ["waiting", "active", "paused"].includes(this.state);
  }

  /** Bytes that are here from an earlier time, and are not all: those are another offer's of the same files. */
  get begun() {
    const { received, size } = this.sdk;
    return received < size ? received : 0;
  }

  get isPausedHere() {
    return this.sdk.transfer?.pausedBy.includes("here") ?? false;
  }

  /** Now, or again. */
  get canAccept() {
    return this.sdk.state === "open" && !this.isReplaced;
  }

  /** A sentence, if there is something wrong. */
  get trouble() {
    if (this.isReplaced) return "{name} was away and offers this again below.";
    const { state } = this;
    if (state === "closed") return whyClosed(this.closed);
    if (state === "failed" || state === "cancelled") return whyNotArrived(this.sdk.transfer?.error);
    return "";
  }

  /** What was accepted before the page was loaded anew goes on. */
  goOn() {
    if (acceptedOffers().includes(this.memory)) this.accept();
  }

  accept() {
    if (!this.canAccept) return;
    /** @type {Transfer} */
    let transfer;
    try {
      transfer = this.sdk.accept();
    } catch {
      this.changed(); // it was closed a moment ago, and says so
      return;
    }
    rememberAccepted(this.memory);
    const releases = [
      transfer.on("progress", () => this.changed()),
      transfer.on("state", () => this.changed()),
      this.sdk.from.on("state", () => this.changed()),
    ];
    const over = () => {
      for (const release of releases) release();
      // Also a page that is about to be loaded anew ends its transfers.
      if (ENDS.includes(transfer.error?.code ?? "done")) forgetAccepted(this.memory);
      this.changed();
    };
    transfer.done.then(
      (files) => {
        this.files = files === undefined ? [] : [files].flat();
        over();
        this.onOver(`${this.sdk.name} has arrived and is verified.`);
      },
      () => {
        over();
        // Who cancels knows.
        if (transfer.state === "failed" || transfer.error?.peers !== undefined) {
          this.onOver(`${this.sdk.name}: ${spoken(this.trouble, this.owner)}`);
        }
      },
    );
    this.changed();
  }

  /** @param {string} [reason] */
  decline(reason) {
    if (!this.canAccept) return;
    this.isDeclined = true;
    this.sdk.decline(reason);
    this.changed();
  }

  pause() {
    this.sdk.transfer?.pause();
    this.changed();
  }

  resume() {
    this.sdk.transfer?.resume();
    this.changed();
  }

  cancel() {
    this.sdk.transfer?.cancel();
    this.changed();
  }

  /** To the browser's downloads, again. */
  save() {
    return this.sdk.save();
  }

  /** The thread was left. */
  leave() {
    if (this.isUnderWay) this.cancel();
    this.decline("left");
  }

  /** The same is offered anew, by somebody who was away. */
  giveWay() {
    this.isReplaced = true;
    this.cancel();
  }
}
