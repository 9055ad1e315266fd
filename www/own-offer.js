// Files that this page offers in a thread: who takes them, who does not, how far each of them is. No DOM here; whoever
// shows it listens with `onChange`.
// @ts-check

import { whyNotOffered, whyNotSent, whyNotTaken } from "./trouble.js";

/** @typedef {import("../js/index.js").OwnOffer} SdkOwnOffer */
/** @typedef {import("../js/index.js").Peer} Peer */
/** @typedef {import("../js/index.js").Transfer} Transfer */
/** @typedef {import("../js/index.js").TransferState} TransferState */
/** @typedef {"preparing" | "open" | "closed" | "failed"} OwnOfferState "preparing": folders are read, a thumbnail is made. */

/** Somebody who has answered. */
class Receiver {
  /** Of those who take it. @type {Transfer | undefined} */
  transfer;
  /** Of those who don't. */
  reason = "";
  /** Somebody of the same name has come, most likely after a reload. */
  isReplaced = false;

  /** @param {Peer} peer @param {string} name */
  constructor(peer, name) {
    this.peer = peer;
    this.name = name;
  }

  get id() {
    return this.peer.id;
  }

  /** @returns {TransferState | "declined"} */
  get state() {
    return this.transfer?.state ?? "declined";
  }

  get isUnderWay() {
    return ["waiting", "active", "paused"].includes(this.state);
  }

  /** Gone in the middle of it, to come back or not. */
  get isAway() {
    return this.state === "waiting" && this.peer.state === "offline";
  }

  get isPausedHere() {
    return this.transfer?.pausedBy.includes("here") ?? false;
  }

  /** A sentence, if it does not get there. */
  get trouble() {
    const { state } = this;
    if (state === "declined") return whyNotTaken(this.reason);
    return state === "failed" || state === "cancelled" ? whyNotSent(this.transfer?.error) : "";
  }
}

export class OwnOffer {
  /**
   * @param {Promise<SdkOwnOffer>} offering
   * @param {(peer: Peer) => string} nameOf
   */
  constructor(offering, nameOf) {
    this.nameOf = nameOf;
    /** @type {SdkOwnOffer | undefined} */
    this.sdk = undefined;
    this.problem = "";
    /** Why nobody can have it any more. */
    this.closed = "";
    /** @type {Map<string, Receiver>} */
    this.receivers = new Map();
    /** @type {Set<() => void>} */
    this.listeners = new Set();
    /** Told, in words, how it went for each. @type {(text: string) => void} */
    this.onOver = () => {};
    offering.then(
      (sdk) => this.stand(sdk),
      (error) => {
        this.problem = whyNotOffered(error);
        this.changed();
        this.onOver(this.problem);
      },
    );
  }

  /** @param {() => void} listener @returns {() => void} */
  onChange(listener) {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  changed() {
    for (const listener of this.listeners) listener();
  }

  /** @returns {OwnOfferState} */
  get state() {
    if (this.problem !== "") return "failed";
    if (this.closed !== "") return "closed";
    return this.sdk === undefined ? "preparing" : "open";
  }

  /** How many are getting it now. */
  get underWay() {
    return [...this.receivers.values()].filter((receiver) => receiver.isUnderWay && !receiver.isAway).length;
  }

  /** @param {SdkOwnOffer} sdk */
  stand(sdk) {
    this.sdk = sdk;
    sdk.on("close", ({ reason }) => {
      this.closed = reason;
      this.changed();
    });
    sdk.on("transfer", (transfer) => this.taken(transfer));
    sdk.on("decline", ({ peer, reason }) => {
      const receiver = this.receiver(peer);
      receiver.reason = reason;
      this.changed();
      if (reason !== "left") this.onOver(`${receiver.name}: ${sdk.name}: ${receiver.trouble}`);
    });
    // It was withdrawn before it stood.
    if (this.closed !== "") sdk.withdraw();
    this.changed();
  }

  /** @param {Peer} peer */
  receiver(peer) {
    const receiver = this.receivers.get(peer.id) ?? new Receiver(peer, this.nameOf(peer));
    this.receivers.set(peer.id, receiver);
    return receiver;
  }

  /** @param {Transfer} transfer */
  taken(transfer) {
    const receiver = this.receiver(transfer.peer);
    receiver.transfer = transfer;
    for (const other of this.receivers.values()) if (other !== receiver && other.name === receiver.name) other.isReplaced = true;
    const releases = [
      transfer.on("progress", () => this.changed()),
      transfer.on("state", () => this.changed()),
      transfer.peer.on("state", () => this.changed()),
    ];
    const file = this.sdk?.name ?? "";
    const over = () => {
      for (const release of releases) release();
      this.changed();
    };
    transfer.done.then(
      () => {
        over();
        this.onOver(`${receiver.name} has ${file}, verified.`);
      },
      () => {
        over();
        // Who cancels or withdraws knows.
        const isOwnDoing = transfer.error?.code === "offer_closed" || (transfer.state === "cancelled" && !transfer.error?.peers);
        if (!isOwnDoing) this.onOver(`${receiver.name}: ${file}: ${receiver.trouble}`);
      },
    );
    this.changed();
  }

  /** @param {string} id @param {boolean} isPaused */
  pause(id, isPaused) {
    const receiver = this.receivers.get(id);
    if (receiver === undefined) return;
    if (isPaused) receiver.transfer?.pause();
    else receiver.transfer?.resume();
    this.changed();
  }

  /** @param {string} id */
  cancel(id) {
    this.receivers.get(id)?.transfer?.cancel();
    this.changed();
  }

  withdraw() {
    if (this.sdk === undefined) this.closed = "withdrawn";
    else this.sdk.withdraw();
    this.changed();
  }

  /** The thread was left. */
  leave() {
    if (this.state === "open" || this.state === "preparing") this.withdraw();
  }
}
