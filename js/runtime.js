// What the runtime's Rust leaves to JavaScript, because here it costs one crossing: arguments of events, promises by
// number, tasks.

/** A message to the client or a peer. */
export function message(from, name, data) {
  return { from, name, data };
}

/** A message to a thread. */
export function threadMessage(from, data) {
  return { from, data };
}

export function left(member, reason) {
  return { member, reason };
}

export function closed(reason) {
  return { reason };
}

export function presence(id, tag, online) {
  return tag === undefined ? { id, online } : { id, tag, online };
}

export function member(id, userData, media, peer) {
  return Object.freeze({ id, userData, media: Object.freeze(media), peer });
}

export function media(audio, video) {
  return { audio, video };
}

/** Ends a listener; good for any number of calls. */
export function unsubscriber(emitter, name, listener) {
  return () => emitter?.off(name, listener);
}

/** Gives a buffer's memory back now, and not when garbage is collected, which is late where buffers are many and large. */
export function free(buffer) {
  buffer.transfer?.(0);
}

/** Throws later, where the page's own error handling sees it, and nothing of ours is in the way. */
export function report(error) {
  if (typeof reportError === "function") reportError(error);
  else setTimeout(() => { throw error; });
}

/** A promise that ends like `promise`, or with the error that `abort` returns once `signal` is aborted. */
export function abortable(signal, promise, abort) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      signal.removeEventListener("abort", stop);
      reject(abort());
    };
    signal.addEventListener("abort", stop);
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
    if (signal.aborted) stop();
  });
}

// ---- promises ----

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

// ---- tasks ----

// A task of its own, after those that wait already: sooner than a timer, and not slowed down in hidden pages.

export class Task {
  #channel = new MessageChannel();

  constructor(run) {
    this.#channel.port1.onmessage = () => run();
  }

  /** Runs it once for each call. */
  post() {
    this.#channel.port2.postMessage(null);
  }

  /** No more. */
  end() {
    this.#channel.port1.onmessage = null;
    this.#channel.port1.close();
  }
}

// ---- statistics ----

/** What each connection had sent and received when it was last asked about. */
const samples = new WeakMap();

/** How a link is doing, for `peer.stats()`; `connection` is its RTCPeerConnection, if it has one. */
export async function linkStats(connection, state, roundTrip, waiting) {
  const report = await connection?.getStats();
  const entries = [...(report?.values() ?? [])];
  const get = (id) => entries.find((entry) => entry.id === id);
  const transport = entries.find((entry) => entry.type === "transport" && entry.selectedCandidatePairId);
  const pairs = entries.filter((entry) => entry.type === "candidate-pair");
  // Firefox has no transport's entry, but says which pair is selected.
  const pair = get(transport?.selectedCandidatePairId) ?? pairs.find((entry) => entry.selected ?? (entry.nominated && entry.state === "succeeded"));
  const candidate = ({ candidateType, protocol, relayProtocol } = {}) =>
    candidateType ? { type: candidateType, protocol: relayProtocol ?? protocol ?? "udp" } : null;
  const [local, remote] = [candidate(get(pair?.localCandidateId)), candidate(get(pair?.remoteCandidateId))];
  const now = { at: performance.now(), sent: pair?.bytesSent ?? 0, received: pair?.bytesReceived ?? 0 };
  const before = samples.get(connection) ?? { at: now.at, sent: now.sent, received: now.received };
  if (connection) samples.set(connection, now);
  const rate = (name) => (now.at > before.at ? ((now[name] - before[name]) / (now.at - before.at)) * 1000 : 0);
  const measured = pair?.currentRoundTripTime === undefined ? roundTrip : pair.currentRoundTripTime * 1000;
  const asked = pair?.requestsSent ?? 0;
  const relayed = [local, remote].some((side) => side?.type === "relay");
  const path = state === "relayed" ? "server" : state !== "live" ? null : relayed ? "turn" : "direct";
  // The answers to the checks that ICE makes all the time: the last one may be on its way.
  const loss = path === "server" || asked < 2 ? null : Math.min(1, Math.max(0, 1 - (pair.responsesReceived + 1) / asked));
  return {
    state,
    path,
    quality: quality(path, measured, loss),
    roundTrip: measured ?? null,
    loss,
    rate: { sent: rate("sent"), received: rate("received") },
    bytes: { sent: now.sent, received: now.received },
    waiting,
    local: path === "server" ? null : local,
    remote: path === "server" ? null : remote,
  };
}

function quality(path, roundTrip = 0, loss = 0) {
  if (path === null) return "none";
  if (roundTrip > 400 || loss > 0.1) return "poor";
  return roundTrip > 150 || loss > 0.02 || path === "server" ? "fair" : "good";
}
