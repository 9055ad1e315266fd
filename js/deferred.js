// Promises for calls that the core knows by number. Whole ranges are settled at once, so that a burst of thousands of
// messages costs one crossing from the wasm and not thousands.

export class Deferreds {
  #waiting = new Map();

  /** The promise of the call with this number. */
  promise(receipt) {
    const deferred = Promise.withResolvers?.() ?? withResolvers();
    this.#waiting.set(receipt, deferred);
    return deferred.promise;
  }

  #take(receipt) {
    const deferred = this.#waiting.get(receipt);
    this.#waiting.delete(receipt);
    return deferred;
  }

  /** Calls from `first` to `last` have succeeded. */
  settle(first, last) {
    for (let receipt = first; receipt <= last; receipt += 1) this.#take(receipt)?.resolve();
  }

  resolve(receipt, value) {
    this.#take(receipt)?.resolve(value);
  }

  /** Nothing will end any more. */
  rejectAll(error) {
    for (const receipt of [...this.#waiting.keys()]) this.reject(receipt, error);
  }

  reject(receipt, error) {
    const deferred = this.#take(receipt);
    // What fails because the page itself closed the client is no news to it, even where it looks after no promise.
    if (error.code === "closed") deferred?.promise.catch(() => {});
    deferred?.reject(error);
  }
}

function withResolvers() {
  const deferred = {};
  deferred.promise = new Promise((resolve, reject) => Object.assign(deferred, { resolve, reject }));
  return deferred;
}
