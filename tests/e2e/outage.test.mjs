// The server dies without a word in the middle of messages, and comes back under the same address knowing nothing.
// Nothing is lost, nothing comes twice, order holds, and the pages are told the truth meanwhile.

import assert from "node:assert/strict";
import { scenes } from "./support.mjs";

const COUNT = 10_000;

/** Notes what comes and how it goes. */
function prepare(other) {
  const peer = client.peer(other);
  globalThis.clientStates = states(client);
  globalThis.peerStates = states(peer);
  globalThis.numbers = [];
  globalThis.confirmed = 0;
  peer.on("message", ({ data }) => numbers.push(data.n));
}

/** Sends numbers in order, a hundred under way at a time, the last fifth only once the server is back. */
async function exchange(other, count) {
  const peer = client.peer(other);
  const isBack = () => clientStates.includes("recovering") && client.state === "online";
  const work = async () => {
    for (let n = 0; n < count; n += 100) {
      if (n === count * 0.8) await until(client, "state", isBack);
      const sent = Array.from({ length: 100 }, (_, index) => peer.send({ n: n + index, text: `message ${n + index}` }));
      await Promise.all(sent);
      confirmed += sent.length;
    }
  };
  globalThis.exchanged = work();
  // Reported by `exchanged` itself, when it is asked for.
  exchanged.catch(() => undefined);
}

async function outcome(other, count, state) {
  await exchanged;
  const peer = client.peer(other);
  while (numbers.length < count) await next(peer, "message");
  await reach(peer, state);
  let wrong = 0;
  numbers.forEach((n, index) => (wrong += n === index ? 0 : 1));
  return { received: numbers.length, wrong, confirmed, clientStates, peerStates };
}

async function play([alice, bob], server, context, { cut = false } = {}) {
  const ends = [[alice, "bob"], [bob, "alice"]];
  for (const [actor] of ends) {
    await actor.run(async (id) => {
      await online(id, { userData: { name: id } });
      await join("lobby", { userData: { seat: id } });
    }, actor.name);
  }
  for (const [actor, other] of ends) {
    await actor.run(async (id) => {
      await until(thread, "join", () => thread.members.has(id));
      await until(client.peer(id), "state", () => ["live", "relayed"].includes(client.peer(id).state));
    }, other);
  }
  const before = await alice.run(() => client.peer("bob").state);
  for (const [actor, other] of ends) await actor.run(prepare, other);
  for (const [actor, other] of ends) await actor.run(exchange, other, COUNT);
  // Well under way, and far from done.
  for (const [actor, other] of ends) {
    await actor.run((id) => until(client.peer(id), "message", () => numbers.length >= 1_000), other);
  }
  await server.kill();
  // The network goes away at the same moment: one end is closed without a word to the SDK.
  if (cut) await alice.run(() => made[0].close());
  for (const [actor] of ends) await actor.run(() => until(client, "state", () => clientStates.includes("recovering")));
  await server.restart();
  const up = Date.now();
  for (const [actor] of ends) {
    await actor.run(() => until(client, "state", () => clientStates.includes("recovering") && client.state === "online"));
  }
  const recovered = Date.now() - up;
  for (const [actor, other] of ends) {
    const result = await actor.run(outcome, other, COUNT, before);
    assert.equal(result.received, COUNT);
    assert.equal(result.wrong, 0, "order");
    assert.equal(result.confirmed, COUNT);
    assert.deepEqual(result.clientStates, ["online", "recovering", "online"]);
    const healed = result.peerStates.filter((state, index, all) => state !== "relayed" || index === 0 || index === all.length - 1);
    assert.deepEqual(healed, cut || before === "relayed" ? [before, "recovering", before] : ["live"]);
  }
  // Nothing comes late, and both are in the thread again: what is said there arrives.
  for (const [actor, other] of ends) {
    await actor.run((id) => until(thread, "join", () => thread.members.has(id)), other);
    const members = await actor.run(() => [...thread.members.values()].map(({ id, userData, peer }) => [id, userData, peer.userData]));
    assert.deepEqual(members, [[other, { seat: other }, { name: other }]]);
  }
  await bob.run(() => (globalThis.said = next(thread, "message")) && undefined);
  await alice.run(() => thread.send("still here"));
  assert.equal(await bob.run(async () => (await said).data), "still here");
  for (const [actor] of ends) assert.equal(await actor.run(() => numbers.length), COUNT, "something came twice");
  context.diagnostic(`${recovered} ms from the server's return to both being online`);
}

// What the browsers themselves say of a server that is not there.
const faults = /(connection to '?ws:|can’t establish a connection)/i;
scenes("the server is killed among 10,000 messages each way over a direct link", { faults }, play);
scenes("the server is killed, and the link cut, among 10,000 messages each way", { faults }, (actors, server, context) =>
  play(actors, server, context, { cut: true }));
scenes("the server is killed among 10,000 messages each way that it passes on itself", { faults, webrtc: [true, false] }, play);
