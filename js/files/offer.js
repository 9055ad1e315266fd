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
    this.#timer = setTimeout(() => this.#close("expired"), manifest.expires);
    this.bind(connection);
  }

  get state() {
    return this.#state;
  }

  get key() {
    return this.#key;
  }

  /** Bytes that are here from an earlier time. */
  get received() {
    return this.#transfer?.progress.bytes ?? this.#received;
  }

  get transfer() {
    return this.#transfer;
  }

  accept({ to, limit } = {}) {
    if (this.#state === "closed") throw failure("offer_closed", this.name);
    if (this.#transfer && !this.#transfer.isOver) throw failure("invalid_option", "it is accepted already");
    check(this, to);
    const transfer = new Incoming(this, { limit });
    this.#transfer = transfer;
    this.#state = "accepted";
    this.#open(transfer, to).catch((error) => transfer.fail(error));
    if (!this.#connection) this.#registry.wait(this, PATIENCE);
    return transfer;
  }

  async #open(transfer, to) {
    if (!(await transfer.open(sink(this, this.#key, to)))) return;
    this.#resume();
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
    if (typeof reason !== "string") throw failure("invalid_option", "the reason is not a string");
    if (this.#state !== "open") return;
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.reject(reason ? `${DECLINED}: ${reason}` : DECLINED);
    this.#close("declined");
  }

  /** Hands what has arrived to the browser's downloads, again. */
  async save(files) {
    await deliver(this, files);
  }

  /** Its owner has made it again, over this connection. */
  bind(connection) {
    this.#connection = connection;
    connection.once("close", ({ reason }) => connection === this.#connection && this.#lost(reason));
    if (this.#transfer?.state === "done") connection.reject("done");
    else if (this.#transfer && !this.#transfer.isOver) this.#resume();
  }

  #lost(reason) {
    this.#connection = undefined;
    const transfer = this.#transfer;
    if (transfer && !transfer.isOver) {
      if (isFinal(reason)) {
        transfer.end(reason === "cancelled" ? "cancelled" : "failed", whyEnded(reason, this.from));
        this.#close(reason);
      } else {
        transfer.attach(undefined);
        this.#registry.wait(this, PATIENCE);
      }
    } else if (!AGAIN_POSSIBLE.includes(transfer?.error?.code)) {
      this.#close(isFinal(reason) ? reason : "peer_left");
    }
  }

  /** Nobody came back. */
  giveUp() {
    this.#transfer?.end("failed", failure("peer_left", this.from.id, { peers: [this.from.id] }));
    this.#close("peer_left");
  }

  /** Its transfer is over. */
  over(transfer) {
    // What was cancelled here may be accepted again.
    this.#state = transfer.state === "done" ? "closed" : "open";
    if (transfer.state === "done") this.#close("done");
  }

  #close(reason) {
    clearTimeout(this.#timer);
    const transfer = this.#transfer;
    if (reason === "expired" && transfer && !transfer.isOver) return;
    if (this.#state === "closed" && reason !== "done") return;
    this.#state = "closed";
    this.#connection?.reject(reason === "done" ? "done" : "offer_closed");
    this.#registry.forget(this, reason);
    Emitter.emit(this, "close", { reason });
  }
}

function whyEnded(reason, peer) {
  if (reason === "cancelled") return failure("cancelled", `by ${peer.id}`, { peers: [peer.id] });
  return failure(reason, peer.id, { peers: [peer.id] });
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

  constructor(manifest, sources, { thread, limit, allow }) {
    super(["transfer", "decline", "close"], manifest);
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

  /** What is said to receivers. */
  announceWith(text) {
    this.#text = text;
  }

  /** Something to do when it is over. */
  atEnd(ending) {
    this.#endings.push(ending);
  }

  /** Makes it to a peer, and again whenever the peer comes back, until it is answered. */
  to(peer) {
    if (this.#state === "closed" || (this.#allow && !this.#allow(peer))) return;
    let receiver = this.#receivers.get(peer.id);
    if (receiver?.answered) return;
    if (!receiver) {
      receiver = { peer, wait: AGAIN };
      this.#receivers.set(peer.id, receiver);
      const back = peer.on("state", (state) => state !== "offline" && this.#announce(receiver));
      this.#endings.push(back);
    }
    this.#announce(receiver);
  }

  #announce(receiver) {
    if (this.#state === "closed" || receiver.isAsked || receiver.answered) return;
    clearTimeout(receiver.timer);
    // The peer's state changes with that, which would bring it about again.
    receiver.isAsked = true;
    let connection;
    try {
      connection = receiver.peer.offering(this.#text);
    } catch (error) {
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
      receiver.answered = true;
    } else if (isFinal(reason)) {
      if (goesOn) transfer.end(reason === "cancelled" ? "cancelled" : "failed", whyEnded(reason, receiver.peer));
      // The receiver may come back to it.
      if (goesOn && AGAIN_POSSIBLE.includes(reason)) this.#again(receiver);
      else this.#answer(receiver, reason);
    } else if (this.#state === "closed") {
      transfer?.end("failed", failure("offer_closed", this.name));
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
    receiver.answered = true;
    if (receiver.transfer) return;
    const words = reason.startsWith(`${DECLINED}: `) ? reason.slice(DECLINED.length + 2) : reason;
    Emitter.emit(this, "decline", { peer: receiver.peer, reason: words });
  }

  #close(reason) {
    if (this.#state === "closed") return;
    this.#state = "closed";
    clearTimeout(this.#timer);
    for (const ending of this.#endings) ending();
    for (const receiver of this.#receivers.values()) {
      clearTimeout(receiver.timer);
      const { transfer } = receiver;
      // What has been accepted is finished, unless it is withdrawn.
      if (reason === "expired" && transfer && !transfer.isOver && receiver.connection) continue;
      transfer?.end("cancelled", failure("offer_closed", reason));
      receiver.connection?.reject("offer_closed");
    }
    Emitter.emit(this, "close", { reason });
  }
}

// ---- both, of one client ----

/** The offers that one client has got. */
export class Registry {
  #client;
  #offers = new Map();
  #waiting = new Map();
  /** Offers in threads that this page has not been given yet. */
  #early = [];

  constructor(client) {
    this.#client = client;
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
    const { peer } = connection;
    const known = this.#offers.get(`${peer.id} ${manifest.id}`) ?? this.#waiting.get(`${peer.id} ${key}`)?.offer;
    if (known && known.size === manifest.files.reduce((sum, { size }) => sum + size, 0)) {
      this.#goOn(`${peer.id} ${key}`);
      this.#offers.set(`${peer.id} ${manifest.id}`, known);
      known.bind(connection);
      return;
    }
    let thread;
    if (manifest.thread !== undefined) {
      thread = this.#client.threads.get(manifest.thread);
      if (!thread) {
        const timer = setTimeout(() => connection.reject("not_member"), 10_000);
        this.#early.push({ connection, thread: manifest.thread, timer });
        if (this.#early.length > 64) this.#refuse(this.#early.shift());
        return;
      }
      if (!thread.members.has(peer.id)) {
        connection.reject("not_member");
        return;
      }
    }
    const received = await staged(key);
    if (connection.state === "closed") return;
    const offer = new IncomingOffer(manifest, connection, { key, thread, received, registry: this });
    this.#offers.set(`${peer.id} ${manifest.id}`, offer);
    if (!(thread ?? this.#client).emitOffer(offer)) {
      this.#offers.delete(`${peer.id} ${manifest.id}`);
      connection.reject("unhandled");
    }
  }

  #refuse({ connection, timer }) {
    clearTimeout(timer);
    connection.reject("not_member");
  }

  /** The page has been given a thread. */
  joined(id) {
    const mine = this.#early.filter(({ thread }) => thread === id);
    this.#early = this.#early.filter(({ thread }) => thread !== id);
    for (const { connection, timer } of mine) {
      clearTimeout(timer);
      if (connection.state !== "closed") this.take(connection);
    }
  }

  /** A transfer waits for its sender, who may have to pick the same files again. */
  wait(offer, patience) {
    const name = `${offer.from.id} ${offer.key}`;
    this.#goOn(name);
    this.#waiting.set(name, { offer, timer: setTimeout(() => offer.giveUp(), patience) });
  }

  #goOn(name) {
    clearTimeout(this.#waiting.get(name)?.timer);
    this.#waiting.delete(name);
  }

  forget(offer, reason) {
    this.#goOn(`${offer.from.id} ${offer.key}`);
    // One that is done is asked about again if the sender did not hear of it.
    if (reason === "done") return;
    for (const [name, other] of this.#offers) if (other === offer) this.#offers.delete(name);
  }
}

/** Makes an offer; `receivers(to)` tells whom to make it to, now and later, and returns what ends that. */
export async function make(what, options, thread, receivers) {
  const { note, thumbnail, expires, name, limit, allow } = options ?? {};
  if (allow !== undefined && typeof allow !== "function") throw failure("invalid_option", "`allow` takes a function");
  const sources = await collect(what, name);
  const said = { ...(await describe(sources, { note, thumbnail, expires })), thread: thread?.id };
  const text = JSON.stringify(said);
  const offer = new OwnOffer({ ...read(text) }, sources, { thread, limit, allow });
  offer.announceWith(text);
  offer.atEnd(receivers((peer) => offer.to(peer)));
  return offer;
}
