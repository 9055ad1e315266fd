// Messages without a direct link: what is sent before there is one waits for it, and where none can be made the server
// passes it on, and the page is told.

import assert from "node:assert/strict";
import { scene, scenes } from "./support.mjs";

async function listen(other) {
  globalThis.got = [];
  globalThis.path = states(client.peer(other));
  client.peer(other).on("message", ({ data }) => got.push(data));
  globalThis.gotAll = (count) => until(client.peer(other), "message", () => got.length >= count);
}

scenes("what is sent before the link is live waits, and goes in order", {}, async ([alice, bob]) => {
  await alice.run(() => online("alice").then(() => undefined));
  await bob.run(() => online("bob").then(() => undefined));
  await bob.run(listen, "alice");
  const result = await alice.run(async () => {
    const peer = client.peer("bob");
    globalThis.path = states(peer);
    const sent = [];
    for (let n = 0; n < 500; n += 1) sent.push(peer.send(n));
    const before = peer.state;
    await Promise.all(sent);
    return { before, after: peer.state, path };
  });
  assert.deepEqual(result, { before: "connecting", after: "live", path: ["offline", "connecting", "live"] });
  const got = await bob.run(() => got);
  assert.deepEqual(got, Array.from({ length: 500 }, (_, n) => n));
  for (const actor of [alice, bob]) assert.deepEqual(await actor.run(() => connections()), { made: 1, open: 1 });
});

scenes("both begin at once, and still make one link", {}, async ([alice, bob]) => {
  const ends = [[alice, "bob"], [bob, "alice"]];
  for (const [actor] of ends) await actor.run((id) => online(id).then(() => undefined), actor.name);
  for (const [actor, other] of ends) await actor.run(listen, other);
  await Promise.all(
    ends.map(([actor, other]) =>
      actor.run(async (id) => {
        const peer = client.peer(id);
        await Promise.all(Array.from({ length: 200 }, (_, n) => peer.send(n)));
        await gotAll(200);
        await reach(peer, "live");
      }, other),
    ),
  );
  for (const [actor] of ends) {
    assert.deepEqual(await actor.run(() => got), Array.from({ length: 200 }, (_, n) => n));
    assert.equal(await actor.run(() => connections().open), 1);
  }
});

for (const webrtc of [[true, false], [false, false]]) {
  scenes(`with WebRTC in ${webrtc.filter(Boolean).length} of two pages the server passes messages on`, { webrtc }, async ([alice, bob]) => {
    const ends = [[alice, "bob"], [bob, "alice"]];
    for (const [actor] of ends) {
      await actor.run(async (id) => {
        await online(id);
        await join("lobby");
      }, actor.name);
    }
    for (const [actor, other] of ends) {
      await actor.run((id) => until(thread, "join", () => thread.members.has(id)), other);
      await actor.run(listen, other);
    }
    for (const [actor, other] of ends) {
      await actor.run(async (id) => {
        const peer = client.peer(id);
        await reach(peer, "relayed");
        await Promise.all(Array.from({ length: 300 }, (_, n) => peer.send({ n })));
      }, other);
    }
    for (const [actor] of ends) {
      const result = await actor.run(async () => {
        await gotAll(300);
        return { got, path, connections: connections() };
      });
      assert.deepEqual(result.got, Array.from({ length: 300 }, (_, n) => ({ n })));
      // Until something has come that way, nobody knows that it leads anywhere.
      assert.deepEqual(result.path.filter((state) => state !== "connecting"), ["relayed"]);
      assert.deepEqual(result.connections, { made: 0, open: 0 });
    }
    assert.equal(await alice.run(() => sdk.Client.supported.webrtc), webrtc[0]);
  });
}

scene("a link that can't be made becomes relayed, and live once it can", { kinds: ["chromium", "firefox"] }, async ([alice, bob]) => {
  // Candidates that lead nowhere: as between two networks that let nothing through.
  await alice.run(() => {
    const add = RTCPeerConnection.prototype.addIceCandidate;
    const set = RTCPeerConnection.prototype.setRemoteDescription;
    globalThis.blocked = true;
    RTCPeerConnection.prototype.addIceCandidate = function (candidate) {
      return blocked ? Promise.resolve() : add.call(this, candidate);
    };
    RTCPeerConnection.prototype.setRemoteDescription = function (description) {
      const sdp = description.sdp.replaceAll(/^a=ice-pwd:.*$/gm, "a=ice-pwd:thispasswordisnotthatoftheothers");
      return set.call(this, blocked ? { type: description.type, sdp } : description);
    };
  });
  const ends = [[alice, "bob"], [bob, "alice"]];
  for (const [actor] of ends) await actor.run((id) => online(id).then(() => undefined), actor.name);
  for (const [actor, other] of ends) await actor.run(listen, other);
  const took = await alice.run(async () => {
    const begun = performance.now();
    await client.peer("bob").send("first");
    return performance.now() - begun;
  });
  assert.deepEqual(await bob.run(() => got), ["first"]);
  assert.deepEqual(await alice.run(() => [client.peer("bob").state, path]), ["relayed", ["offline", "connecting", "relayed"]]);
  assert.ok(took < 9_000, `the first message took ${took} ms`);
  await alice.run(() => {
    blocked = false;
  });
  for (const [actor, other] of ends) await actor.run((id) => reach(client.peer(id), "live"), other);
  await alice.run(() => client.peer("bob").send("second"));
  assert.deepEqual(await bob.run(() => got), ["first", "second"]);
});
