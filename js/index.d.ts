/**
 * Peerloom: talk directly from one web page to another.
 *
 * Importing this module touches no browser API and loads no WebAssembly; {@link connect} (or {@link init}) does.
 */

import type { FileOffer, Offerable, OfferOptions, OwnOffer } from "./files.js";

export type {
  OfferedFile, Offerable, FileSource, OfferOptions, AcceptOptions, FileOffer,
  FileOfferEvents, OwnOffer, OwnOfferEvents, TransferState, Progress, Transfer, TransferEvents,
} from "./files.js";

/** A value that JSON can carry. User data is one of these, at most 4096 bytes as JSON text. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/**
 * What a message may carry: a string, a JSON value, an ArrayBuffer or one of its views, a Blob, Date, Map, Set, BigInt,
 * `undefined`, at any depth up to 64. At most 16 MiB in all; 1 GiB over a {@link Connection}. Anything else rejects with
 * `invalid_data` at `send`. A File arrives as a Blob, without its name and date.
 */
export type Data =
  | string
  | number
  | boolean
  | bigint
  | null
  | undefined
  | ArrayBuffer
  | ArrayBufferView
  | Blob
  | Date
  | ReadonlyMap<Data, Data>
  | ReadonlySet<Data>
  | readonly Data[]
  | { readonly [key: string]: Data };

/** Every code that {@link PeerloomError.code} can be. `docs/errors.md` has the cause and remedy of each. */
export type ErrorCode = keyof typeof import("./errors.js").errors;

/** The one kind of error that this library throws, rejects with, or reports. */
export class PeerloomError extends Error {
  readonly name: "PeerloomError";
  /** Stable: compare with this, never with the message. */
  readonly code: ErrorCode;
  /** What the page or its user can do about it, in one sentence. */
  readonly remedy: string;
  /** What exactly happened this time, e.g. the name that was refused. */
  readonly detail: string;
  /** Milliseconds after which another try may succeed, where the server said so. */
  readonly retryAfter?: number;
  /** The ids of those who did not confirm what was sent, where it was sent to somebody. */
  readonly peers?: readonly string[];
  /** The browser's own error, if there was one. */
  readonly cause?: unknown;
}

/** `"idle"` before open; `"recovering"` while the session with the server is being restored. */
export type ClientState = "idle" | "connecting" | "online" | "recovering" | "closed";

/** `"relayed"`: messages travel through the server because no direct link could be made (yet). */
export type PeerState = "offline" | "connecting" | "live" | "recovering" | "relayed";

/** Why somebody is no longer a member. */
export type LeaveReason = "left" | "timed_out" | "kicked" | "replaced";

/** Which media one is willing to give and take in a thread. */
export interface ThreadMedia {
  audio?: boolean;
  video?: boolean;
}

export interface ClientOptions {
  /** 1 to 128 bytes, no control characters. Left out: the server assigns an unguessable one. */
  id?: string;
  /** `ws:`, `wss:`, `http:` or `https:` address. Default: the page's own origin, path `/peerloom`. */
  server?: string | URL;
  /** What the server's operator gave this user. Needless with `peerloom-server --dev`. */
  token?: string;
  /** Seen by others as `peer.userData`. */
  userData?: Json;
  /** Default: what the server hands out, else none (host candidates only). */
  iceServers?: RTCIceServer[];
  /** `"relay"`: no host or reflexive address leaves this page. Default `"all"`. */
  privacy?: "all" | "relay";
  /** Milliseconds until `open()` gives up on a server that does not answer. Default 15000. */
  timeout?: number;
  /** When each step of recovery is tried, and given up. */
  recovery?: Recovery;
}

