// Files: offered, accepted, verified, in every size, to every place; declined, cancelled, paused; to a peer and to a thread.

import assert from "node:assert/strict";
import { scenes } from "./support.mjs";

const PIECE = 256 * 1024;

/** Helpers in the page. */
function filesKit() {
  /** The same bytes each time, which can't be compressed. */
  globalThis.noise = (length, seed = 1) => {
    const bytes = new Uint8Array(length);
    const words = new Uint32Array(bytes.buffer, 0, length >> 2);
    let state = seed;
    const next = () => ((state ^= state << 13), (state ^= state >>> 17), (state ^= state << 5));
    for (let index = 0; index < words.length; index += 1) words[index] = next();
    for (let index = words.length * 4; index < length; index += 1) bytes[index] = next();
    return bytes;
  };
  globalThis.digest = async (blob) => {
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", await blob.arrayBuffer()));
    return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
  };
  globalThis.offers = [];
  client.on("offer", (offer) => {
    note("offer", offer.name, offer.size);
    offers.push(offer);
    globalThis.onOffer?.(offer);
  });
}

export async function meet(actors) {
  for (const actor of actors) {
    await actor.run((id) => online(id).then(() => undefined), actor.name);
    await actor.run(filesKit);
  }
}

for (const [title, size] of [["nothing", 0], ["a byte", 1], ["a piece", PIECE], ["a piece less one", PIECE - 1], ["a piece and one", PIECE + 1], ["12 pieces", 12 * PIECE]]) {
  scenes(`a file of ${title} arrives as it is`, {}, async ([alice, bob]) => {
    await meet([alice, bob]);
    const received = bob.run(async () => {
      const offer = offers[0] ?? (await next(client, "offer"));
      const transfer = offer.accept({ to: "blob" });
      const file = await transfer.done;
      const { name, type, from } = offer;
      return { name, type, from: from.id, size: file.size, is: file instanceof File, hash: await digest(file), state: transfer.state, progress: transfer.progress };
    });
    const sent = await alice.run(async (size) => {
      const file = new File([noise(size)], "noise.bin", { type: "application/x-noise" });
      const offer = await client.peer("bob").offer(file);
      const transfer = await next(offer, "transfer");
      await transfer.done;
      return { hash: await digest(file), state: transfer.state, bytes: transfer.progress.bytes };
    }, size);
    const { hash, state, progress, ...rest } = await received;
    assert.deepEqual(rest, { name: "noise.bin", type: "application/x-noise", from: "alice", size, is: true });
    assert.equal(hash, sent.hash);
    assert.deepEqual([state, sent.state, progress.bytes, progress.total, sent.bytes], ["done", "done", size, size, size]);
  });
}
