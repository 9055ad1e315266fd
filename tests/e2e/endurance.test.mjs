// What takes long, or happens often: a flood of messages from one task, thousands of clients in one tab, links made and
// closed again and again. Nothing is lost, and memory is bounded.

import assert from "node:assert/strict";
import WebSocket from "ws";
import { scene } from "./support.mjs";

const MIB = 1024 * 1024;
const SENDS = 200_000;
/** How often each thing is done. The full 10,000 take minutes, for the server lets one address open 50 clients a second. */
const CLIENTS = Number(process.env.PEERLOOM_CLIENTS ?? 900);
const LINKS = Number(process.env.PEERLOOM_LINKS ?? 200);
const CONNECTIONS = Number(process.env.PEERLOOM_CONNECTIONS ?? 10_000);
const VISITORS = Number(process.env.PEERLOOM_VISITORS ?? 1000);

/** Gets hold of the wasm's memory, before there is one: the package keeps it to itself. */
function watchMemory() {
  for (const name of ["instantiate", "instantiateStreaming"]) {
    const native = WebAssembly[name];
    WebAssembly[name] = async (...args) => {
      const result = await native.apply(WebAssembly, args);
      globalThis.wasmMemory = (result.instance ?? result).exports.memory;
      return result;
    };
  }
}

const wasmBytes = (actor) => actor.run(() => wasmMemory.buffer.byteLength);

for (const kind of ["chromium", "firefox"]) {
  scene(`${SENDS} sends in one task arrive, once and in order`, { kinds: [kind, kind], names: ["alice", "bob"] }, async ([alice, bob], _server, context) => {
    for (const actor of [alice, bob]) {
      await actor.run(watchMemory);
      await actor.run((id) => online(id).then(() => undefined), actor.name);
    }
    await bob.run(() => {
      globalThis.count = 0;
      globalThis.wrong = 0;
      client.on("message", ({ data }) => {
        if (data.n !== count || data.text.length !== 80) wrong += 1;
        count += 1;
      });
    });
    await alice.run(() => client.peer("bob").send({ n: 0, text: "x".repeat(80) }).then(() => reach(client.peer("bob"), "live")));
    await bob.run(() => {
      count = 0;
    });
    const before = [await wasmBytes(alice), await wasmBytes(bob)];
    const took = await alice.run(async (sends) => {
      const peer = client.peer("bob");
      const text = "x".repeat(80);
      const begun = performance.now();
      const promises = [];
      for (let n = 0; n < sends; n += 1) promises.push(peer.send({ n, text }));
      const sent = performance.now();
      const results = await Promise.allSettled(promises);
      return {
        resolved: results.filter(({ status }) => status === "fulfilled").length,
        loop: Math.round(sent - begun),
        confirmed: Math.round(performance.now() - begun),
        heap: performance.memory?.usedJSHeapSize,
      };
    }, SENDS);
    assert.equal(took.resolved, SENDS);
    assert.deepEqual(await bob.run(() => [count, wrong]), [SENDS, 0]);
    const grown = [(await wasmBytes(alice)) - before[0], (await wasmBytes(bob)) - before[1]].map((bytes) => bytes / MIB);
    const data = (SENDS * 100) / MIB;
    context.diagnostic(
      `${kind}: loop ${took.loop} ms, confirmed ${took.confirmed} ms, data ${data.toFixed(1)} MiB, wasm grew by ${grown.map((mib) => mib.toFixed(1)).join(" and ")} MiB` +
        (took.heap ? `, sender's JS heap ${(took.heap / MIB).toFixed(0)} MiB` : ""),
    );
    // Each message is kept once until it is confirmed; wasm memory grows by doubling what is full.
    assert(Math.max(...grown) <= 2 * data, `wasm memory grew by ${grown} MiB for ${data} MiB of messages`);
  });
}

/**
 * Collects garbage until a finalizer has run for an object that this page let go of: whatever was let go of before it has
 * been collected by then, and the finalizers of the wasm's objects, which may let go of others, have run too.
 */
