// Offers: somebody's, which this page accepts or declines, and this page's own, which it makes to a peer or to the members
// of a thread. Each pair of pages has a connection of its own for it, made by the owner, and made anew after whatever
// ended it without anybody's will.

import { Emitter } from "./emitter.js";
import { Incoming } from "./incoming.js";
import { failure } from "./kit.js";
import { collect, describe, fingerprint, read } from "./manifest.js";
import { Outgoing } from "./outgoing.js";
import { check, deliver, sink, staged } from "./sink.js";
import { speed } from "./transfer.js";

/** Milliseconds until an offer is made again to somebody who was away, twice as many each time. */
const AGAIN = 1_000;
const AGAIN_MOST = 15_000;
/** Milliseconds that a transfer waits for somebody who went away in its midst. */
const PATIENCE = 10 * 60 * 1000;
/** A decline is this, or this and the page's own words. */
const DECLINED = "declined";
/** Why a transfer can end here, and begin again as soon as the sender offers the same again, which it does by itself. */
const AGAIN_POSSIBLE = ["cancelled", "storage_full", "storage_failed", "invalid_option"];
/** Ends that somebody has willed, or that trying again would only repeat. */
const FINAL = ["done", "cancelled", "offer_closed", "unhandled", "closed", "file_corrupt", "file_changed", "storage_full", "storage_failed", "invalid_option", "limit_reached", "too_large", "not_member", "protocol_violation"];
/** Of these, and of what else a peer may say, those that are told as they are. */
const TOLD = ["file_corrupt", "file_changed", "storage_full", "storage_failed", "protocol_violation", "too_large", "peer_left"];
/** Bytes of what is said of files. */
const MANIFEST = 1024 * 1024;
/** Bytes of what a page may say when it declines. */
const WORDS = 100;
/** Offers that are done, of which one remembers that. */
const DONE = 1024;

const isFinal = (reason) => FINAL.includes(reason) || reason === DECLINED || reason.startsWith(`${DECLINED}: `);

class FileOffer extends Emitter {
  constructor(events, { id, files, piece, note, thumbnail, expires }) {
    super(events);
    this.id = id;
    this.files = files;
    this.size = files.reduce((sum, { size }) => sum + size, 0);
    this.name = nameOf(files);
    this.type = files.length === 1 ? files[0].type : "";
    this.note = note;
    this.thumbnail = thumbnail;
    this.expires = new Date(Date.now() + expires);
    Object.defineProperty(this, "piece", { value: piece });
  }

  /** Where each piece is: in which file, and from all files' beginning. */
  places() {
    const list = [];
    let at = 0;
    for (const [file, { size }] of this.files.entries()) {
      for (let offset = 0; offset < size; offset += this.piece) {
        const length = Math.min(this.piece, size - offset);
        list.push({ file, offset, length, at });
        at += length;
      }
    }
    return list;
  }
}

/** One file's name, or the folder that all are in, or how many there are. */
function nameOf(files) {
  if (files.length === 1) return files[0].name;
  const [top] = files[0].path.split("/");
  const isFolder = files.every(({ path }) => path.startsWith(`${top}/`));
  return isFolder ? top : `${files.length} files`;
}

// ---- somebody's ----

export class IncomingOffer extends FileOffer {
  #connection;
  #transfer;
  #state = "open";
  #timer;
  #key;
  #registry;
  #received;

  constructor(manifest, connection, { key, thread, received, registry }) {
    super(["close"], manifest);
    this.from = connection.peer;
    this.thread = thread;
    this.#key = key;
    this.#registry = registry;
    this.#received = received;
    this.#timer = setTimeout(() => this.#expire(), manifest.expires);
    this.bind(connection);
  }

  get state() {
    return this.#state;
  }

  /** Bytes that are here from an earlier time. */
  get received() {
    return this.#transfer?.progress.bytes ?? this.#received;
  }

  get transfer() {
    return this.#transfer;
  }

  /** Of its files, by name, size and date: the same whoever offers them, and whenever. */
  get key() {
    return this.#key;
  }

