// The receiving half of a transfer: asks, checks, and hands pieces to a sink, as fast as that takes them.

import { failure, kit } from "./kit.js";
import { Flat } from "./flat.js";
import { hash } from "./piece.js";
import { Transfer } from "./transfer.js";

const TAKE = 0;
const COMPARE = 1;
const PAUSED = 2;
const CONFIRMED = 3;

export class Incoming extends Transfer {
  #sink;
  #machine;
  /** Pieces in their places. */
  #held = 0;
  /** Of all pieces in their place. */
  #hashes;
  /** Pieces are put in their places one after the other. */
  #queue = Promise.resolve();
  /** What was under way before is of no use any more. */
  #round = 0;
  #places;
  #finished;
  #opening;
  /** The sink is open. */
  isOpen = false;
  /** It has the offer's connection. */
  isAttached = false;
  /** The sender knows that all is here. */
  isFinishing = false;
  /** Resolves when the sink was let go. */
  closed = Promise.resolve();

  constructor(offer, { limit }) {
    super(offer, offer.from, limit);
    this.#places = offer.places();
    this.#hashes = new Uint8Array(32 * this.#places.length);
  }

  /** What to do once the sink is open, which has so many bytes already. */
  open(sink) {
    this.#opening = this.#open(sink);
    return this.#opening;
  }

  async #open(opened) {
    this.#sink = await opened;
    const held = await this.#sink.open();
    if (this.isOver) return false;
    const partial = this.#places.findIndex(({ at, length }) => at + length > held);
    this.#held = partial < 0 ? this.#places.length : partial;
    if (this.#held > 0) {
      this.#hashes.set(await this.#sink.hashes(this.#places.slice(0, this.#held)));
      this.has(this.#bytes(this.#held));
    }
    this.isOpen = !this.isOver;
    return this.isOpen;
  }

  #bytes(pieces) {
    return pieces === 0 ? 0 : this.#places[pieces - 1].at + this.#places[pieces - 1].length;
  }

  /** Goes on over this connection. */
  attach(connection) {
    this.#round += 1;
    const round = this.#round;
    this.#machine?.free();
    this.#machine = undefined;
    this.isAttached = connection !== undefined;
    super.attach(connection);
    if (!connection) return;
    const sizes = this.offer.files.map(({ size }) => size);
    // What is being put in its place now counts, too. What is here already is compared first: the sender's file may be
    // another one by now.
    this.#queue = this.#queue.then(() => {
      if (round !== this.#round || this.isOver) return;
      this.#machine = new kit.Receiver(sizes, this.offer.piece, this.#bytes(this.#held));
      if (this.pausedBy.includes("here")) this.#say(this.#machine.pause(true));
      this.#ask();
    });
    connection.on("message", (message) => {
      const isOurs = () => connection === this.connection && !this.isOver;
      if (isOurs() && this.#machine) this.#receive(message);
      else this.#queue.then(() => isOurs() && this.#receive(message));
    });
  }

  #say(...parts) {
    // What can't be sent is asked for anew over the next connection.
    this.connection?.sendFlat(new Flat(...parts)).catch(() => {});
  }

  #ask() {
    if (!this.connection || !this.#machine || this.isOver) return;
    for (let question = this.#machine.poll(); question; question = this.#machine.poll()) this.#say(question);
    if (this.#machine.isComplete()) this.#complete().catch((error) => this.fail(error));
  }

  #receive(message) {
    let heard;
    try {
      heard = this.#machine.receive(message.subarray(0, 64), message.length);
    } catch (error) {
      this.fail(error);
      return;
    }
    const [at, kind, ...numbers] = heard;
    const rest = message.subarray(at);
    switch (kind) {
      case TAKE:
        this.#take(numbers, message.slice(at - 32, at), rest);
        break;
      case COMPARE:
        this.#compare(numbers, rest).catch((error) => this.fail(error));
        break;
      case PAUSED:
        this.pausedThere(numbers[0] === 1);
        break;
      case CONFIRMED:
        this.#finish().catch((error) => this.fail(error));
        break;
      default:
    }
  }

  #take([piece, file, offset, length, deflated], expected, bytes) {
    const round = this.#round;
    const place = { file, offset, length };
    const put = this.#sink.put(place, bytes, deflated === 1, expected);
    // It is looked at in its turn.
    put.catch(() => {});
    this.#queue = this.#queue.then(async () => {
      const right = await put;
      if (round !== this.#round || this.isOver) return;
      if (right) {
        await this.#sink.store(place, right);
        // It is there, whatever became of the connection meanwhile.
        this.#hashes.set(expected, 32 * piece);
        this.#held = piece + 1;
        this.advance(length);
        await this.limiter.pass(length);
        if (round !== this.#round || this.isOver) return;
      }
      this.#machine.checked(Boolean(right));
      // What is on its way behind a wrong one comes again.
      if (!right) this.#round += 1;
      this.#ask();
    });
    this.#queue = this.#queue.catch((error) => this.fail(error));
  }

  async #compare([from, count], theirs) {
    const round = this.#round;
    const ours = this.#hashes.subarray(32 * from, 32 * (from + count));
    let same = 0;
    while (same < count && ours.subarray(32 * same, 32 * same + 32).every((byte, index) => byte === theirs[32 * same + index])) same += 1;
    if (same < count) {
      if (!this.#sink.canRewrite) throw failure("file_changed", "what the sender offers now begins otherwise");
      await this.#sink.truncate(this.#places[from + same]);
      if (round !== this.#round) return;
    }
    this.#machine.compared(same);
    if (!this.#machine.compares) this.#held = this.#machine.held;
    this.has(this.#bytes(this.#held));
    this.#ask();
  }

  async #complete() {
    const round = this.#round;
    const root = await hash(this.#hashes);
    if (round === this.#round && !this.isOver) this.#say(this.#machine.done(root));
  }

  #finish() {
    this.isFinishing = true;
    this.#finished ??= (async () => {
      const files = await this.#sink.finish();
      this.end("done", this.offer.files.length === 1 ? files?.[0] : files, "done");
    })();
    return this.#finished;
  }

  pausing(paused) {
    // Else it is said as soon as there is somebody to say it to.
    if (!this.connection || !this.#machine) return;
    this.#say(this.#machine.pause(paused));
    this.#ask();
  }

  /** It can't be gone on with. */
  fail(error) {
    if (this.isOver) return;
    const known = error?.name === "PeerloomError" ? error : failure("storage_failed", error?.message ?? "", { cause: error });
    const { code, detail } = known;
    const about = code === "file_corrupt" || code === "protocol_violation" ? failure(code, detail || this.peer.id, { peers: [this.peer.id] }) : known;
    this.end("failed", about, code);
  }

  ended(state) {
    this.#round += 1;
    this.#machine?.free();
    this.#machine = undefined;
    if (state !== "done") {
      const keeps = this.error?.code !== "file_corrupt";
      const opened = Promise.resolve(this.#opening).catch(() => {});
      this.closed = opened.then(() => this.#sink?.abort(keeps, this.error)).catch(() => {});
    }
    this.offer.over(this);
  }
}