async function collect(actor, devtools) {
  await actor.run(() => {
    window.collected = new Promise((resolve) => {
      window.sentinels = new FinalizationRegistry(resolve);
      window.sentinels.register({}, true);
    }).then(() => (window.wasCollected = true));
    window.wasCollected = false;
  });
  while (!(await actor.run(() => window.wasCollected))) await devtools.send("HeapProfiler.collectGarbage");
}

/** What is in use after a garbage collection. */
async function inUse(actor, devtools) {
  for (let round = 0; round < 3; round += 1) await collect(actor, devtools);
  const { usedSize } = await devtools.send("Runtime.getHeapUsage");
  return { heap: usedSize, wasm: await wasmBytes(actor) };
}

/** The browser's own objects that stay alive, by name; what is only slow to go does not count. */
async function alive(actor) {
  const devtools = await actor.page.createCDPSession();
  const count = async (name) => {
    const prototype = await actor.page.evaluateHandle((name) => globalThis[name].prototype, name);
    const objects = await actor.page.queryObjects(prototype); // after a garbage collection
    const length = await actor.page.evaluate((objects) => objects.length, objects);
    await objects.dispose();
    return length;
  };
  const left = {};
  for (const name of ["RTCPeerConnection", "RTCDataChannel", "WebSocket"]) {
    const deadline = performance.now() + 10_000;
    while ((left[name] = await count(name)) > 0 && performance.now() < deadline) await collect(actor, devtools);
  }
  return left;
}

/** Does `work(so many, done so far)` as often as `count` and a tenth more to warm up; returns what grew, in bytes. */
async function growth(actor, count, work, context, what) {
  const devtools = await actor.page.createCDPSession();
  const batch = Math.ceil(count / 10);
  const list = [];
  const begun = performance.now();
  for (let done = 0; done <= count; done += batch) {
    await work(batch, done);
    list.push(await inUse(actor, devtools));
  }
  const each = (performance.now() - begun) / (count + batch);
  const grown = { heap: list.at(-1).heap - list[0].heap, wasm: list.at(-1).wasm - list[0].wasm };
  const course = (key) => list.map((entry) => (entry[key] / MIB).toFixed(2)).join(" ");
  context.diagnostic(
    `${count} ${what}: ${each.toFixed(1)} ms each; growth for each ${(grown.heap / count).toFixed(0)} bytes of JS heap, ` +
      `${(grown.wasm / count).toFixed(0)} of wasm (MiB: ${course("heap")}; ${course("wasm")})`,
  );
  return grown;
}

/** Nothing but noise may be left: 2 MiB of 10,000, some pages of wasm memory, which never shrinks, and what the browser keeps. */
function assertLittle({ heap, wasm }, count) {
  const bound = (count * 2 * MIB) / 10_000 + MIB / 4;
  assert(heap + wasm <= bound, `grew by ${heap} bytes of JS heap and ${wasm} of wasm, where ${bound} are allowed`);
}

const single = { kinds: ["chromium"], names: ["alice"], apart: [true], timeout: 1_200_000 };

scene("clients that open and close leave nothing behind", single, async ([alice], _server, context) => {
  await alice.run(watchMemory);
  const cycles = async (count, done) => {
    for (let n = 0; n < count; n += 1) {
      const begun = performance.now();
      const client = await sdk.connect();
      await client.close();
      // At first the server lets a thousand in at once.
      const wait = done + n > 900 ? 22 - (performance.now() - begun) : 0;
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    }
  };
  const grown = await growth(alice, CLIENTS, (count, done) => alice.run(cycles, count, done), context, "clients");
  assertLittle(grown, CLIENTS);
  assert.deepEqual(await alive(alice), { RTCPeerConnection: 0, RTCDataChannel: 0, WebSocket: 0 });
});