/** All times in milliseconds, at most a day. What is left out keeps its default. */
export interface Recovery {
  /**
   * Before each try to come back to the server; the last one repeats. Each wait takes half to all of it, at random.
   * Default `[0, 300, 1200, 2700, 4800, 7000]`.
   */
  server?: readonly number[];
  /** Between tries to get a direct path to a peer; the last one repeats. Default `[0, 1000, 3000, 6000, 12000, 30000]`. */
  direct?: readonly number[];
  /** What an ICE restart may take before the RTCPeerConnection is made anew; 0: it is made anew at once. Default 5000. */
  restart?: number;
  /** Without a direct path, before messages travel through the server. Default 2000. */
  relay?: number;
  /** Without any path, before what waits is rejected. Default 60000. */
  outage?: number;
}

/** What `client.simulate` can bring about; `docs/guide.md` says what each one is. */
export type Fault =
  | "signalling_drop"
  | "half_open_socket"
  | "server_away"
  | "server_drain"
  | "server_busy"
  | "resume_refused"
  | "id_lost"
  | "ice_disconnect"
  | "ice_failure"
  | "ice_restart"
  | "silent_path"
  | "channel_close"
  | "link_rebuild"
  | "relay_only"
  | "negotiation_failure"
  | "slow_network"
  | "doubled_frames"
  | "offline"
  | "network_change"
  | "sleep";

export interface ConnectOptions {
  /** What the connection is for: at most 128 bytes. Default: empty. */
  label?: string;
  /** More about it: at most 4096 bytes as JSON. */
  metadata?: Json;
  /** Whether messages keep their order. Default true. */
  ordered?: boolean;
  /** How often a lost packet is sent again, 0 to 65535. Left out: until it has arrived, over any outage. */
  maxRetransmits?: number;
}

/** `"closing"`: closed by this page, once everything that was sent has arrived. */
export type ConnectionState = "connecting" | "open" | "closing" | "closed";

/** Where one end of a path is, as ICE has it (RFC 8445, section 5.1.1), and what carries it there. */
export interface StatsCandidate {
  readonly type: "host" | "srflx" | "prflx" | "relay";
  readonly protocol: string;
}

export interface Stats {
  readonly state: PeerState;
  /** `"turn"`: through a TURN server; `"server"`: through the signalling server; `null`: nothing gets through. */
  readonly path: "direct" | "turn" | "server" | null;
  /** From round trip and loss: `"poor"` is over 400 ms or 10 %, `"fair"` over 150 ms or 2 %, or through the server. */
  readonly quality: "good" | "fair" | "poor" | "none";
  /** Milliseconds there and back, or `null` while it is not known. */
  readonly roundTrip: number | null;
  /** Part of ICE's own checks that was not answered, 0 to 1, or `null` while it is not known. */
  readonly loss: number | null;
  /** Bytes a second since `stats()` was called before; 0 the first time. */
  readonly rate: { readonly sent: number; readonly received: number };
  /** Bytes over the present path. */
  readonly bytes: { readonly sent: number; readonly received: number };
  /** Bytes of messages that the other side has not confirmed. */
  readonly waiting: number;
  readonly local: StatsCandidate | null;
  readonly remote: StatsCandidate | null;
}

export interface Message<From = Peer> {
  readonly from: From;
  readonly data: Data;
}

export interface NamedMessage {
  readonly from: Peer;
  /** `undefined` for what `peer.send` sent. */
  readonly name: string | undefined;
  readonly data: Data;
}

export interface Presence {
  readonly id: string;
  /** The tag that was watched, if the news is about a tag. */
  readonly tag?: string;
  readonly online: boolean;
}

export interface Member {
  readonly id: string;
  /** This member's user data in this thread. */
  readonly userData: Json | undefined;
  readonly media: Readonly<Required<ThreadMedia>>;
  readonly peer: Peer;
}

export interface ClientEvents {
  state: ClientState;
  message: NamedMessage;
  /** A peer offers files: `accept` or `decline` it, now or later. Where nobody listens the owner is told so. */
  offer: FileOffer;
  /** A peer asks for one: `accept` or `reject` it, now or later. Where nobody listens it is rejected. */
  connection: Connection;
  presence: Presence;
  error: PeerloomError;
}

