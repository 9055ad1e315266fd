// The TypeScript contract as a page's author uses it. It is compiled, not run; each `@ts-expect-error` is a mistake that
// the types must catch.

import { Client, connect, Connection, init, Peer, PeerloomError, Thread } from "peerloom";
import type {
  ClientState, ConnectionEvents, ConnectionState, ConnectOptions, Data, Diagnosis, DiagnosisCheck, DiagnosisName, Emitter, ErrorCode, Fault,
  FileOffer, FileOfferEvents, Json, LeaveReason, Member, OfferedFile, OwnOffer, PeerState, Progress, Recovery, Stats, StatsCandidate, Transfer, TransferState,
} from "peerloom";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
type IsAny<T> = 0 extends 1 & T ? true : false;
const yes = <_T extends true>(): void => {};

yes<Equal<Client["state"], ClientState>>();
yes<Equal<Peer["state"], PeerState>>();
yes<Equal<Connection["state"], ConnectionState>>();
yes<Equal<ConnectionState, "connecting" | "open" | "closing" | "closed">>();
yes<Equal<ConnectionEvents["close"]["reason"], string>>();
yes<Equal<ConnectionEvents["message"], Data>>();
yes<Equal<Stats["state"], PeerState>>();
yes<Equal<Stats["path"], "direct" | "turn" | "server" | null>>();
yes<Equal<Stats["quality"], "good" | "fair" | "poor" | "none">>();
yes<Equal<(typeof Client.faults)[number], Fault>>();
yes<Equal<Parameters<Client["simulate"]>[0], Fault>>();
yes<Equal<Connection extends Emitter<ConnectionEvents> ? true : false, true>>();
yes<"backlog_full" extends ErrorCode ? true : false>();
yes<Equal<IsAny<Member["userData"]>, false>>();
yes<Equal<IsAny<Parameters<Peer["send"]>[0]>, false>>();
yes<Equal<IsAny<PeerloomError["cause"]>, false>>();
yes<"id_taken" extends ErrorCode ? true : false>();
yes<Equal<IsAny<ErrorCode>, false>>();
yes<Equal<string extends ErrorCode ? true : false, false>>();

