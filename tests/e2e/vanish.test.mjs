// A page that vanishes is missed within seconds, one that closes at once, and both say why they are gone.

import assert from "node:assert/strict";
import { scenes } from "./support.mjs";

async function meet([alice, bob], state) {
  for (const actor of [alice, bob]) {
    await actor.run(async (id) => {
      await online(id);
      await join("lobby");
    }, actor.name);
  }
  for (const [actor, other] of [[alice, "bob"], [bob, "alice"]]) {
    await actor.run(async (id, state) => {
      await until(thread, "join", () => thread.members.has(id));
      await reach(client.peer(id), state);
    }, other, state);
  }
  await alice.run(() => {
    const peer = client.peer("bob");
    globalThis.told = { states: states(peer) };
    globalThis.missed = next(peer, "state").then(() => performance.now());
    globalThis.left = next(thread, "leave").then(({ member, reason }) => [member.id, reason, performance.now()]);
  });
}

/** Milliseconds until alice is told that the link is not well, and that bob has left. */
async function gone(alice) {
  return alice.run(async () => {
    const since = vanished;
    const missedAt = await missed;
    const [id, reason, leftAt] = await left;
    return { missed: missedAt - since, left: leftAt - since, id, reason };
  });
}

async function mark(alice) {
  await alice.run(() => {
    globalThis.vanished = performance.now();
  });
}

// What the browsers say when the machine at the other end is gone.
const faults = /ICE failed/;

scenes("a page whose machine dies is missed within 5 s, and has left within 11", { apart: [false, true], faults }, async ([alice, bob], _server, context) => {
  await meet([alice, bob], "live");
  await mark(alice);
  await bob.kill();
  const { missed, left, id, reason } = await gone(alice);
  context.diagnostic(`missed after ${missed.toFixed(0)} ms, gone after ${left.toFixed(0)} ms`);
  assert.deepEqual([id, reason], ["bob", "timed_out"]);
  assert.ok(missed < 5_000, `missed after ${missed} ms`);
  assert.ok(left < 11_000, `gone after ${left} ms`);
});

scenes("the same without a direct link, within 10 s", { apart: [false, true], webrtc: [false, true] }, async ([alice, bob], _server, context) => {
  await meet([alice, bob], "relayed");
  await mark(alice);
  await bob.kill();
  const { missed, left, reason } = await gone(alice);
  context.diagnostic(`missed after ${missed.toFixed(0)} ms, gone after ${left.toFixed(0)} ms`);
  assert.equal(reason, "timed_out");
  assert.ok(missed < 10_000, `missed after ${missed} ms`);
  assert.ok(left < 11_000, `gone after ${left} ms`);
});

scenes("a page that is closed is gone at once", {}, async ([alice, bob], _server, context) => {
  await meet([alice, bob], "live");
  await mark(alice);
  await bob.page.close({ runBeforeUnload: false });
  const { left, id, reason } = await gone(alice);
  context.diagnostic(`gone after ${left.toFixed(0)} ms`);
  assert.deepEqual([id, reason], ["bob", "left"]);
  assert.ok(left < 2_000, `gone after ${left} ms`);
});
