// What `import … from "peerloom"` gives. Importing touches no browser API and loads no wasm: `connect`, `init` or
// `client.open` do. The classes of peers and threads come from the wasm; `Client` is wrapped, so that it can be made, and
// given listeners, before the wasm is there.

import load, { Client as WasmClient, Connection, Peer, pieceFor, Receiver, safeFileName, Sender, Thread } from "./peerloom.js";
import { describe, PeerloomError } from "./error.js";
import { errors } from "./errors.js";

export { Connection, Peer, PeerloomError, Thread };

describe(errors);

let loading;

/** Loads the wasm; `source` is where it is, if not beside this module. */
export function init(source) {
  loading ??= loadOnce(source).catch((error) => {
    loading = undefined;
    throw error;
  });
  return loading;
}

async function loadOnce(source) {
  if (typeof WebAssembly !== "object") throw new PeerloomError("unsupported", "WebAssembly");
  if (typeof WebSocket !== "function") throw new PeerloomError("unsupported", "WebSocket");
  try {
    await load({ module_or_path: code(source) });
  } catch (cause) {
    throw new PeerloomError("load_failed", cause?.message ?? "", { cause });
  }
}

/** What `load` takes: the response, or what the page has already. */
async function code(source = new URL("peerloom_bg.wasm", import.meta.url)) {
  const isAddress = typeof source === "string" || source instanceof URL || source instanceof Request;
  const found = isAddress ? await fetch(source) : source;
  setTimeout(prepare);
  return found;
}

/** A module that nothing waits for at first: kept apart, so that it is out of the way of what must be there. */
function later(importModule) {
  let loading;
  return () => {
    loading ??= importModule().catch((cause) => {
      loading = undefined;
      throw new PeerloomError("load_failed", cause?.message ?? "", { cause });
    });
    return loading;
  };
}

const loadDiagnose = later(() => import("./diagnose.js"));

const loadFiles = later(async () => {
  const files = await import("./files.js");
  files.setUp({ PeerloomError, pieceFor, Receiver, safeFileName, Sender });
  return files;
});

/** What is dropped on a page can be read only while it is told of. */
function grasp(what) {
  if (typeof DataTransfer !== "function" || !(what instanceof DataTransfer)) return what;
  const items = Array.from(what.items).filter(({ kind }) => kind === "file");
  return items.map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
}

async function offer(offerTo, what, options) {
  const grasped = grasp(what);
  return (await loadFiles())[offerTo](this, grasped, options);
}

Object.defineProperties(Peer.prototype, {
  offer: { value(what, options) { return offer.call(this, "offerToPeer", what, options); } },
});
Object.defineProperties(Thread.prototype, {
  offer: { value(what, options) { return offer.call(this, "offerToThread", what, options); } },
});

/** The socket's address: the page's own origin by default, and `/peerloom` where no path is given. */
function address(server = "/peerloom") {
  const refuse = (why) => new PeerloomError("invalid_option", `\`server\` ${why}`);
  let url;
  try {
    url = new URL(server, globalThis.location?.href);
  } catch {
    throw refuse("is not an address; give one such as wss://example.org");
  }
  url.protocol = url.protocol.replace("http", "ws");
  if (!/^wss?:$/.test(url.protocol)) throw refuse("takes a ws:, wss:, http: or https: address");
  if (url.pathname === "/") url.pathname = "/peerloom";
  url.hash = "";
  return url.href;
}

/** A socket that opens while the wasm comes; none where the browser refuses, which the wasm then finds out for itself. */
function openSocket(server) {
  try {
    return new WebSocket(server, "peerloom.v1");
  } catch {
    return undefined;
  }
}

/** What is better done while the wasm comes and is compiled. */
function prepare() {
  // When it is needed, the network may be gone.
  loadDiagnose().catch(() => {});
  loadFiles().catch(() => {});
  // The first use of the browser's WebRTC starts it, which takes a while.
  globalThis.RTCPeerConnection?.generateCertificate?.({ name: "ECDSA", namedCurve: "P-256" }).catch(() => {});
}

/** `new Client(options)` and `await client.open()` in one. */
export async function connect(options) {
  return new Client(options).open();
}

/** The wasm would read memory where it expects a string and gets none. */
function text(value, what, code = "invalid_name") {
  if (typeof value === "string") return value;
  throw new PeerloomError(code, `${what} is not a string`);
}

const FAULTS = Object.freeze([
  "signalling_drop", "half_open_socket", "server_away", "server_drain", "server_busy", "resume_refused", "id_lost",
  "ice_disconnect", "ice_failure", "ice_restart", "silent_path", "channel_close", "link_rebuild", "relay_only",
  "negotiation_failure", "slow_network", "doubled_frames", "offline", "network_change", "sleep",
]);

const has = (name) => typeof globalThis[name] === "function";

export class Client {
  /** What this browser can do. */
  static get supported() {
    const devices = globalThis.navigator?.mediaDevices;
    const webrtc = has("RTCPeerConnection");
    return Object.freeze({
      webrtc,
      dataChannels: webrtc && "createDataChannel" in RTCPeerConnection.prototype,
      media: typeof devices?.getUserMedia === "function",
      screen: typeof devices?.getDisplayMedia === "function",
      webSocket: has("WebSocket"),
      webAssembly: typeof WebAssembly === "object",
    });
  }

