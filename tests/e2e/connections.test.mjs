// Connections: asked for, accepted or rejected, ordered or not, reliable or lossy, of any size, closed when all has
// arrived, and going on over whatever becomes of the link.

import assert from "node:assert/strict";
import { scene, scenes } from "./support.mjs";

/** Both online, bob accepting whatever comes. */
async function meet([alice, bob]) {
  for (const actor of [alice, bob]) await actor.run((id) => online(id).then(() => undefined), actor.name);
  await bob.run(() => {
    globalThis.asked = [];
    globalThis.got = [];
    globalThis.ended = [];
    client.on("connection", (connection) => {
      asked.push(connection);
      connection.on("message", (data) => got.push(data));
      connection.on("close", ({ reason }) => ended.push(reason));
      connection.accept();
    });
  });
}

scenes("a connection is asked for, accepted, used both ways and closed", {}, async ([alice, bob]) => {
  await meet([alice, bob]);
  const told = await alice.run(async () => {
    const connection = client.peer("bob").connect({ label: "board", metadata: { colour: "red" } });
    globalThis.connection = connection;
    globalThis.replies = [];
    globalThis.ended = [];
    connection.on("message", (data) => replies.push(data));
    connection.on("close", ({ reason }) => ended.push(reason));
    const before = connection.state;
    // What is sent before it is open waits for that.
    const early = connection.send("early");
    await next(connection, "open");
    await early;
    await connection.send({ n: 1, when: new Date(0), map: new Map([["a", new Uint8Array([1, 2])]]) });
    return { before, after: connection.state, same: connection.peer === client.peer("bob") };
  });
  assert.deepEqual(told, { before: "connecting", after: "open", same: true });
  const seen = await bob.run(async () => {
    const [connection] = asked;
    await connection.send(new Uint8Array([7, 8, 9]).buffer);
    await connection.send(undefined);
    const right = await same(got, ["early", { n: 1, when: new Date(0), map: new Map([["a", new Uint8Array([1, 2])]]) }]);
    const { label, metadata, ordered, maxRetransmits, peer } = connection;
    return { right, label, metadata, ordered, lossy: maxRetransmits !== undefined, peer: peer.id };
  });
  assert.deepEqual(seen, { right: true, label: "board", metadata: { colour: "red" }, ordered: true, lossy: false, peer: "alice" });
  assert.equal(await alice.run(() => same(replies, [new Uint8Array([7, 8, 9]).buffer, undefined])), true);
  await alice.run(() => connection.close("that is all"));
  assert.deepEqual(await alice.run(() => [connection.state, ended]), ["closed", ["that is all"]]);
  await bob.run(() => until(asked[0], "close", () => ended.length > 0));
  assert.deepEqual(await bob.run(() => [asked[0].state, ended]), ["closed", ["that is all"]]);
  const late = await bob.run(() => refusal(() => asked[0].send("late")));
  assert.equal(late.code, "closed");
  for (const actor of [alice, bob]) assert.equal(await actor.run(() => connections().open), 1, "one RTCPeerConnection");
});

scenes("a rejected connection says why, and so does one that nobody expects", {}, async ([alice, bob]) => {
  for (const actor of [alice, bob]) await actor.run((id) => online(id).then(() => undefined), actor.name);
  const ask = () =>
    alice.run(async () => {
      const connection = client.peer("bob").connect();
      const sent = refusal(() => connection.send("never"));
      const { reason } = await next(connection, "close");
      const { code, peers } = await connection.send("late").catch((error) => error);
      return { reason, state: connection.state, sent: (await sent).code, late: code };
    });
  assert.deepEqual(await ask(), { reason: "unhandled", state: "closed", sent: "closed", late: "closed" });
  await bob.run(() => client.on("connection", (connection) => connection.reject("not now")) && undefined);
  assert.deepEqual(await ask(), { reason: "not now", state: "closed", sent: "closed", late: "closed" });
});

scenes("closing sends what was sent before, however much", {}, async ([alice, bob]) => {
  await meet([alice, bob]);
  const count = 300;
  await alice.run(async (count) => {
    const connection = client.peer("bob").connect();
    for (let n = 0; n < count; n += 1) void connection.send({ n, text: "x".repeat(20_000) });
    await connection.close();
  }, count);
  await bob.run(() => until(asked[0], "close", () => ended.length > 0));
  const numbers = await bob.run(() => got.map(({ n }) => n));
  assert.deepEqual(numbers, Array.from({ length: count }, (_, n) => n));
});