export interface PeerEvents {
  state: PeerState;
  message: NamedMessage;
  update: Peer;
}

export interface ThreadEvents {
  join: Member;
  leave: { readonly member: Member; readonly reason: LeaveReason };
  update: Member;
  message: Message<Member>;
  /** A member offers files to the thread. */
  offer: FileOffer;
}

export interface ConnectionEvents {
  /** It was accepted: what was sent before goes out now. */
  open: Connection;
  message: Data;
  /** After more than 1 MiB had waited, no more than 256 KiB do; what is on its way, 4 MiB at most, not counted. */
  drain: Connection;
  /** The last event. `"closed"`, the text that either page gave, or the code of an error such as `"peer_left"`. */
  close: { readonly reason: string };
  error: PeerloomError;
}

/** What every object with events has. */
export interface Emitter<Events> {
  /** Calls `listener` at every `name` event; returns the function that ends that. */
  on<Name extends keyof Events>(name: Name, listener: (argument: Events[Name]) => void): () => void;
  /** Calls `listener` at the next `name` event only. */
  once<Name extends keyof Events>(name: Name, listener: (argument: Events[Name]) => void): () => void;
  /** Ends what `on` or `once` began; without `listener`, for all listeners of `name`. */
  off<Name extends keyof Events>(name: Name, listener?: (argument: Events[Name]) => void): void;
}

export interface RequestOptions {
  /** Milliseconds until the request rejects with `timeout`. Default 30000. */
  timeout?: number;
  /** Aborting rejects with `aborted`. */
  signal?: AbortSignal;
}

/** What this browser can do; every field is known without connecting. */
export interface Supported {
  readonly webrtc: boolean;
  readonly dataChannels: boolean;
  readonly media: boolean;
  readonly screen: boolean;
  readonly webSocket: boolean;
  readonly webAssembly: boolean;
}

export interface DiagnoseOptions {
  /**
   * Opens the camera and the microphone, for which the browser may ask the visitor, and closes them at once. Default
   * `false`: they are only looked at.
   */
  media?: boolean;
  /**
   * Milliseconds that each check may take; they run at the same time. Default 5000. With `media`, camera and microphone
   * have at least 30000, because the visitor has to answer.
   */
  timeout?: number;
  /** Aborting closes all that was opened, and rejects with `aborted`. */
  signal?: AbortSignal;
  /** Called with each check as it ends. */
  onProgress?: (check: DiagnosisCheck) => void;
}

/**
 * What is checked:
 *
 * | name | |
 * |---|---|
 * | `signalling` | the server has admitted this client |
 * | `webSocket` | a new WebSocket to the server opens |
 * | `hostCandidates` | the browser gives WebRTC this device's addresses |
 * | `reflexiveCandidates` | the device learns its public address |
 * | `stun` | each STUN server answers |
 * | `turnUdp`, `turnTcp` | each TURN server gives a relay, over UDP, and over TCP or TLS |
 * | `dataChannel` | a message goes over a data channel within this page, there and back |
 * | `camera`, `microphone` | there is one that this page may use; with `media`, it opens |
 */
export type DiagnosisName =
  | "signalling"
  | "webSocket"
  | "hostCandidates"
  | "reflexiveCandidates"
  | "stun"
  | "turnUdp"
  | "turnTcp"
  | "dataChannel"
  | "camera"
  | "microphone";

export interface DiagnosisCheck {
  readonly name: DiagnosisName;
  /** `"skipped"`: it could not be checked, or there was nothing to check; the cause says why. */
  readonly status: "passed" | "failed" | "skipped";
  /** What was found, in one sentence. */
  readonly cause: string;
  /** What to do about it, in one sentence; empty where there is nothing to do. */
  readonly remedy: string;
  /** What else a support person wants to know: servers, counts, the browser's own words. May be empty. */
  readonly detail: string;
  /** How long it took. */
  readonly milliseconds: number;
}