export async function page(): Promise<void> {
  await init();
  await init(new URL("https://example.org/peerloom_bg.wasm"));
  const client: Client = await connect({
    id: "alice",
    server: "wss://example.org",
    token: "token",
    userData: { name: "Alice", list: [1, null, true] },
    iceServers: [{ urls: "stun:example.org" }],
    privacy: "relay",
    timeout: 5000,
    recovery: { server: [0, 500, 2000], direct: [0, 1000], restart: 3000, relay: 1000, outage: 30_000 },
  });
  const supported: boolean = Client.supported.webrtc && Client.supported.dataChannels;

  const stop: () => void = client.on("message", ({ from, name, data }) => {
    const peer: Peer = from;
    const which: string | undefined = name;
    const what: Data = data;
    if (typeof data === "string") data.toUpperCase();
    if (data instanceof Map) data.get("key");
  });
  stop();
  client.once("state", (state) => state === "recovering");
  client.on("error", (error) => `${error.code}: ${error.message} ${error.remedy} ${error.detail} ${error.retryAfter ?? 0}`);
  client.on("presence", ({ id, tag, online }) => online && `${id} ${tag ?? ""}`);
  client.off("presence");

  const thread: Thread = await client.thread("lobby", { media: { audio: false, video: true }, userData: { hat: "red" } });
  const unguessable: Thread = await client.thread();
  thread.on("join", (member) => member.peer.send("welcome"));
  thread.on("leave", ({ member, reason }) => {
    const why: LeaveReason = reason;
    return `${member.id} ${why}`;
  });
  thread.on("message", ({ from, data }) => from.userData);
  for (const [id, member] of thread.members) id === member.id;
  await thread.send(new Map<Data, Data>([["when", new Date()], [1n, new Uint8Array(3)]]));
  await thread.send({ nested: [undefined, new Set([new Blob(["text"])])] });
  thread.setMedia({ video: false });
  thread.setUserData({ hat: "blue" });
  await thread.leave();

  client.tag("role:host", "role:guest");
  client.untag("role:guest");
  client.watch("bob");
  client.unwatch("bob");
  client.setUserData("just a string");
  await client.send(["bob", "role:host"], "news", 1);
  await client.send("bob", "ping");
  const end: () => void = client.handle("sum", async (data, from) => `${from.id} ${String(data)}`);
  end();
  const reply: Data = await client.request("bob", "sum", [1, 2], { timeout: 100, signal: new AbortController().signal });
  const peer = client.peer("bob");
  peer.on("state", (state) => state === "relayed");
  peer.on("update", (updated) => updated.userData);
  for (const known of client.peers.values()) known.id;
  for (const joined of client.threads.values()) joined.link;

  const options: ConnectOptions = { label: "board", metadata: { colour: "red" }, ordered: false, maxRetransmits: 0 };
  const asked: Connection = peer.connect(options);
  const plain: Connection = peer.connect();
  asked.on("open", (opened) => opened.send("first"));
  asked.on("message", (data) => (typeof data === "string" ? data.length : 0));
  asked.on("drain", (drained) => drained.bufferedAmount.toFixed());
  asked.once("close", ({ reason }) => reason.toUpperCase());
  asked.on("error", (error) => error.code);
  asked.off("message");
  const about: [string, Json | undefined, boolean, number | undefined, Peer] = [asked.label, asked.metadata, asked.ordered, asked.maxRetransmits, asked.peer];
  const from = client.on("connection", (connection) => {
    if (connection.label === "board" && connection.state === "connecting") connection.accept();
    else connection.reject("not now");
    if (connection.peer.id === "mallory") connection.reject();
  });
  from();
  const sent: Promise<void> = plain.send({ bytes: new Uint8Array(3), file: new File(["text"], "name.txt") });
  const closed: Promise<void> = plain.close("that is all");
  await Promise.all([sent, closed, asked.close()]);

  const stats: Stats = await peer.stats();
  const sides: (StatsCandidate | null)[] = [stats.local, stats.remote];
  const milliseconds: number = (stats.roundTrip ?? 0) + (stats.loss ?? 0);
  const numbers: number[] = [stats.rate.sent, stats.rate.received, stats.bytes.sent, stats.bytes.received, stats.waiting];
  for (const side of sides) if (side?.type === "relay") side.protocol.toUpperCase();
  if (stats.path === "turn" && stats.quality === "poor") `${milliseconds} ${numbers.join()} ${about.join()}`;

  const patience: Recovery = { outage: 5 * 60_000 };
  await new Client({ recovery: patience }).open();
  for (const fault of Client.faults) await client.simulate(fault, { duration: 1000 });
  const over: Promise<void> = client.simulate("link_rebuild");
  await over;
  await peer.send("text").catch((error: unknown) => {
    if (!(error instanceof PeerloomError) || error.code !== "backlog_full") throw error;
    const unconfirmed: readonly string[] = error.peers ?? [];
    return unconfirmed.join();
  });

  const onProgress = ({ name, status, cause, remedy }: DiagnosisCheck): string => `${name} ${status} ${cause} ${remedy}`;
  const diagnosis: Diagnosis = await client.diagnose({ media: true, timeout: 1000, signal: new AbortController().signal, onProgress });
  const failed: DiagnosisName[] = diagnosis.checks.filter(({ status }) => status === "failed").map(({ name }) => name);
  if (!diagnosis.ok) `${diagnosis.summary} ${failed.join()} ${diagnosis.text} ${diagnosis.version}`;
  (await client.diagnose()).checks.length;
  client.on("offer", (offer) => {
    const { from, name, size, files, received }: FileOffer = offer;
    const [first]: readonly OfferedFile[] = files;
    if (size > 1e9) offer.decline("too much");
    const transfer: Transfer = offer.accept({ to: "blob", limit: 1e6 });
    transfer.on("progress", ({ bytes, total, rate, eta }: Progress) => `${bytes} ${total} ${rate} ${eta ?? "?"} ${received}`);
    transfer.on("state", (state: TransferState) => state === "paused" && transfer.pausedBy.includes("there"));
    void transfer.done.then((file: File | File[] | undefined) => file);
    offer.accept({ to: new WritableStream<Uint8Array>() }).pause();
    offer.accept({ to: ({ path }) => Promise.resolve(new WritableStream<Uint8Array>()) }).cancel();
    offer.on("close", ({ reason }: FileOfferEvents["close"]) => `${from.id} ${name} ${first?.path ?? ""} ${reason}`);
  });
  const own: OwnOffer = await peer.offer([new Blob(["x"]), { size: 1, read: () => new ArrayBuffer(1) }], { note: "n", allow: ({ id }) => id !== "eve" });
  own.on("transfer", (transfer) => (transfer.limit = Infinity));
  own.on("decline", ({ peer, reason }) => `${peer.id} ${reason}`);
  own.withdraw();
  (await thread.offer(new DataTransfer(), { thumbnail: false })).transfers.length;
  yes<"file_corrupt" extends ErrorCode ? true : false>();
  await client.close();

  try {
    await new Client().open();
  } catch (error) {
    if (error instanceof PeerloomError && error.code === "server_unreachable") error.remedy;
  }
}

