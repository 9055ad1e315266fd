// With `privacy: "relay"` no address of the page's machine reaches the other page or the server, in whatever the browser
// writes; and the same inspection finds addresses where pages don't ask for that.

import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { after, before } from "node:test";
import { PAIRS, scene, scenes } from "./support.mjs";
import { RELAY, startTurn } from "./turn.mjs";

/** The addresses that the pages have. */
const OWN = Object.values(networkInterfaces()).flat().map(({ address }) => address);

let turn;
before(async () => {
  turn = await startTurn();
});
after(() => turn?.stop());

/** Notes what the page hands to its WebSockets, and what of the other page's reaches its connections. */
function spy() {
  globalThis.frames = [];
  globalThis.entered = [];
  const text = new TextDecoder("latin1");
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) {
    frames.push(typeof data === "string" ? data : text.decode(data));
    return send.call(this, data);
  };
  const { setRemoteDescription, addIceCandidate } = RTCPeerConnection.prototype;
  RTCPeerConnection.prototype.setRemoteDescription = function (description) {
    entered.push(description.sdp);
    return setRemoteDescription.call(this, description);
  };
  RTCPeerConnection.prototype.addIceCandidate = function (candidate) {
    entered.push(candidate.candidate);
    return addIceCandidate.call(this, candidate);
  };
}

/** What a page with those frames, whose signals came to that other page, has shown of itself. */
async function shown(actor, other) {
  const sent = { frames: await actor.run(() => frames), signals: await other.run(() => entered) };
  assert(sent.signals.some((text) => text.startsWith("v=0")), `${actor.name}'s descriptions came`);
  const texts = Object.entries(sent).flatMap(([where, texts]) => texts.map((text) => ({ where, text })));
  const candidates = texts.flatMap(({ text }) => text.match(/candidate:\S+ \d+ \w+ \d+ \S+ \d+ typ .*/g) ?? []);
  return {
    addresses: texts.flatMap(({ where, text }) => OWN.filter((own) => text.includes(own)).map((own) => `${own} in ${where}`)),
    kinds: new Set(candidates.map((line) => line.match(/typ (\w+)/)[1])),
    candidates,
  };
}

function assertPrivate({ addresses, kinds, candidates }, { direct }) {
  assert.deepEqual(addresses, []);
  assert.deepEqual([...kinds], direct ? ["relay"] : []);
  for (const line of candidates) {
    assert.equal(line.split(" ")[4], RELAY, line);
    assert.match(line, / raddr 0\.0\.0\.0 rport 9\b/);
  }
}

/** Both online, with that privacy each, and messages both ways. */
async function meet(actors, privacies, iceServers, state) {
  for (const [index, actor] of actors.entries()) {
    await actor.run(spy);
    const options = { privacy: privacies[index], iceServers };
    await actor.run((id, options) => online(id, options).then(() => undefined), actor.name, options);
  }
  const [[alice, bob], names] = [actors, actors.map((actor) => actor.name)];
  await bob.run((other) => {
    globalThis.got = [];
    client.on("message", ({ data }) => got.push(data));
    return client.send(other, "hello", "from bob");
  }, names[0]);
  await Promise.all([[alice, names[1]], [bob, names[0]]].map(([actor, other]) =>
    actor.run((other, state) => reach(client.peer(other), state), other, state)));
  await alice.run(async (other) => {
    const sends = Array.from({ length: 200 }, (_, n) => client.peer(other).send({ n }));
    await Promise.all(sends);
  }, names[1]);
  assert.deepEqual(await bob.run(() => got), Array.from({ length: 200 }, (_, n) => ({ n })));
}

/** A second negotiation, whose descriptions have the candidates in them, and a third with new ones. */
async function negotiateAgain(actor, other) {
  for (const again of [
    () => made.at(-1).dispatchEvent(new Event("negotiationneeded")),
    () => made.at(-1).restartIce(),
  ]) {
    const descriptions = (page) => page.run(() => entered.filter((text) => text.startsWith("v=0")).length);
    const before = [await descriptions(actor), await descriptions(other)];
    await actor.run(again);
    for (const [index, page] of [actor, other].entries()) {
      await page.page.waitForFunction(
        (count) => entered.filter((text) => text.startsWith("v=0")).length > count && made.at(-1).signalingState === "stable",
        { polling: 50 },
        before[index],
      );
    }
  }
  await actor.run((id) => client.peer(id).send("after"), other.name);
}

/** The kinds of the two ends of the path that is in use. */
function path() {
  return made.at(-1).getStats().then((stats) => {
    const all = [...stats.values()];
    const transport = all.find((entry) => entry.type === "transport" && entry.selectedCandidatePairId);
    const pair = all.find((entry) => entry.type === "candidate-pair" && (transport ? entry.id === transport.selectedCandidatePairId : entry.selected));
    const end = (id) => ({ kind: stats.get(id).candidateType, address: stats.get(id).address });
    return { local: end(pair.localCandidateId), remote: end(pair.remoteCandidateId) };
  });
}

scenes("both private: the link goes through TURN, and no address of theirs leaves", {}, async ([alice, bob]) => {
  await meet([alice, bob], ["relay", "relay"], turn.iceServers, "live");
  for (const actor of [alice, bob]) {
    const { local, remote } = await actor.run(path);
    assert.deepEqual([local.kind, remote.kind, remote.address], ["relay", "relay", RELAY], `${actor.name}'s path`);
  }
  await negotiateAgain(alice, bob);
  await negotiateAgain(bob, alice);
  assertPrivate(await shown(alice, bob), { direct: true });
  assertPrivate(await shown(bob, alice), { direct: true });
});

const MIXED = [...PAIRS, ["firefox", "chromium"]];
for (const kinds of MIXED) {
  scene("one private: the other sees the relay's address only", { kinds }, async ([alice, bob]) => {
    await meet([alice, bob], ["relay", "all"], turn.iceServers, "live");
    assert.equal((await alice.run(path)).local.kind, "relay");
    assert.equal((await bob.run(path)).remote.address, RELAY);
    await negotiateAgain(alice, bob);
    assertPrivate(await shown(alice, bob), { direct: true });
    const open = await shown(bob, alice);
    assert(open.kinds.has("host"), "the other one's own addresses are found");
    assert(open.addresses.some((found) => found.endsWith("in frames")) && open.addresses.some((found) => found.endsWith("in signals")));
  });
}

// Firefox reports a connection without candidates on the console.
const faults = /ICE failed/;
scenes("without a TURN server messages go through the server, and no address leaves", { faults }, async ([alice, bob]) => {
  await meet([alice, bob], ["relay", "relay"], [], "relayed");
  assertPrivate(await shown(alice, bob), { direct: false });
  assertPrivate(await shown(bob, alice), { direct: false });
});
