// How far a transfer is, how fast it goes, and when it will be there.

/** Milliseconds between two events of progress. */
const INTERVAL = 100;
/** Milliseconds over which the rate is the mean, more or less. */
const MEMORY = 3_000;

export class Progress {
  #total;
  #bytes = 0;
  #rate = 0;
  #since;
  #counted = 0;
  #timer;
  #tell;

  constructor(total, tell) {
    this.#total = total;
    this.#tell = tell;
  }

  /** Bytes, bytes in all, bytes a second, milliseconds left or `null`. */
  get value() {
    const left = this.#total - this.#bytes;
    const eta = left === 0 ? 0 : this.#rate > 0 ? Math.ceil((left / this.#rate) * 1000) : null;
    return Object.freeze({ bytes: this.#bytes, total: this.#total, rate: Math.round(this.#rate), eta });
  }

  /** So much is there; what was there from the start does not count as speed. */
  set(bytes) {
    this.#bytes = bytes;
    this.#since = undefined;
    this.#later();
  }

  add(bytes) {
    this.#since ??= performance.now();
    this.#bytes += bytes;
    this.#counted += bytes;
    this.#later();
  }

  /** Nothing moves. */
  rest() {
    this.#rate = 0;
    this.#counted = 0;
    this.#since = undefined;
    this.#later();
  }

  #measure() {
    const now = performance.now();
    const time = now - (this.#since ?? now);
    if (time < INTERVAL / 2) return;
    const present = (this.#counted / time) * 1000;
    const weight = this.#rate === 0 ? 1 : 1 - Math.exp(-time / MEMORY);
    this.#rate += (present - this.#rate) * weight;
    this.#since = now;
    this.#counted = 0;
  }

  #later() {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#measure();
      this.#tell(this.value);
    }, INTERVAL);
  }

  /** Tells the last one at once. */
  end() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#tell(this.value);
  }
}

/** Holds somebody back who would be faster than so many bytes a second. */
export class Limiter {
  #limit;
  #free = 0;
  #wake;

  constructor(limit = Infinity) {
    this.#limit = limit;
  }

  get limit() {
    return this.#limit;
  }

  set limit(limit) {
    this.#limit = limit;
    this.wake();
  }

  /** Whoever waits need wait no longer. */
  wake() {
    this.#free = 0;
    this.#wake?.();
  }

  /** Resolves when `bytes` have had their time. */
  async pass(bytes) {
    if (!Number.isFinite(this.#limit)) return;
    this.#free = Math.max(this.#free, performance.now() - 100) + (bytes / this.#limit) * 1000;
    const wait = Math.min(this.#free - performance.now(), 2 ** 31 - 1);
    if (wait <= 0) return;
    let timer;
    await new Promise((resolve) => {
      this.#wake = resolve;
      timer = setTimeout(resolve, wait);
    });
    clearTimeout(timer);
  }
}