  /** What `simulate` can bring about. */
  static get faults() {
    return FAULTS;
  }

  #options;
  /** The wasm's client, once it is made. */
  #inner;
  /** Calls of before that, carried out in order when it is. */
  #before = [];
  #opening;
  /** The offers of others. */
  #offers;
  #closed = false;
  /** Whether a server has ever admitted it. */
  #admitted = false;
  /** Why it could not be opened, or what it reported last. */
  #failure;

  constructor(options = {}) {
    this.#options = { ...options };
  }

  get id() {
    return this.#inner?.id ?? this.#options.id ?? "";
  }

  get state() {
    if (this.#closed) return "closed";
    return this.#inner?.state ?? (this.#opening ? "connecting" : "idle");
  }

  get userData() {
    return this.#inner ? this.#inner.userData : this.#options.userData;
  }

  get peers() {
    return this.#inner?.peers ?? new Map();
  }

  get threads() {
    return this.#inner?.threads ?? new Map();
  }

  open() {
    this.#opening ??= this.#open();
    return this.#opening;
  }

  async #open() {
    let socket;
    try {
      const server = address(this.#options.server ?? undefined);
      const loaded = init();
      socket = openSocket(server);
      await loaded;
      if (this.#closed) throw new PeerloomError("closed");
      this.#inner ??= new WasmClient({ ...this.#options, server }, socket);
      this.#inner.on("error", (error) => (this.#failure = error), false);
      this.#inner.takeOffers((connection) => this.#offered(connection));
      for (const call of this.#before.splice(0)) call();
      await this.#inner.open();
      this.#admitted = true;
      return this;
    } catch (error) {
      socket?.close();
      // Made but not admitted: nothing of it may go on, and a client is opened once.
      this.#closed ||= this.#inner !== undefined;
      this.#opening = undefined;
      this.#failure = error;
      throw error;
    }
  }

  /** The wasm's client, or an error that says what to do first. */
  #opened() {
    if (this.#inner) return this.#inner;
    throw new PeerloomError(this.#closed ? "closed" : "not_open");
  }

  /** Now, or as soon as the wasm's client is made. Returns the function that undoes it. */
  #when(call, undo) {
    if (this.#inner) call();
    else this.#before.push(call);
    return () => {
      const index = this.#before.indexOf(call);
      if (index >= 0) this.#before.splice(index, 1);
      else if (this.#inner) undo();
    };
  }

  peer(id) {
    return this.#opened().peer(text(id, "the id"));
  }

  async thread(id, options) {
    const thread = await this.#opened().thread(id === undefined || id === null ? undefined : text(id, "the thread's id"), options);
    // After the page's own next step, which may be to listen.
    if (this.#offers) setTimeout(() => this.#offers.joined(thread.id));
    return thread;
  }

  async #offered(connection) {
    try {
      const { Registry } = await loadFiles();
      this.#offers ??= new Registry(this.#inner);
      await this.#offers.take(connection);
    } catch {
      connection.reject("unsupported");
    }
  }

  tag(...tags) {
    this.#when(() => this.#inner.tag(tags.flat()));
  }

  untag(...tags) {
    this.#when(() => this.#inner.untag(tags.flat()));
  }

  watch(...names) {
    this.#when(() => this.#inner.watch(names.flat()));
  }

  unwatch(...names) {
    this.#when(() => this.#inner.unwatch(names.flat()));
  }

  setUserData(userData) {
    if (this.#inner) this.#inner.setUserData(userData);
    else this.#options.userData = userData;
  }

  async send(to, name, data) {
    return this.#opened().send(to, text(name, "the message's name"), data);
  }

  async request(to, name, data, options) {
    return this.#opened().request(text(to, "the receiver's name"), text(name, "the request's name"), data, options);
  }

  handle(name, handler) {
    text(name, "the request's name");
    return this.#when(() => this.#inner.handle(name, handler), () => this.#inner.unhandle(name, handler));
  }

  async simulate(fault, options) {
    return this.#opened().simulate(text(fault, "the fault's name", "invalid_option"), options);
  }

  async diagnose(options) {
    const { diagnose } = await loadDiagnose();
    const { iceServers, privacy, token, server } = this.#options;
    return diagnose(
      {
        PeerloomError,
        client: this,
        server: () => address(server ?? undefined),
        iceServers: this.#inner ? this.#inner.iceServers : iceServers,
        isAdmitted: this.#admitted,
        isRelayOnly: privacy === "relay",
        token,
        failure: () => this.#failure,
      },
      options,
    );
  }

  async close() {
    this.#failure = undefined;
    if (this.#inner && !this.#closed) this.#inner.close();
    this.#closed = true;
    this.#before.length = 0;
  }

  on(name, listener) {
    text(name, "the event's name", "invalid_option");
    return this.#when(() => this.#inner.on(name, listener, false), () => this.#inner.off(name, listener));
  }

  once(name, listener) {
    text(name, "the event's name", "invalid_option");
    return this.#when(() => this.#inner.on(name, listener, true), () => this.#inner.off(name, listener));
  }

  off(name, listener) {
    this.#when(() => this.#inner.off(name, listener));
  }
}
