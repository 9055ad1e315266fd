// What `Actor.run(kit)` puts into a page beside the SDK. It is handed over as text, so it may use nothing from outside.

export async function kit(webrtc) {
  // Counted before the SDK loads, so that none is missed.
  globalThis.made = [];
  if (webrtc) {
    const Native = globalThis.RTCPeerConnection;
    globalThis.RTCPeerConnection = class RTCPeerConnection extends Native {
      constructor(...args) {
        super(...args);
        globalThis.made.push(this);
      }
    };
  } else {
    delete globalThis.RTCPeerConnection;
  }
  /** How many RTCPeerConnections this page made, and how many of them are still in use. */
  globalThis.connections = () => ({
    made: made.length,
    open: made.filter((connection) => connection.connectionState !== "closed").length,
  });

  const begun = performance.now();
  globalThis.diary = [];
  /** Notes something, for when a test fails. */
  globalThis.note = (...words) => {
    const line = words.map((word) => (typeof word === "string" ? word : JSON.stringify(word))).join(" ");
    diary.push(`${(performance.now() - begun).toFixed(0)} ms ${line}`);
  };

  /** Resolves with the first argument of `name` events that `fits`. */
  globalThis.next = (emitter, name, fits = () => true) =>
    new Promise((resolve) => {
      const off = emitter.on(name, (argument) => {
        if (!fits(argument)) return;
        off();
        resolve(argument);
      });
    });

  /** Resolves as soon as `holds()`, now or at a later `name` event. */
  globalThis.until = (emitter, name, holds) => (holds() ? Promise.resolve() : next(emitter, name, () => holds()));

  /** Resolves once the client, peer or other thing with a `state` is in that one. */
  globalThis.reach = (emitter, state) => until(emitter, "state", () => emitter.state === state);

  /** Every state from now on, the present one first. */
  globalThis.states = (emitter) => {
    const list = [emitter.state];
    emitter.on("state", (state) => list.push(state));
    return list;
  };

  /** What a PeerloomError says, or what else came instead of one. */
  globalThis.refusal = async (call) => {
    try {
      const value = await call();
      return { resolved: String(value) };
    } catch (error) {
      const { name, code, message, detail, remedy, retryAfter } = error;
      return { is: error instanceof sdk.PeerloomError && error instanceof Error, name, code, message, detail, remedy, retryAfter };
    }
  };

  /** A client under that id, with its states noted. */
  globalThis.online = async (id, options = {}) => {
    const client = new sdk.Client({ id, ...options });
    globalThis.client = client;
    client.on("state", (state) => note("client", state));
    client.on("error", (error) => note("error", error.code, error.message));
    await client.open();
    return client;
  };

  /** A member of that thread, with what it says noted. */
  globalThis.join = async (id, options) => {
    const thread = await client.thread(id, options);
    globalThis.thread = thread;
    const follow = (member) => {
      note(member.id, member.peer.state);
      member.peer.on("state", (state) => note(member.id, state));
    };
    for (const member of thread.members.values()) follow(member);
    thread.on("join", (member) => (note("join", member.id), follow(member)));
    thread.on("leave", ({ member, reason }) => note("leave", member.id, reason));
    return thread;
  };

  /** Whether two values are the same to the last detail: kinds, signs of zero, keys and their order, bytes. */
  globalThis.same = async (a, b) => {
    if (Object.is(a, b)) return true;
    if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
    if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
    const all = async (xs, ys) => {
      if (xs.length !== ys.length) return false;
      for (let index = 0; index < xs.length; index += 1) if (!(await same(xs[index], ys[index]))) return false;
      return true;
    };
    if (a instanceof Date) return Object.is(a.getTime(), b.getTime());
    if (a instanceof Blob) return a.type === b.type && same(await a.arrayBuffer(), await b.arrayBuffer());
    if (a instanceof Map || a instanceof Set) return all([...a], [...b]);
    if (a instanceof ArrayBuffer) return all([...new Uint8Array(a)], [...new Uint8Array(b)]);
    if (ArrayBuffer.isView(a)) {
      const bytes = (view) => [...new Uint8Array(view.buffer, view.byteOffset, view.byteLength)];
      return all(bytes(a), bytes(b));
    }
    const keys = Object.keys(a);
    return (await all(keys, Object.keys(b))) && all(keys.map((key) => a[key]), keys.map((key) => b[key]));
  };

  globalThis.sdk = await import("/pkg/index.js");
}