/** A plain object that JSON can carry. It holds no token, no credential of a TURN server, and no address of this device. */
export interface Diagnosis {
  /** Whether no check failed. */
  readonly ok: boolean;
  /** What it all comes to, in one sentence. */
  readonly summary: string;
  /** One of each name, always in the same order. */
  readonly checks: readonly DiagnosisCheck[];
  /** When it was begun, as `Date.prototype.toISOString` writes it. */
  readonly when: string;
  /** How long all of it took. */
  readonly milliseconds: number;
  /** This package's. */
  readonly version: string;
  /** The browser's user agent. */
  readonly browser: string;
  /** The page's origin. */
  readonly page: string;
  /** The server's address, without what may be secret in it. */
  readonly server: string;
  readonly state: ClientState;
  /** All of this as plain text, for people to read and to send on. */
  readonly text: string;
}

/** This page's session with a signalling server. */
export class Client implements Emitter<ClientEvents> {
  static readonly supported: Supported;
  /** Every fault that `simulate` knows. */
  static readonly faults: readonly Fault[];
  constructor(options?: ClientOptions);
  /** The id that others reach this client under; empty until it is online for the first time, unless chosen. */
  readonly id: string;
  readonly state: ClientState;
  /** This client's own data; {@link setUserData} changes it. */
  readonly userData: Json | undefined;
  /** Every peer that this client knows of now. */
  readonly peers: ReadonlyMap<string, Peer>;
  /** The threads that this client is a member of. */
  readonly threads: ReadonlyMap<string, Thread>;
  /** Loads the wasm, connects, and resolves once the server has admitted this client. */
  open(): Promise<this>;
  /** The peer of that id, the same object every time. Makes no link by itself. */
  peer(id: string): Peer;
  /** Joins a thread (again: changes what is allowed there). Without an id, a new unguessable one is made. */
  thread(id?: string, options?: { media?: ThreadMedia; userData?: Json }): Promise<Thread>;
  /** Adds tags to this client, so that it can be found and watched under them. */
  tag(...tags: string[]): void;
  untag(...tags: string[]): void;
  /** Asks for `presence` events about ids and tags: the present state first, then each change. */
  watch(...names: string[]): void;
  unwatch(...names: string[]): void;
  setUserData(userData: Json): void;
  /** Sends to an id, to everybody who carries a tag, or to several of these. Resolves when all of them have it. */
  send(to: string | readonly string[], name: string, data?: Data): Promise<void>;
  /** Asks one client (the first one that carries the tag, for a tag) and resolves with the reply of its handler. */
  request(to: string, name: string, data?: Data, options?: RequestOptions): Promise<Data>;
  /** Answers requests of that name; what `handler` throws reaches the asker as `request_failed`. */
  handle(name: string, handler: (data: Data, from: Peer) => Data | Promise<Data>): () => void;
  /**
   * Brings a fault about, so that you can see what your page does then. Resolves when the fault is over, which is before
   * all has recovered. `duration` in milliseconds, for the faults that last.
   */
  simulate(fault: Fault, options?: { duration?: number }): Promise<void>;
  /**
   * Says why a link can't be made: checks the way to the server, STUN and TURN servers, WebRTC in this browser, camera
   * and microphone. At any time, also before `open` and after `close`. What it finds it returns; it rejects only with
   * `invalid_option`, `aborted`, or `load_failed`.
   */
  diagnose(options?: DiagnoseOptions): Promise<Diagnosis>;
  /** Leaves everything. Others are told at once. Resolves when the browser has let go of all connections. */
  close(): Promise<void>;
  on<Name extends keyof ClientEvents>(name: Name, listener: (argument: ClientEvents[Name]) => void): () => void;
  once<Name extends keyof ClientEvents>(name: Name, listener: (argument: ClientEvents[Name]) => void): () => void;
  off<Name extends keyof ClientEvents>(name: Name, listener?: (argument: ClientEvents[Name]) => void): void;
}

