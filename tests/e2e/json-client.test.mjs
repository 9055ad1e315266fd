// A client that is no browser and has none of our code: plain JSON over a WebSocket, as docs/protocol.md describes it.
// It joins a thread, sees who is there, and talks with a page both ways.

import assert from "node:assert/strict";
import WebSocket from "ws";
import { scene } from "./support.mjs";

/** The whole client. */
class JsonClient {
  frames = [];
  #waiting = [];
  #received = 0;
  #expected = 0;
  #stream = 0;
  #sent = 0;

  static async open(server, id, userData) {
    const client = new JsonClient();
    client.socket = new WebSocket(`ws://${server.address}/peerloom`, "peerloom.v1.json", { origin: server.url.slice(0, -1) });
    client.socket.on("message", (data, binary) => client.#frame(data, binary));
    await new Promise((resolve, reject) => client.socket.once("open", resolve).once("error", reject));
    client.send({ hello: { protocol: 1, id, instance: 4711, user_data: JSON.stringify(userData), webrtc: false } });
    client.welcome = await client.next("welcome");
    return client;
  }

  send(frame) {
    this.socket.send(JSON.stringify(frame));
  }

  #frame(data, binary) {
    assert.equal(binary, false);
    const frame = JSON.parse(data);
    const [kind] = Object.keys(frame);
    if (!["welcome", "pong", "drain"].includes(kind)) this.#received += 1;
    if (kind === "relay") this.#relayed(frame.relay);
    this.frames.push(frame);
    this.#waiting = this.#waiting.filter((look) => !look());
  }

  /** The next frame of that kind that fits, or the one that came already. */
  next(kind, fits = () => true) {
    return new Promise((resolve) => {
      const look = () => {
        const index = this.frames.findIndex((frame) => kind in frame && fits(frame[kind]));
        if (index < 0) return false;
        const [frame] = this.frames.splice(index, 1);
        resolve(frame[kind]);
        return true;
      };
      if (!look()) this.#waiting.push(look);
    });
  }

