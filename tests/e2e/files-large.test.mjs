// Files too large for memory. Both ends count what they hold; what comes is compared with what was sent, byte by byte.
// PEERLOOM_LARGE is the size in MiB of the largest (default: 100), with one byte more; PEERLOOM_LARGE_KIND "text" makes it
// something that can be compressed, so that 4 GiB take minutes and not an hour.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { after } from "node:test";
import { meet } from "./files-kit.mjs";
import { scene } from "./support.mjs";

const MIB = 1024 * 1024;
const SIZE = Number(process.env.PEERLOOM_LARGE ?? 100) * MIB + 1;
const KIND = process.env.PEERLOOM_LARGE_KIND ?? "noise";
const WAYS = [["chromium", "chromium"], ["firefox", "firefox"], ["chromium", "firefox"], ["firefox", "chromium"]];
const rows = [];

/** Something of that kind that can be made at any place in it. */
function synthetic(kind) {
  const block = 65_536;
  globalThis.synthesize = (from, to) => {
    const bytes = new Uint8Array(to - from);
    for (let at = from; at < to; ) {
      const number = Math.floor(at / block);
      const part = makeBlock(number, kind);
      const end = Math.min(to, (number + 1) * block);
      bytes.set(part.subarray(at - number * block, end - number * block), at - from);
      at = end;
    }
    return bytes;
  };
  /** Without making anything, so that what is held is the library's. */
  globalThis.compare = (bytes, from, differs) => {
    for (let at = from; at < from + bytes.length; ) {
      const number = Math.floor(at / block);
      const part = makeBlock(number, kind);
      const end = Math.min(from + bytes.length, (number + 1) * block);
      for (; at < end; at += 1) if (bytes[at - from] !== part[at - number * block]) differs();
    }
  };
  const words = new Uint32Array(block / 4);
  const view = new Uint8Array(words.buffer);
  const makeBlock = (number, kind) => {
    let state = (number + 1) * 2_654_435_761;
    for (let index = 0; index < words.length; index += 1) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      words[index] = kind === "text" ? 0x20202020 + (index % 97) + (index % 64 === 0 ? state : 0) : state;
    }
    return view;
  };
}

/** Bytes that all processes of a browser hold for themselves. */
function held(actor) {
  const root = actor.browser.process().pid;
  const parents = new Map();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      parents.set(Number(pid), Number(readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ")[1]));
    } catch {
      // It has ended meanwhile.
    }
  }
  const own = new Set([root]);
  for (let size = 0; size !== own.size; ) {
    size = own.size;
    for (const [pid, parent] of parents) if (own.has(parent)) own.add(pid);
  }
  let bytes = 0;
  for (const pid of own) {
    try {
      const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
      bytes += 1024 * (Number(rollup.match(/Private_Dirty:\s+(\d+)/)[1]) + Number(rollup.match(/Private_Clean:\s+(\d+)/)[1]));
    } catch {
      // As above.
    }
  }
  return bytes;
}

for (const kinds of WAYS) {
  scene(`${SIZE} bytes of ${KIND} arrive, and memory stays flat`, { kinds, apart: [true, true], timeout: 60_000 + SIZE / 1000 }, async ([alice, bob]) => {
    await meet([alice, bob]);
    for (const actor of [alice, bob]) await actor.run(synthetic, KIND);
    await alice.run(async (size) => {
      const source = { name: "large.bin", size, read: (from, to) => synthesize(from, to).buffer };
      globalThis.offer = await client.peer("bob").offer(source);
      offer.on("transfer", watched);
    }, SIZE);
    await bob.run(async () => {
      const offer = await offered();
      globalThis.come = 0;
      globalThis.wrong = 0;
      const sink = new WritableStream({
        write(bytes) {
          compare(bytes, come, () => (wrong += 1));
          come += bytes.length;
        },
      });
      watched(offer.accept({ to: sink }));
      await reached(transfer, 1);
    });
    const before = [held(alice), held(bob)];
    const peak = [...before];
    const begun = performance.now();
    const size = await bob.run(() => transfer.progress.total);
    // A tenth of the way at a time, so that no step takes too long.
    const steps = Math.max(10, Math.ceil(SIZE / (64 * MIB)));
    for (let step = 1; step <= steps; step += 1) {
      await bob.run((bytes) => Promise.race([reached(transfer, bytes), transfer.done]).then(() => undefined), Math.floor((SIZE / steps) * step));
      [alice, bob].forEach((actor, index) => (peak[index] = Math.max(peak[index], held(actor))));
    }
    await bob.run(() => transfer.done.then(() => undefined));
    const seconds = (performance.now() - begun) / 1000;
    assert.deepEqual(await bob.run(() => [come, wrong]), [size, 0]);
    const grown = peak.map((bytes, index) => (bytes - before[index]) / MIB);
    rows.push(`| ${kinds.join(" → ")} | ${(SIZE / MIB / seconds).toFixed(1)} | ${grown.map((mib) => mib.toFixed(0)).join(" | ")} |`);
    // The aim is 64 for the page; this is all of the browser's processes, whose own ebb and flow is some 32.
    assert.ok(Math.max(...grown) <= 96, `memory grew by ${grown} MiB`);
  });
}

after(() => console.log([`| ${SIZE} bytes of ${KIND} | MiB a second | MiB more at the sender | at the receiver |`, "|---|---|---|---|", ...rows].join("\n")));
