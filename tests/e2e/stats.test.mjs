// What `peer.stats()` says of a link that is direct, one that goes through the server, and none; and what becomes of
// messages when an outage lasts too long.

import assert from "node:assert/strict";
import { scene, scenes } from "./support.mjs";

async function enter([alice, bob], options = {}) {
  for (const actor of [alice, bob]) {
    await actor.run(async (id, options) => {
      await online(id, options);
      await join("lobby");
    }, actor.name, options);
  }
}

const see = (actor, id, state) => actor.run((id, state) => reach(client.peer(id), state), id, state);

scenes("statistics of a direct link", {}, async ([alice, bob]) => {
  await enter([alice, bob]);
  await see(alice, "bob", "live");
  const { first, second, none } = await alice.run(async () => {
    const peer = client.peer("bob");
    const none = await client.peer("nobody").stats();
    // Until ICE has measured its round trip, and been answered often enough.
    let first = await peer.stats();
    while (first.roundTrip === null) first = await peer.stats();
    for (let n = 0; n < 200; n += 1) await peer.send("x".repeat(1000));
    const second = await peer.stats();
    return { first, second, none };
  });
  assert.deepEqual(none, {
    state: "offline", path: null, quality: "none", roundTrip: null, loss: null,
    rate: { sent: 0, received: 0 }, bytes: { sent: 0, received: 0 }, waiting: 0, local: null, remote: null,
  });
  assert.deepEqual([first.state, first.path], ["live", "direct"]);
  assert.equal(second.quality, "good");
  assert.ok(second.roundTrip >= 0 && second.roundTrip < 150, `${second.roundTrip} ms`);
  // Chromium's figures are some tens of milliseconds old.
  assert.ok(second.bytes.sent - first.bytes.sent > 30_000, `${first.bytes.sent} then ${second.bytes.sent}`);
  assert.ok(second.rate.sent > 1000, `${second.rate.sent} bytes a second`);
  assert.equal(second.waiting, 0);
  assert.match(second.local.type, /^(host|prflx)$/);
  assert.match(second.remote.type, /^(host|prflx)$/);
  assert.equal(second.local.protocol, "udp");
});

scenes("statistics of a link through the server", { webrtc: [true, false] }, async ([alice, bob]) => {
  await enter([alice, bob]);
  await see(alice, "bob", "relayed");
  const stats = await alice.run(async () => {
    const peer = client.peer("bob");
    await peer.send("hello");
    return peer.stats();
  });
  assert.deepEqual([stats.state, stats.path, stats.quality, stats.local, stats.loss], ["relayed", "server", "fair", null, null]);
  assert.ok(stats.roundTrip !== null && stats.roundTrip < 400, `${stats.roundTrip} ms`);
});

scene("an outage that lasts too long rejects what was not delivered, and says to whom", { kinds: ["chromium", "firefox"] }, async ([alice, bob]) => {
  await enter([alice, bob], { recovery: { outage: 2_000, restart: 500 } });
  await see(alice, "bob", "live");
  const failed = await alice.run(async () => {
    const peer = client.peer("bob");
    const connection = peer.connect();
    void client.simulate("offline", { duration: 12_000 });
    await reach(peer, "recovering");
    const ended = next(connection, "close");
    const calls = [peer.send("one"), thread.send("two"), client.send(["bob"], "three", 3), connection.send("four")];
    const results = await Promise.allSettled(calls);
    return { results: results.map(({ reason }) => [reason?.code, reason?.peers]), end: await ended };
  });
  assert.deepEqual(failed.results, [
    ["timeout", ["bob"]], ["timeout", ["bob"]], ["timeout", ["bob"]], ["timeout", ["bob"]],
  ]);
  assert.equal(failed.end.reason, "timeout");
  // And all is well again afterwards, without anything of that.
  await alice.run(() => reach(client, "online"));
  await see(alice, "bob", "live");
  await bob.run(() => (globalThis.said = next(client, "message")) && undefined);
  await alice.run(() => client.peer("bob").send("later"));
  assert.equal(await bob.run(async () => (await said).data), "later");
});