/** Another client, as seen from here; owns the one link to it. */
export class Peer implements Emitter<PeerEvents> {
  private constructor();
  readonly id: string;
  readonly state: PeerState;
  readonly userData: Json | undefined;
  /** Resolves when the other side has it; rejects when it can't be known to have it. Order is kept. */
  send(data: Data): Promise<void>;
  /** Asks for a connection: a session of its own, whose large messages don't hold up others. */
  connect(options?: ConnectOptions): Connection;
  /** Offers files, folders, or what can be read like one. Stands until it expires, whether the peer is there or not. */
  offer(what: Offerable, options?: OfferOptions): Promise<OwnOffer>;
  /** How the link is doing. */
  stats(): Promise<Stats>;
  on<Name extends keyof PeerEvents>(name: Name, listener: (argument: PeerEvents[Name]) => void): () => void;
  once<Name extends keyof PeerEvents>(name: Name, listener: (argument: PeerEvents[Name]) => void): () => void;
  off<Name extends keyof PeerEvents>(name: Name, listener?: (argument: PeerEvents[Name]) => void): void;
}

/** An explicit data session with one peer, over the one link to it. */
export class Connection implements Emitter<ConnectionEvents> {
  private constructor();
  readonly peer: Peer;
  readonly label: string;
  readonly metadata: Json | undefined;
  readonly ordered: boolean;
  readonly maxRetransmits: number | undefined;
  readonly state: ConnectionState;
  /** Bytes of messages that wait or, unless it is lossy, that the other side has not confirmed. */
  readonly bufferedAmount: number;
  /** For the side that was asked. */
  accept(): void;
  /** For the side that was asked; `reason`, of at most 128 bytes, is what the other side reads in `close`. */
  reject(reason?: string): void;
  /**
   * Of any size up to 1 GiB; waits until the connection is open. Resolves when the other side has it; of a lossy
   * connection, when it was handed to the network.
   */
  send(data: Data): Promise<void>;
  /** Closes it once everything that was sent has arrived, and resolves then. */
  close(reason?: string): Promise<void>;
  on<Name extends keyof ConnectionEvents>(name: Name, listener: (argument: ConnectionEvents[Name]) => void): () => void;
  once<Name extends keyof ConnectionEvents>(name: Name, listener: (argument: ConnectionEvents[Name]) => void): () => void;
  off<Name extends keyof ConnectionEvents>(name: Name, listener?: (argument: ConnectionEvents[Name]) => void): void;
}

/** A room: its members, their user data, the media that they allow in it. */
export class Thread implements Emitter<ThreadEvents> {
  private constructor();
  readonly id: string;
  /** The page's own address with this thread as its hash: what to send to those whom one invites. */
  readonly link: string;
  /** The others in this thread, by id. A new Map at each change, so that two can be compared. */
  readonly members: ReadonlyMap<string, Member>;
  /** To every member, in order. Resolves when all of those who are still members have it. */
  send(data: Data): Promise<void>;
  /** Offers files to all members, and to those who join while the offer stands. */
  offer(what: Offerable, options?: OfferOptions): Promise<OwnOffer>;
  setMedia(media: ThreadMedia): void;
  setUserData(userData: Json): void;
  leave(): Promise<void>;
  on<Name extends keyof ThreadEvents>(name: Name, listener: (argument: ThreadEvents[Name]) => void): () => void;
  once<Name extends keyof ThreadEvents>(name: Name, listener: (argument: ThreadEvents[Name]) => void): () => void;
  off<Name extends keyof ThreadEvents>(name: Name, listener?: (argument: ThreadEvents[Name]) => void): void;
}

/** `new Client(options)` and `await client.open()` in one. */
export function connect(options?: ClientOptions): Promise<Client>;

/** Loads the wasm ahead of time; `source` is where it is, if not beside this module. */
export function init(source?: string | URL | Request | Response | BufferSource | WebAssembly.Module): Promise<void>;