export function mistakes(client: Client, peer: Peer, thread: Thread, connection: Connection, stats: Stats, json: Json): void {
  // @ts-expect-error a text is no file
  void peer.offer("text");
  // @ts-expect-error there is no such place
  client.on("offer", (offer) => offer.accept({ to: "disk" }));
  // @ts-expect-error somebody else's offer can't be withdrawn
  client.on("offer", (offer) => offer.withdraw());
  // @ts-expect-error what arrives may be several files, or none
  client.on("offer", (offer) => offer.accept().done.then((file) => file.name));
  // @ts-expect-error an event that there is not
  client.on("mesage", () => {});
  // @ts-expect-error a listener that wants something else
  client.on("state", (state: number) => state);
  // @ts-expect-error functions can't be sent
  void peer.send(() => {});
  // @ts-expect-error symbols can't be sent
  void thread.send(Symbol("no"));
  // @ts-expect-error user data is JSON
  client.setUserData(new Date());
  // @ts-expect-error there is no such privacy
  new Client({ privacy: "some" });
  // @ts-expect-error what others say is not to be written to
  thread.members.clear();
  // @ts-expect-error there is no such option
  void client.diagnose({ prompt: true });
  // @ts-expect-error a diagnosis is what it was
  void client.diagnose().then((diagnosis) => diagnosis.checks.pop());
  // @ts-expect-error peers come from a client
  new Peer();
  // @ts-expect-error threads come from a client
  new Thread();
  // @ts-expect-error connections come from a peer
  new Connection();
  // @ts-expect-error read only
  client.id = "mallory";
  // @ts-expect-error the other side said what it is for
  connection.label = "mine";
  // @ts-expect-error an event that there is not
  connection.on("data", () => {});
  // @ts-expect-error what comes is the data itself
  connection.on("message", ({ data }: { data: string }) => data);
  // @ts-expect-error connections come to the client
  peer.on("connection", () => {});
  // @ts-expect-error nothing else can be sent over a connection
  void connection.send(() => {});
  // @ts-expect-error a reason is text
  connection.reject(404);
  // @ts-expect-error accepting takes nothing
  connection.accept({ ordered: true });
  // @ts-expect-error there is no such option
  peer.connect({ reliable: true });
  // @ts-expect-error how often is a number
  peer.connect({ maxRetransmits: "never" });
  // @ts-expect-error metadata is JSON
  peer.connect({ metadata: new Map() });
  // @ts-expect-error there is no such fault
  void client.simulate("earthquake");
  // @ts-expect-error a duration is in milliseconds
  void client.simulate("sleep", { duration: "5 s" });
  // @ts-expect-error the list of faults is fixed
  Client.faults.push("offline");
  // @ts-expect-error several waits
  new Client({ recovery: { server: 1000 } });
  // @ts-expect-error there is no such step
  new Client({ recovery: { rebuild: 1000 } });
  // @ts-expect-error it may not be known
  const trip: number = stats.roundTrip;
  // @ts-expect-error a measurement is what it was
  stats.bytes.sent = 0;
  // @ts-expect-error codes are known
  const wrong: ErrorCode = "id_token";
  // @ts-expect-error what came is not known until it was looked at
  const text: string = json;
}