scene("links that are made and closed leave nothing behind", single, async ([alice], _server, context) => {
  await alice.run(watchMemory);
  const cycles = async (count) => {
    for (let n = 0; n < count; n += 1) {
      const [one, two] = await Promise.all([sdk.connect(), sdk.connect()]);
      await one.peer(two.id).send("hello");
      await reach(one.peer(two.id), "live");
      await Promise.all([one.close(), two.close()]);
      made.length = 0; // the kit's, which would keep them
    }
  };
  const grown = await growth(alice, LINKS, (count) => alice.run(cycles, count), context, "links");
  assertLittle(grown, LINKS);
  // A call that is under way when its connection is closed never ends (W3C WebRTC, "chain an asynchronous operation"): here, all.
  await alice.run(() => {
    const { addIceCandidate } = RTCPeerConnection.prototype;
    RTCPeerConnection.prototype.addIceCandidate = function (candidate) {
      addIceCandidate.call(this, candidate);
      return new Promise(() => {});
    };
  });
  await alice.run(cycles, 30);
  const { RTCPeerConnection: connections, ...others } = await alive(alice);
  // Chromium sometimes keeps some for its own task of telling that their state has changed.
  assert(connections < 20, `${connections} connections are still alive`);
  assert.deepEqual(others, { RTCDataChannel: 0, WebSocket: 0 });
});

scene("connections that are made and closed leave nothing behind", single, async ([alice], _server, context) => {
  await alice.run(watchMemory);
  await alice.run(async () => {
    globalThis.one = await sdk.connect();
    globalThis.two = await sdk.connect();
    globalThis.heard = 0;
    two.on("connection", (connection) => {
      connection.on("message", () => (heard += 1));
      connection.accept();
    });
    await one.peer(two.id).send("hello");
    await reach(one.peer(two.id), "live");
  });
  const cycles = async (count) => {
    const peer = one.peer(two.id);
    const cycle = async (n) => {
      const connection = peer.connect({ label: `${n}`, ordered: n % 2 === 0 });
      await connection.send({ n });
      await connection.close();
    };
    for (let n = 0; n < count; n += 10) await Promise.all(Array.from({ length: 10 }, (_, index) => cycle(n + index)));
  };
  const grown = await growth(alice, CONNECTIONS, (count) => alice.run(cycles, count), context, "connections");
  assertLittle(grown, CONNECTIONS);
  assert.equal(await alice.run(() => heard), CONNECTIONS * 1.1);
  // Channel 0 at both ends.
  const { RTCDataChannel } = await alive(alice);
  assert(RTCDataChannel <= 4, `${RTCDataChannel} channels are still alive`);
});

/** Comes into the lobby, by plain JSON and from one of many addresses, and goes. */
async function visit(server, number) {
  const socket = new WebSocket(`ws://${server.address}/peerloom`, "peerloom.v1.json", {
    origin: server.url.slice(0, -1),
    localAddress: `127.0.1.${1 + (number % 50)}`,
  });
  const send = (frame) => socket.send(JSON.stringify(frame));
  const user_data = JSON.stringify({ name: `Visitor ${number}` });
  await new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.once("close", () => reject(new Error(`visitor ${number} was put out`)));
    socket.once("open", () => {
      send({ hello: { protocol: 1, id: `visitor-${number}`, instance: number + 1, user_data, webrtc: false } });
      send({ join: { op: 1, thread: "lobby" } });
    });
    socket.on("message", (data) => "joined" in JSON.parse(data) && resolve());
  });
  send({ bye: {} });
  socket.close();
}

scene("visitors of a thread who come and go leave little behind", single, async ([alice], server, context) => {
  await alice.run(watchMemory);
  await alice.run(async () => {
    await online("alice");
    globalThis.lobby = await client.thread("lobby");
    globalThis.gone = 0;
    lobby.on("leave", () => (gone += 1));
  });
  const visits = async (count, done) => {
    const numbers = Array.from({ length: count }, (_, n) => done + n);
    while (numbers.length > 0) await Promise.all(numbers.splice(0, 10).map((number) => visit(server, number)));
    await alice.run((all) => until(lobby, "leave", () => gone === all).then(() => undefined), done + count);
    // Links outlive their last reason by a moment.
    await alice.page.waitForFunction(() => client.peers.size === 0, { polling: 100 });
  };
  const { heap, wasm } = await growth(alice, VISITORS, visits, context, "visitors");
  assert.equal(await alice.run(() => lobby.members.size), 0);
  // A client knows whom it has met: a link that is taken up again goes on counting where it was.
  assert(heap + wasm <= VISITORS * 3 * 1024 + MIB / 4, `grew by ${heap} bytes of JS heap and ${wasm} of wasm`);
});