  /** What the other side sent is taken once, in order, and confirmed. */
  #relayed({ from, instance, frame }) {
    if (frame.ping) this.send({ relay: { to: from, instance, frame: { pong: frame.ping } } });
    if (!frame.data) return;
    const { header, items } = frame.data;
    if (header.stream > this.#stream) [this.#stream, this.#expected] = [header.stream, 0];
    items.forEach((item, index) => {
      if (header.first + index !== this.#expected) return;
      this.#expected += 1;
      this.frames.push({ item });
    });
    const acknowledged = { stream: this.#stream, next: this.#expected };
    this.send({ relay: { to: from, instance, frame: { acknowledge: { acknowledged, again: false } } } });
  }

  /** Sends one item; resolves when it is confirmed. */
  async say(to, instance, item) {
    const first = this.#sent;
    this.#sent += 1;
    const header = { stream: 1, first, acknowledged: { stream: this.#stream, next: this.#expected } };
    this.send({ relay: { to, instance, frame: { data: { header, items: [item] } } } });
    const confirms = ({ frame }) => {
      const { stream, next } = frame.acknowledge?.acknowledged ?? frame.data?.header.acknowledged ?? {};
      return stream === 1 && next > first;
    };
    await this.next("relay", confirms);
  }

  ping() {
    this.send({ ping: { received: this.#received } });
    return this.next("pong");
  }

  close() {
    this.send({ bye: {} });
    return new Promise((resolve) => this.socket.once("close", resolve));
  }
}

for (const kind of ["chromium", "firefox"]) {
  scene("a client of plain JSON meets a page in a thread and talks with it", { kinds: [kind] }, async ([alice], server) => {
    await alice.run(async () => {
      await online("alice", { userData: { name: "Alice" } });
      await join("lobby", { userData: { seat: 1 } });
      globalThis.joined = next(thread, "join");
      globalThis.left = next(thread, "leave");
      globalThis.got = [];
      thread.on("message", ({ from, data }) => got.push([from.id, data]));
      client.on("message", ({ from, name, data }) => got.push([from.id, name ?? null, data]));
      client.handle("double", (n) => 2 * n);
    });
    const robot = await JsonClient.open(server, "robot", { name: "Robot" });
    try {
      assert.equal(robot.welcome.id, "robot");
      assert.equal(robot.welcome.resumed, false);
      assert.ok(robot.welcome.ticket.length >= 16 && robot.welcome.grace > 0 && robot.welcome.heartbeat > 0);

      robot.send({ join: { op: 1, thread: "lobby", user_data: JSON.stringify({ seat: 2 }) } });
      const { members } = await robot.next("joined", ({ op, thread }) => op === 1 && thread === "lobby");
      assert.equal(members.length, 1);
      const [{ peer, user_data: seat }] = members;
      assert.equal(peer.id, "alice");
      assert.deepEqual([JSON.parse(peer.user_data), JSON.parse(seat), peer.webrtc], [{ name: "Alice" }, { seat: 1 }, true]);

      const seen = await alice.run(async () => {
        const { id, userData, peer } = await joined;
        await reach(peer, "relayed");
        return { id, userData, peer: peer.userData, connections: connections() };
      });
      assert.deepEqual(seen, { id: "robot", userData: { seat: 2 }, peer: { name: "Robot" }, connections: { made: 0, open: 0 } });

      // From the page to the client: resolves, so it was confirmed.
      await alice.run(() => Promise.all([thread.send("hello robot"), client.peer("robot").send({ n: 1 }), client.send("robot", "named", [null])]).then(() => undefined));
      assert.deepEqual(await robot.next("item"), { thread: { thread: "lobby", body: { text: "hello robot" } } });
      assert.deepEqual(await robot.next("item"), { peer: { body: { json: '{"n":1}' } } });
      assert.deepEqual(await robot.next("item"), { named: { name: "named", body: { json: "[null]" } } });

      // And back, with an answer to a request.
      await robot.say("alice", peer.instance, { thread: { thread: "lobby", body: { text: "hello human" } } });
      await robot.say("alice", peer.instance, { named: { name: "greeting", body: { json: '{"beep":true}' } } });
      await robot.say("alice", peer.instance, { peer: { body: { bytes: Buffer.from([1, 2, 3]).toString("base64") } } });
      await robot.say("alice", peer.instance, { request: { request: 9, name: "double", body: { json: "21" } } });
      assert.deepEqual(await robot.next("item"), { reply: { request: 9, outcome: { done: { json: "42" } } } });
      const got = await alice.run(() => got.map((entry) => entry.map((value) => (value instanceof ArrayBuffer ? [...new Uint8Array(value)] : value))));
      assert.deepEqual(got, [["robot", "hello human"], ["robot", "greeting", { beep: true }], ["robot", null, [1, 2, 3]]]);

      assert.equal(typeof (await robot.ping()).received, "number");
      await robot.close();
      const goodbye = await alice.run(async () => {
        const { member, reason } = await left;
        return [member.id, reason];
      });
      assert.deepEqual(goodbye, ["robot", "left"]);
    } finally {
      robot.socket.terminate();
    }
  });
}

scene("its presence, tags and lookups", { kinds: ["chromium"] }, async ([alice], server) => {
  await alice.run(async () => {
    await online("alice");
    globalThis.news = [];
    globalThis.told = (text) => {
      const said = ({ id, tag, online }) => `${id} ${tag ?? "-"} ${online}` === text;
      return news.some(said) ? undefined : next(client, "presence", said);
    };
    client.on("presence", (presence) => news.push(presence));
    client.watch("robot", "kind:robot");
    await told("robot - false");
  });
  const robot = await JsonClient.open(server, "robot", null);
  try {
    robot.send({ tag: { names: ["kind:robot"] } });
    await alice.run(() => Promise.all([told("robot - true"), told("robot kind:robot true")]).then(() => undefined));
    robot.send({ watch: { names: ["alice"] } });
    assert.deepEqual(await robot.next("presence"), { name: "alice", id: "alice", online: true, tagged: false });
    robot.send({ find: { op: 5, name: "alice" } });
    const { peers } = await robot.next("found", ({ op }) => op === 5);
    assert.deepEqual(peers.map(({ id }) => id), ["alice"]);
    robot.send({ find: { op: 6, name: "nobody" } });
    assert.deepEqual((await robot.next("found", ({ op }) => op === 6)).peers, []);
    await alice.run(() => client.close());
    assert.deepEqual(await robot.next("presence"), { name: "alice", id: "alice", online: false, tagged: false });
  } finally {
    robot.socket.terminate();
  }
});