scenes("a huge message does not hold up another connection's small ones", {}, async ([alice, bob]) => {
  await meet([alice, bob]);
  const megabytes = 48;
  const sent = await alice.run(async (megabytes) => {
    const bulk = client.peer("bob").connect({ label: "bulk" });
    const chat = client.peer("bob").connect({ label: "chat" });
    await Promise.all([until(bulk, "open", () => bulk.state === "open"), until(chat, "open", () => chat.state === "open")]);
    const bytes = new Uint8Array(megabytes << 20);
    for (let at = 0; at < bytes.length; at += 4096) bytes[at] = at >> 12;
    let bulkDone = false;
    let drained = 0;
    bulk.on("drain", () => (drained += 1));
    const whole = bulk.send(bytes).then(() => (bulkDone = true));
    const most = bulk.bufferedAmount;
    const times = [];
    for (let n = 0; n < 20; n += 1) {
      const begun = performance.now();
      await chat.send(n);
      times.push(performance.now() - begun);
    }
    const before = bulkDone;
    await whole;
    times.sort((a, b) => a - b);
    return { before, most, left: bulk.bufferedAmount, drained, median: times[10] };
  }, megabytes);
  assert.equal(sent.before, false, "the small ones arrive while the huge one is on its way");
  assert.ok(sent.most > (megabytes - 2) << 20, `${sent.most} bytes were waiting`);
  assert.equal(sent.left, 0);
  assert.equal(sent.drained, 1);
  const right = await bob.run((megabytes) => {
    const bytes = got.find((data) => data instanceof Uint8Array);
    return bytes?.length === megabytes << 20 && Array.from({ length: 100 }, (_, n) => n * 9).every((n) => bytes[n << 12] === (n & 255));
  }, megabytes);
  assert.equal(right, true);
});

scenes("unordered and lossy connections bring what they bring", {}, async ([alice, bob]) => {
  await meet([alice, bob]);
  for (const options of [{ ordered: false }, { maxRetransmits: 0 }, { ordered: false, maxRetransmits: 3 }]) {
    await bob.run(() => got.splice(0) && undefined);
    await alice.run(async (options) => {
      const connection = client.peer("bob").connect(options);
      await Promise.all(Array.from({ length: 500 }, (_, n) => connection.send(n % 50 ? n : { n, text: "y".repeat(50_000) })));
      await connection.close();
    }, options);
    await bob.run(() => until(asked.at(-1), "close", () => asked.at(-1).state === "closed"));
    const numbers = await bob.run(() => got.map((data) => data.n ?? data));
    const sorted = numbers.toSorted((a, b) => a - b);
    if (options.ordered !== false) assert.deepEqual(numbers, sorted, "order");
    assert.equal(new Set(numbers).size, numbers.length, "once");
    if (options.maxRetransmits === undefined) assert.deepEqual(sorted, Array.from({ length: 500 }, (_, n) => n));
    else assert.ok(numbers.length > 400, `${numbers.length} of 500 came`); // a busy machine drops packets, too
  }
});

scenes("a reliable connection goes on over a rebuilt link, and through the server", { webrtc: [true, true] }, async ([alice, bob]) => {
  await meet([alice, bob]);
  const count = 400;
  await alice.run(async (count) => {
    const peer = client.peer("bob");
    const connection = peer.connect({ label: "numbers" });
    globalThis.connection = connection;
    await until(connection, "open", () => connection.state === "open");
    const path = states(peer);
    let done = 0;
    for (let n = 0; n < count; n += 1) {
      if (n === 50) void client.simulate("link_rebuild");
      if (n === 150) void client.simulate("relay_only", { duration: 4_000 });
      await connection.send(n);
      done += 1;
    }
    await reach(peer, "live");
    return { done, path };
  }, count);
  assert.deepEqual(await bob.run(() => got), Array.from({ length: count }, (_, n) => n));
});

scene("bad arguments are refused", { kinds: ["chromium"], names: ["alice"] }, async ([alice]) => {
  const unknown = await alice.run(async () => {
    await online("alice");
    return [(await refusal(() => client.simulate("no such thing"))).detail, [...sdk.Client.faults].join(", ")];
  });
  assert.equal(unknown[0], `there is no fault "no such thing"; there are ${unknown[1]}`);
  const codes = await alice.run(async () => {
    const peer = client.peer("bob");
    const calls = [
      () => peer.connect(7),
      () => peer.connect({ label: "x".repeat(129) }),
      () => peer.connect({ metadata: () => 1 }),
      () => peer.connect({ metadata: "x".repeat(5000) }),
      () => peer.connect({ maxRetransmits: -1 }),
      () => peer.connect({ ordered: "yes" }),
      () => client.peer("alice").connect(),
      () => client.simulate("no such thing"),
      () => client.simulate("sleep", { duration: -1 }),
      () => client.simulate(7),
      () => sdk.connect({ recovery: { server: [] } }),
      () => sdk.connect({ recovery: { outage: "long" } }),
    ];
    const codes = [];
    for (const call of calls) codes.push((await refusal(async () => call())).code);
    const connection = peer.connect();
    codes.push((await refusal(() => connection.send(() => 1))).code, (await refusal(async () => connection.reject(7))).code);
    const { reason } = await next(connection, "close");
    return [...codes, reason];
  });
  assert.deepEqual(codes, [
    "invalid_option", "invalid_name", "invalid_data", "too_large", "invalid_option", "invalid_option", "invalid_option",
    "invalid_option", "invalid_option", "invalid_option", "invalid_option", "invalid_option", "invalid_data", "invalid_name",
    "peer_unavailable",
  ]);
});
