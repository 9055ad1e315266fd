// The sending half of a transfer: reads, hashes, compresses where it pays, and sends what it is asked for.

import { failure, kit } from "./kit.js";
import { Flat } from "./flat.js";
import { labour } from "./labour.js";
import { free, hash } from "./piece.js";
import { Transfer } from "./transfer.js";

const PIECE = 0;
const HASHES = 1;
const PAUSED = 2;
const DONE = 3;
/** Pieces that are read and hashed while others are sent. */
const AHEAD = 4;
/** Pieces between two tries to compress what could not be compressed, at most. */
const TRY_AGAIN = 64;

export class Outgoing extends Transfer {
  #sources;
  #machine;
  #round = 0;
  #jobs = [];
  #works = false;
  #wake;
  #hashes;
  #places;
  #open = [];
  #squeeze = { wait: 0, after: 1 };
  #sent = 0;

  constructor(offer, sources, peer, { limit }) {
    super(offer, peer, limit);
    this.#sources = sources;
    this.#places = offer.places();
  }

  attach(connection) {
    this.#round += 1;
    this.#jobs = [];
    if (connection) {
      const round = this.#round;
      this.#machine?.free();
      this.#machine = new kit.Sender(this.offer.files.map(({ size }) => size), this.offer.piece);
      this.#hashes = new Map();
      this.#sent = 0;
      this.has(0);
      connection.on("message", (message) => {
        if (round === this.#round && !this.isOver) this.#receive(message);
      });
      connection.on("drain", () => this.#wake?.());
    }
    this.#wake?.();
    super.attach(connection);
  }

  #receive(message) {
    let asked;
    try {
      asked = this.#machine.receive(message);
    } catch (error) {
      this.fail(error);
      return;
    }
    if (asked[0] === PAUSED) {
      this.pausedThere(asked[1] === 1);
      return;
    }
    this.#jobs.push({ asked });
    this.#work();
  }

  settle() {
    super.settle();
    this.#wake?.();
  }

  async #work() {
    if (this.#works) return;
    this.#works = true;
    while (this.#jobs.length > 0 && !this.isOver) {
      const round = this.#round;
      try {
        this.#lookAhead();
        const { message: preparing } = this.#jobs.shift();
        const message = await preparing;
        if (round !== this.#round) continue;
        await this.#turn(round, message.bytes);
        if (round !== this.#round || this.isOver) continue;
        this.#machine.sent();
        const sent = this.connection.sendFlat(message.flat).finally(() => free(message.content));
        if (message.bytes > 0) sent.then(() => this.#confirmed(round, message), () => {});
        // If its way is lost now, the other side says so when it is asked again.
        else sent.then(() => message.isLast && this.end("done"), () => {});
      } catch (error) {
        if (round === this.#round) this.fail(error);
      }
    }
    this.#works = false;
  }

  /** The first job is being prepared then, and the pieces that follow it. */
  #lookAhead() {
    for (const [index, job] of this.#jobs.slice(0, AHEAD).entries()) {
      if (index > 0 && job.asked[0] !== PIECE) break;
      job.message ??= this.#prepare(job.asked);
      // It is looked at in its turn.
      job.message.catch(() => {});
    }
  }

  /** Waits until it may be sent. */
  async #turn(round, bytes) {
    if (bytes > 0) await this.limiter.pass(bytes);
    while (round === this.#round && !this.isOver && (this.isPaused || this.connection.isFull)) {
      await new Promise((resolve) => (this.#wake = resolve));
    }
    this.#wake = undefined;
  }

  #confirmed(round, { piece, bytes }) {
    if (round !== this.#round || this.isOver) return;
    // A piece that was asked for again does not count twice.
    if (piece < this.#sent) return;
    this.#sent = piece + 1;
    this.advance(bytes);
  }

  async #prepare([kind, ...numbers]) {
    switch (kind) {
      case PIECE: {
        const [round, piece, file, offset, length] = numbers;
        const squeeze = this.#squeezes();
        const packed = await this.#read(file, offset, length, squeeze);
        if (squeeze) this.#learn(packed.deflated);
        this.#hashes?.set(piece, packed.hash);
        const head = this.#machine.piece(round, piece, packed.deflated, packed.hash);
        return { flat: new Flat(head, packed.bytes), bytes: length, piece, content: packed.bytes };
      }
      case HASHES: {
        const [from, count] = numbers;
        const all = new Uint8Array(32 * count);
        for (let index = 0; index < count && !this.isOver; index += 1) all.set(await this.#hashOf(from + index), 32 * index);
        const last = this.#places[from + count - 1];
        this.#sent = Math.max(this.#sent, from + count);
        this.has(last.at + last.length);
        return { flat: new Flat(this.#machine.hashes(from, count), all), bytes: 0 };
      }
      case DONE:
      default: {
        const pieces = this.#places.length;
        const all = new Uint8Array(32 * pieces);
        for (let piece = 0; piece < pieces && !this.isOver; piece += 1) all.set(await this.#hashOf(piece), 32 * piece);
        const root = await hash(all);
        if (!root.every((byte, index) => byte === numbers[index])) throw failure("file_changed", "the other side has something else");
        return { flat: new Flat(this.#machine.confirmed()), bytes: 0, isLast: true };
      }
    }
  }

  async #hashOf(piece) {
    const known = this.#hashes?.get(piece);
    if (known) return known;
    const { file, offset, length } = this.#places[piece];
    const packed = await this.#read(file, offset, length, false);
    this.#hashes?.set(piece, packed.hash);
    return packed.hash;
  }

  /** The file's name at whoever reads from it, since its first piece. */
  #opened(file) {
    this.#open[file] ??= (async () => {
      const key = crypto.randomUUID();
      await labour("openSource", [key, this.#sources[file].blob]);
      return key;
    })();
    return this.#open[file];
  }

  async #read(file, offset, length, squeeze) {
    const source = this.#sources[file];
    try {
      if (source.blob) {
        const packed = await labour("packFrom", [await this.#opened(file), offset, length, squeeze]);
        if (packed.length === length) return packed;
      } else {
        const bytes = await source.read(offset, offset + length);
        const buffer = ArrayBuffer.isView(bytes) ? bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) : bytes;
        if (buffer.byteLength === length) return await labour("pack", [buffer, squeeze], [buffer]);
      }
    } catch (error) {
      throw failure("file_changed", error?.message ?? "", { cause: error });
    }
    throw failure("file_changed", "it is shorter than it was");
  }

  /** Whether this piece is tried: what could not be made smaller is tried again ever more seldom. */
  #squeezes() {
    this.#squeeze.wait -= 1;
    return this.#squeeze.wait < 0;
  }

  #learn(worked) {
    this.#squeeze.after = worked ? 1 : Math.min(2 * this.#squeeze.after, TRY_AGAIN);
    this.#squeeze.wait = worked ? 0 : this.#squeeze.after;
  }

  pausing(paused) {
    this.connection?.sendFlat(new Flat(this.#machine.pause(paused))).catch(() => {});
  }

  /** It can't be gone on with. */
  fail(error) {
    if (this.isOver) return;
    const known = error?.name === "PeerloomError" ? error : failure("file_changed", error?.message ?? "", { cause: error });
    const about = known.code === "protocol_violation" ? failure(known.code, known.detail, { peers: [this.peer.id] }) : known;
    this.end("failed", about, known.code);
  }

  ended() {
    this.#round += 1;
    this.#jobs = [];
    this.#wake?.();
    for (const opened of this.#open) opened?.then((key) => labour("closeSource", [key])).catch(() => {});
    this.#open = [];
    this.#hashes = undefined;
  }
}
