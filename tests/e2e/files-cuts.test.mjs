// Files that are cut off in the middle, again and again: the link, its channels, the server, and the pages themselves.
// Every transfer ends, what has arrived is what was offered, and little is sent twice. PEERLOOM_CUTS says how many cuts
// each pair of browsers suffers (default: each kind once), PEERLOOM_SEED which; the table is printed at the end.

import assert from "node:assert/strict";
import { after } from "node:test";
import { comeBack, meet, PIECE } from "./files-kit.mjs";
import { PAIRS, scene } from "./support.mjs";

const MIB = 1024 * 1024;
/** What the receiver asks for ahead, and what may be on its way besides: the connection's own outbox. */
const WINDOW = 4 * MIB + MIB;
/** Between two cuts. */
const STRETCH = 12 * PIECE;

const simulate = (side, fault) => async (actors) => actors[side].run((fault) => client.simulate(fault).then(() => undefined), fault);
const closeLanes = (side) => (actors) => actors[side].run(() => lanes.forEach((lane) => lane.close()));

const CUTS = {
  "link made anew": simulate(0, "link_rebuild"),
  "path fails": simulate(1, "ice_failure"),
  "the file's channel, by the sender": closeLanes(0),
  "the file's channel, by the receiver": closeLanes(1),
  "the link's channel": simulate(1, "channel_close"),
  "socket cut": simulate(0, "signalling_drop"),
  "server killed": async (actors, server) => {
    await server.kill();
    await server.restart();
    for (const actor of actors) await actor.run(() => reach(client, "online"));
  },
  "receiver's page loaded anew": async ([, bob], server) => {
    await comeBack(bob, server);
    await bob.run(() => offered().then((offer) => void watched(offer.accept({ to: "file" }))));
  },
  "sender's page loaded anew": async ([alice], server) => {
    await comeBack(alice, server);
    await alice.run(offerIt, alice.size);
  },
};

async function offerIt(size) {
  globalThis.offer = await client.peer("bob").offer(new File([noise(size)], "long.bin", { lastModified: 1_700_000_000_000 }));
  offer.on("transfer", watched);
}

/** Numbers from a seed (Marsaglia's xorshift). */
function random(seed) {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

const rows = [];
const kindsOfCuts = Object.keys(CUTS);
const count = Number(process.env.PEERLOOM_CUTS ?? kindsOfCuts.length);
const seed = Number(process.env.PEERLOOM_SEED ?? 1);

for (const [number, kinds] of PAIRS.entries()) {
  const options = { kinds, timeout: 180_000 + count * 30_000, faults: /(connection to '?ws:|can’t establish a connection|interrupted while the page)/i };
  scene(`a transfer that is cut ${count} times arrives, seed ${seed}`, options, async (actors, server) => {
    const [alice, bob] = actors;
    const chance = random(seed * 1000 + number);
    // Each kind once before any comes again.
    const plan = [];
    while (plan.length < count) {
      const left = [...kindsOfCuts];
      while (left.length > 0 && plan.length < count) plan.push(left.splice(Math.floor(chance() * left.length), 1)[0]);
    }
    const size = (count + 1) * STRETCH + Math.floor(chance() * PIECE);
    alice.size = size;
    await meet(actors);
    await alice.run(offerIt, size);
    await bob.run(() => offered().then((offer) => void watched(offer.accept({ to: "file" }))));
    for (const [index, cut] of plan.entries()) {
      const at = index * STRETCH + Math.floor((0.2 + 0.8 * chance()) * STRETCH);
      await bob.run((at) => reached(transfer, at), at);
      const before = await alice.run(() => wire);
      const begun = performance.now();
      await CUTS[cut](actors, server);
      const held = await bob.run(() => transfer.progress.bytes);
      await bob.run((at) => reached(transfer, at), Math.min(size, held + 1));
      rows.push({ cut, kinds: kinds.join(" – "), seconds: (performance.now() - begun) / 1000, before });
    }
    const hash = await bob.run(() => transfer.done.then(digest));
    assert.equal(hash, await alice.run((size) => digest(new Blob([noise(size)])), size));
    const sent = await alice.run(() => wire);
    const again = sent - size;
    rows.push({ cut: `all ${count}`, kinds: kinds.join(" – "), again, each: again / count });
    assert.ok(again <= count * WINDOW, `${again} bytes were sent again`);
  });
}

for (const kinds of PAIRS) {
  scene("a stream that takes its time gets every byte once, over links that are cut", { kinds }, async ([alice, bob]) => {
    await meet([alice, bob]);
    const size = 24 * PIECE + 5;
    await alice.run((size) => client.peer("bob").offer(new File([noise(size)], "slow.bin")).then((offer) => void offer.on("transfer", watched)), size);
    await bob.run(async () => {
      const chunks = [];
      globalThis.writes = [];
      const stream = new WritableStream({
        // Each write is let go by the test.
        write: (chunk) => (chunks.push(chunk.slice()), new Promise((resolve) => writes.push(resolve))),
        close: () => void (globalThis.whole = new Blob(chunks)),
      });
      watched((await offered()).accept({ to: stream }));
    });
    for (let cut = 0; cut < 4; cut += 1) {
      await bob.run(async () => {
        while (writes.length === 0) await new Promise((resolve) => requestAnimationFrame(resolve));
      });
      // In the middle of a write.
      await alice.run(() => lanes.forEach((lane) => lane.close()));
      await bob.run(() => client.simulate("link_rebuild").then(() => writes.splice(0).forEach((resolve) => resolve())));
    }
    const hash = await bob.run(async () => {
      const timer = setInterval(() => writes.splice(0).forEach((resolve) => resolve()), 1);
      await transfer.done;
      clearInterval(timer);
      return digest(whole);
    });
    assert.equal(hash, await alice.run((size) => digest(new Blob([noise(size)])), size));
  });
}

after(() => {
  const lines = [];
  for (const cut of kindsOfCuts) {
    const times = rows.filter((row) => row.cut === cut).map(({ seconds }) => seconds).sort((a, b) => a - b);
    if (times.length > 0) lines.push(`| ${cut} | ${times.length} | ${times[times.length >> 1].toFixed(1)} | ${times.at(-1).toFixed(1)} |`);
  }
  console.log(["| cut | times | seconds until it went on: median | worst |", "|---|---|---|---|", ...lines].join("\n"));
  for (const { kinds, again, each } of rows.filter(({ again }) => again !== undefined)) {
    console.log(`${kinds}: ${(again / MIB).toFixed(1)} MiB were sent again, ${(each / MIB).toFixed(2)} a cut`);
  }
});