  accept({ to, limit } = {}) {
    if (this.#state === "closed") throw failure("offer_closed", this.name);
    if (this.#transfer && !this.#transfer.isOver) throw failure("invalid_option", "it is accepted already");
    check(this, to);
    const before = this.#transfer?.closed;
    const transfer = new Incoming(this, { limit });
    this.#transfer = transfer;
    this.#state = "accepted";
    this.#open(transfer, to, before).catch((error) => transfer.fail(error));
    if (!this.#connection) this.#registry.wait(this);
    return transfer;
  }

  async #open(transfer, to, before) {
    // What the transfer before has written is gone on with.
    await before;
    if (await transfer.open(sink(this, this.#key, to))) this.#resume();
  }

  /** Goes on over the connection that there is. */
  #resume() {
    const connection = this.#connection;
    const transfer = this.#transfer;
    if (!connection || connection.state === "closed" || !transfer.isOpen || transfer.isOver) return;
    connection.accept();
    transfer.attach(connection);
  }

  decline(reason = "") {
    const isText = typeof reason === "string" && new TextEncoder().encode(reason).length <= WORDS && !/\p{Cc}/u.test(reason);
    if (!isText) throw failure("invalid_option", `the reason takes ${WORDS} bytes without control characters`);
    if (this.#state === "open") this.#close("declined", reason ? `${DECLINED}: ${reason}` : DECLINED);
  }

  /** Hands what has arrived to the browser's downloads, again. */
  async save() {
    const files = await this.#transfer?.done;
    if (!files) throw failure("invalid_option", "there is nothing that could be saved again");
    await deliver(this, [files].flat());
  }

  /** Its owner has made it again, over this connection. */
  bind(connection) {
    this.#connection = connection;
    connection.once("close", ({ reason }) => connection === this.#connection && this.#lost(reason));
    if (this.#transfer && !this.#transfer.isOver) this.#resume();
  }

  #lost(reason) {
    this.#connection = undefined;
    const transfer = this.#transfer;
    // Nothing more is needed of the sender.
    if (transfer?.isFinishing && !transfer.isOver) return;
    if (transfer && !transfer.isOver) {
      if (isFinal(reason)) {
        transfer.end(reason === "cancelled" ? "cancelled" : "failed", whyEnded(reason, this.from));
        this.#close(reason);
      } else {
        transfer.attach(undefined);
        this.#registry.wait(this);
      }
    } else if (!AGAIN_POSSIBLE.includes(transfer?.error?.code)) {
      this.#close(isFinal(reason) ? reason : "peer_left");
    } else {
      this.#registry.wait(this);
    }
  }

  /** Nobody came back. */
  giveUp(code = "peer_left") {
    this.#transfer?.end("failed", failure(code, this.from.id, { peers: [this.from.id] }));
    this.#close(code);
  }

  /** Its transfer is over. */
  over(transfer) {
    if (transfer !== this.#transfer) return;
    // The transfer tells the other side; one that has not got that far leaves the offer as it is.
    if (transfer.isAttached) this.#connection = undefined;
    if (transfer.state === "done") this.#close("done");
    else if (this.expires <= new Date()) this.#close("expired");
    // What was cancelled here may be accepted again.
    else this.#state = "open";
  }

  #expire() {
    if (!this.#transfer || this.#transfer.isOver) this.#close("expired");
  }

  #close(reason, say = "offer_closed") {
    if (this.#state === "closed") return;
    this.#state = "closed";
    clearTimeout(this.#timer);
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.reject(say);
    this.#registry.forget(this, reason);
    Emitter.emit(this, "close", { reason });
  }
}

function whyEnded(reason, peer) {
  const about = { peers: [peer.id] };
  if (reason === "cancelled") return failure("cancelled", `by ${peer.id}`, about);
  if (reason.startsWith(DECLINED)) return failure("declined", reason.slice(DECLINED.length + 2), about);
  if (reason === "closed") return failure("closed", peer.id, about);
  return TOLD.includes(reason) ? failure(reason, peer.id, about) : failure("offer_closed", reason, about);
}

// ---- this page's own ----

export class OwnOffer extends FileOffer {
  #sources;
  #text;
  #limit;
  #allow;
  #receivers = new Map();
  #state = "open";
  #timer;
  #endings = [];
  /** The page has it. */
  #isMade = false;

  /** `text` is what is said to receivers. */
  constructor(manifest, sources, { text, thread, limit, allow }) {
    super(["transfer", "decline", "close"], manifest);
    this.#text = text;
    this.thread = thread;
    this.#sources = sources;
    this.#limit = speed(limit);
    this.#allow = allow;
    this.#timer = setTimeout(() => this.#close("expired"), this.expires - Date.now());
  }

  get state() {
    return this.#state;
  }

  get transfers() {
    return Array.from(this.#receivers.values(), ({ transfer }) => transfer).filter(Boolean);
  }

  withdraw() {
    this.#close("withdrawn");
  }

  /** Something to do when it is over. */
  atEnd(ending) {
    this.#endings.push(ending);
  }

  /** From now on nothing is thrown, but told. */
  made() {
    this.#isMade = true;
  }

  /** Makes it to a peer, and again whenever the peer comes back, until it is answered. */
  to(peer) {
    if (this.#state === "closed" || (this.#allow && !this.#allow(peer))) return;
    let receiver = this.#receivers.get(peer.id);
    // Who was not a member is one now.
    if (["not_member", "left"].includes(receiver?.answered)) receiver.answered = undefined;
    if (receiver?.answered) return;
    if (!receiver) {
      receiver = { peer, wait: AGAIN };
      this.#receivers.set(peer.id, receiver);
      receiver.stop = peer.on("state", (state) => state !== "offline" && this.#announce(receiver));
    }
    this.#announce(receiver);
  }

  /** The peer is no longer one of those to whom it is made; what was accepted goes on. */
  without(peer) {
    const receiver = this.#receivers.get(peer.id);
    if (!receiver || (receiver.transfer && !receiver.transfer.isOver)) return;
    receiver.answered ??= "left";
    clearTimeout(receiver.timer);
    receiver.connection?.reject("offer_closed");
  }

  #announce(receiver) {
    const isWanted = this.#state !== "closed" || (receiver.transfer && !receiver.transfer.isOver);
    if (!isWanted || receiver.isAsked || receiver.answered) return;
    clearTimeout(receiver.timer);
    // The peer's state changes with that, which would bring it about again.
    receiver.isAsked = true;
    let connection;
    try {
      connection = receiver.peer.offering(this.#text);
    } catch (error) {
      receiver.isAsked = false;
      if (!this.#isMade) throw error;
      receiver.transfer?.end("failed", error);
      this.#answer(receiver, error.code ?? "closed");
      return;
    }
    receiver.connection = connection;
    connection.once("open", () => this.#accepted(receiver, connection));
    connection.once("close", ({ reason }) => {
      receiver.connection = undefined;
      receiver.isAsked = false;
      this.#lost(receiver, reason);
    });
  }

  #accepted(receiver, connection) {
    receiver.wait = AGAIN;
    let { transfer } = receiver;
    const isNew = !transfer || transfer.isOver;
    if (isNew) {
      transfer = new Outgoing(this, this.#sources, receiver.peer, { limit: this.#limit });
      receiver.transfer = transfer;
    }
    transfer.attach(connection);
    if (isNew) Emitter.emit(this, "transfer", transfer);
  }

  #lost(receiver, reason) {
    const { transfer } = receiver;
    const goesOn = transfer && !transfer.isOver;
    if (reason === "done") {
      transfer?.end("done");
      receiver.answered = reason;
    } else if (isFinal(reason)) {
      const isOurs = transfer?.error?.detail === "by this page";
      if (goesOn) transfer.end(reason === "cancelled" ? "cancelled" : "failed", whyEnded(reason, receiver.peer));
      // The receiver may come back to it.
      if (transfer && !isOurs && AGAIN_POSSIBLE.includes(reason)) this.#again(receiver);
      else this.#answer(receiver, reason);
    } else {
      if (goesOn) transfer.attach(undefined);
      this.#again(receiver);
    }
  }

  #again(receiver) {
    clearTimeout(receiver.timer);
    receiver.timer = setTimeout(() => this.#announce(receiver), receiver.wait);
    receiver.wait = Math.min(2 * receiver.wait, AGAIN_MOST);
  }

  /** No is an answer. */
  #answer(receiver, reason) {
    receiver.answered ??= reason;
    if (receiver.transfer || this.#state === "closed" || receiver.answered === "left") return;
    const words = reason.startsWith(`${DECLINED}: `) ? reason.slice(DECLINED.length + 2) : reason;
    Emitter.emit(this, "decline", { peer: receiver.peer, reason: words });
  }

  #close(reason) {
    if (this.#state === "closed") return;
    this.#state = "closed";
    clearTimeout(this.#timer);
    for (const ending of this.#endings) ending();
    for (const receiver of this.#receivers.values()) {
      const { transfer } = receiver;
      const goesOn = transfer && !transfer.isOver;
      // What has been accepted is finished, unless it is withdrawn.
      if (reason === "expired" && goesOn) continue;
      clearTimeout(receiver.timer);
      receiver.stop();
      if (goesOn) transfer.end("cancelled", failure("offer_closed", reason), "offer_closed");
      // Who has everything may still be writing it down.
      else if (transfer?.state !== "done") receiver.connection?.reject("offer_closed");
    }
    Emitter.emit(this, "close", { reason });
  }
}

// ---- both, of one client ----

/** The offers that one client has got. */
export class Registry {
  #client;
  #offers = new Map();
  /** Those whose transfer waits for their owner, and until when. */
  #waiting = new Map();
  #done = new Set();
  /** Offers in threads that this page has not been given yet. */
  #early = new Set();

  constructor(client) {
    this.#client = client;
    client.on("state", (state) => {
      if (state !== "closed") return;
      for (const offer of [...this.#offers.values(), ...this.#waiting.keys()]) offer.giveUp("closed");
    });
  }

  /** A peer offers something. */
  async take(connection) {
    let manifest;
    let key;
    try {
      manifest = read(connection.manifest);
      key = await fingerprint(manifest);
    } catch (error) {
      connection.reject(error.code ?? "protocol_violation");
      return;
    }
    if (connection.state === "closed") return;
    const { peer } = connection;
    const name = `${peer.id} ${manifest.id}`;
    if (this.#done.has(name)) {
      connection.reject("done");
      return;
    }
    const waits = (offer) => offer.from.id === peer.id && offer.key === key;
    const known = this.#offers.get(name) ?? [...this.#waiting.keys()].find(waits);
    if (known?.key === key) {
      this.#goOn(known);
      this.#offers.set(name, known);
      known.bind(connection);
      return;
    }
    const thread = manifest.thread === undefined ? undefined : this.#client.threads.get(manifest.thread);
    if (manifest.thread !== undefined && !thread?.members.has(peer.id)) {
      this.#hold(connection, manifest.thread, thread);
      return;
    }
    const received = await staged(key);
    if (connection.state === "closed") return;
    const offer = new IncomingOffer(manifest, connection, { key, thread, received, registry: this });
    this.#offers.set(name, offer);
    if (!(thread ?? this.#client).emitOffer(offer)) {
      connection.reject("unhandled");
      offer.giveUp("unhandled");
    }
  }

  /**
   * Until the page has been given that thread, or the server has told of the owner's membership, which can be slower than
   * the owner.
   */
  #hold(connection, id, thread) {
    const early = { connection, id };
    const refuse = () => {
      this.#let(early);
      connection.reject("not_member");
    };
    early.timer = setTimeout(refuse, 10_000);
    early.stop = thread?.on("join", (member) => member.id === connection.peer.id && this.#again(early));
    this.#early.add(early);
    if (this.#early.size > 64) refuse();
  }

  #let(early) {
    this.#early.delete(early);
    clearTimeout(early.timer);
    early.stop?.();
  }

  #again(early) {
    this.#let(early);
    if (early.connection.state !== "closed") this.take(early.connection);
  }

  /** The page has been given a thread. */
  joined(id) {
    for (const early of [...this.#early]) if (early.id === id) this.#again(early);
  }

  /** A transfer waits for its sender, who may have to pick the same files again. */
  wait(offer) {
    this.#goOn(offer);
    this.#waiting.set(offer, setTimeout(() => offer.giveUp(), PATIENCE));
  }

  #goOn(offer) {
    clearTimeout(this.#waiting.get(offer));
    this.#waiting.delete(offer);
  }

  forget(offer, reason) {
    this.#goOn(offer);
    for (const [name, other] of this.#offers) {
      if (other !== offer) continue;
      this.#offers.delete(name);
      // A sender who did not hear of it asks again.
      if (reason === "done") this.#done.add(name);
    }
    for (const name of this.#done) if (this.#done.size > DONE) this.#done.delete(name);
  }
}

/** Makes an offer; `receivers(to, without)` tells whom to make it to, now and later, and returns what ends that. */
export async function make(what, options, thread, receivers) {
  const { note, thumbnail, expires, name, limit, allow } = options ?? {};
  if (allow !== undefined && typeof allow !== "function") throw failure("invalid_option", "`allow` takes a function");
  const sources = await collect(what, name);
  const said = { ...(await describe(sources, { note, thumbnail, expires })), thread: thread?.id };
  const text = JSON.stringify(said);
  if (new TextEncoder().encode(text).length > MANIFEST) throw failure("too_large", "names of more files than fit into an offer");
  const offer = new OwnOffer(read(text), sources, { text, thread, limit, allow });
  try {
    offer.atEnd(receivers((peer) => offer.to(peer), (peer) => offer.without(peer)));
  } catch (error) {
    offer.withdraw();
    throw error;
  }
  offer.made();
  return offer;
}
