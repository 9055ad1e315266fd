// The TypeScript contract as a page's author uses it. It is compiled, not run; each `@ts-expect-error` is a mistake that
// the types must catch.

import { Client, connect, init, Peer, PeerloomError, Thread } from "peerloom";
import type { ClientState, Data, Diagnosis, DiagnosisCheck, DiagnosisName, ErrorCode, Json, LeaveReason, Member, PeerState } from "peerloom";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
type IsAny<T> = 0 extends 1 & T ? true : false;
const yes = <_T extends true>(): void => {};

yes<Equal<Client["state"], ClientState>>();
yes<Equal<Peer["state"], PeerState>>();
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
  const onProgress = ({ name, status, cause, remedy }: DiagnosisCheck): string => `${name} ${status} ${cause} ${remedy}`;
  const diagnosis: Diagnosis = await client.diagnose({ media: true, timeout: 1000, signal: new AbortController().signal, onProgress });
  const failed: DiagnosisName[] = diagnosis.checks.filter(({ status }) => status === "failed").map(({ name }) => name);
  if (!diagnosis.ok) `${diagnosis.summary} ${failed.join()} ${diagnosis.text} ${diagnosis.version}`;
  (await client.diagnose()).checks.length;
  await client.close();

  try {
    await new Client().open();
  } catch (error) {
    if (error instanceof PeerloomError && error.code === "server_unreachable") error.remedy;
  }
}

export function mistakes(client: Client, peer: Peer, thread: Thread, json: Json): void {
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
  // @ts-expect-error read only
  client.id = "mallory";
  // @ts-expect-error codes are known
  const wrong: ErrorCode = "id_token";
  // @ts-expect-error what came is not known until it was looked at
  const text: string = json;
}
