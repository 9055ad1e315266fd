// Files: offered, accepted, verified, in every size, to every place; declined, cancelled, paused; to a peer and to a thread.

import assert from "node:assert/strict";
import { meet, PIECE } from "./files-kit.mjs";
import { scenes } from "./support.mjs";

for (const [title, size] of [["nothing", 0], ["a byte", 1], ["a piece", PIECE], ["a piece less one", PIECE - 1], ["a piece and one", PIECE + 1], ["12 pieces", 12 * PIECE]]) {
  scenes(`a file of ${title} arrives as it is`, {}, async ([alice, bob]) => {
    await meet([alice, bob]);
    const received = bob.run(async () => {
      const offer = await offered();
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

/** Alice offers noise to bob, who has it as `offers[0]`. Her offer is `offer`, and its transfer `transfer` once there is one. */
async function offerNoise(alice, bob, size, options = {}) {
  await alice.run(async (size, options) => {
    globalThis.offer = await client.peer("bob").offer(new File([noise(size)], "noise.bin"), options);
    offer.on("transfer", watched);
    globalThis.declined = [];
    offer.on("decline", ({ peer, reason }) => declined.push([peer.id, reason]));
  }, size, options);
  await bob.run(() => offered().then(() => undefined));
}

scenes("an offer that is declined, withdrawn, expired, or that nobody expects, says so to both", {}, async ([alice, bob]) => {
  await meet([alice, bob]);
  await offerNoise(alice, bob, 1000);
  assert.equal(await bob.run(async () => {
    const closed = next(offers[0], "close");
    offers[0].decline("no room on my desk");
    return `${(await closed).reason} ${offers[0].state} ${(await refusal(() => offers[0].accept())).code}`;
  }), "declined closed offer_closed");
  assert.deepEqual(await alice.run(() => until(offer, "decline", () => declined.length > 0).then(() => declined)), [["bob", "no room on my desk"]]);

  await alice.run(() => client.peer("bob").offer(new Blob(["x"]), { name: "x" }).then((offer) => void (globalThis.second = offer)));
  await bob.run(() => offered(1).then((offer) => void (globalThis.ended = next(offer, "close"))));
  await alice.run(() => second.withdraw());
  assert.deepEqual(await bob.run(() => ended), { reason: "offer_closed" });

  await alice.run(() => client.peer("bob").offer(new Blob(["x"]), { expires: 300 }).then((offer) => next(offer, "close")));
  assert.ok(["expired", "offer_closed"].includes(await bob.run(() => offered(2).then(async (offer) => (offer.state === "closed" ? { reason: "expired" } : next(offer, "close"))).then(({ reason }) => reason))));

  await bob.run(() => client.off("offer"));
  const unheard = await alice.run(async () => {
    const offer = await client.peer("bob").offer(new Blob(["x"]));
    return (await next(offer, "decline")).reason;
  });
  assert.equal(unheard, "unhandled");
});

scenes("either side can cancel, and the receiver can go on afterwards", {}, async ([alice, bob]) => {
  await meet([alice, bob]);
  await offerNoise(alice, bob, 40 * PIECE, { limit: 8 * 1024 * 1024 });
  await bob.run(async (piece) => {
    watched(offers[0].accept({ to: "file" }));
    await reached(transfer, 4 * piece);
    transfer.cancel();
  }, PIECE);
  assert.deepEqual(await bob.run(() => failure(transfer)), { state: "cancelled", code: "cancelled", peers: [], same: true });
  assert.deepEqual(await alice.run(() => until(offer, "transfer", () => globalThis.transfer).then(() => failure(transfer))), { state: "cancelled", code: "cancelled", peers: ["bob"], same: true });
  // The same offer goes on where it stopped.
  const again = alice.run(() => next(offer, "transfer").then((transfer) => transfer.done).then(() => "done"));
  const went = await bob.run(async () => {
    const held = offers[0].received;
    watched(offers[0].accept({ to: "file" }));
    const file = await transfer.done;
    return { held, hash: await digest(file), expected: await digest(new Blob([noise(file.size)])), offers: offers.length };
  });
  assert.ok(went.held >= 4 * PIECE, `${went.held} bytes were there`);
  assert.equal(went.hash, went.expected);
  assert.equal(went.offers, 1);
  assert.equal(await again, "done");

  await alice.run(async (size) => {
    const offer = await client.peer("bob").offer(new File([noise(size)], "other.bin"), { limit: 8 * 1024 * 1024 });
    offer.once("transfer", (transfer) => transfer.once("progress", () => transfer.cancel()));
  }, 40 * PIECE);
  const { state, code, peers } = await bob.run(() => offered(1).then((offer) => failure(offer.accept({ to: "blob" }))));
  assert.deepEqual({ state, code, peers }, { state: "cancelled", code: "cancelled", peers: ["alice"] });
});

scenes("both can pause it, and it goes on when neither does", {}, async ([alice, bob]) => {
  await meet([alice, bob]);
  await offerNoise(alice, bob, 30 * PIECE, { limit: 16 * 1024 * 1024 });
  await bob.run(async (piece) => {
    watched(offers[0].accept({ to: "blob" }));
    await reached(transfer, 2 * piece);
    transfer.pause();
    await reach(transfer, "paused");
  }, PIECE);
  await alice.run(() => until(offer, "transfer", () => globalThis.transfer).then(() => reach(transfer, "paused")));
  await alice.run(() => transfer.pause());
  await bob.run(() => until(transfer, "state", () => transfer.pausedBy.length === 2).then(() => transfer.resume()));
  assert.equal(await bob.run(() => transfer.state), "paused", "the other side has paused it, too");
  const still = await bob.run(() => transfer.progress.bytes);
  await alice.run(() => client.send("bob", "mark", 1));
  assert.ok((await bob.run(() => transfer.progress.bytes)) - still <= 2 * PIECE);
  await alice.run(() => transfer.resume());
  const { hash, expected } = await bob.run(async () => {
    const file = await transfer.done;
    return { hash: await digest(file), expected: await digest(new Blob([noise(file.size)])) };
  });
  assert.equal(hash, expected);
});

scenes("a slow receiver slows the sender", {}, async ([alice, bob]) => {
  await meet([alice, bob]);
  await alice.run(async (size) => {
    const bytes = noise(size);
    globalThis.readTo = 0;
    const source = { name: "slow.bin", size, read: (from, to) => ((globalThis.readTo = Math.max(readTo, to)), bytes.slice(from, to).buffer) };
    globalThis.offer = await client.peer("bob").offer(source);
    offer.on("transfer", watched);
  }, 80 * PIECE);
  await bob.run(async () => {
    globalThis.written = 0;
    globalThis.hashes = [];
    globalThis.open = Promise.withResolvers();
    const chunks = [];
    const stream = new WritableStream({
      async write(chunk) {
        chunks.push(chunk.slice());
        written += chunk.length;
        if (written > 1_000_000) await open.promise;
      },
      close: () => void (globalThis.whole = new Blob(chunks)),
    });
    watched((await offered()).accept({ to: stream }));
    await reached(transfer, 3 * 256 * 1024);
  });
  // Nothing more is written until the gate opens; the sender comes to rest a window further on.
  await alice.run(async () => {
    for (let last = -1; last !== readTo; ) {
      last = readTo;
      await client.request("bob", "echo", 1).catch(() => {});
      await client.peer("bob").send("beat");
    }
  });
  const ahead = (await alice.run(() => readTo)) - (await bob.run(() => written));
  assert.ok(ahead <= 7 * 1024 * 1024, `${ahead} bytes were read ahead`);
  await bob.run(() => open.resolve());
  const { hash, expected } = await bob.run(async () => {
    await transfer.done;
    return { hash: await digest(whole), expected: await digest(new Blob([noise(whole.size)])) };
  });
  assert.equal(hash, expected);
});

scenes("several files and folders go in one offer, and come as one archive", {}, async ([alice, bob]) => {
  await meet([alice, bob]);
  const names = await alice.run(async () => {
    const file = (path, size) => Object.defineProperty(new File([noise(size, size + 1)], path.split("/").pop(), { lastModified: 1_600_000_000_000 }), "webkitRelativePath", { value: path });
    globalThis.files = [file("trip/a.bin", 300_000), file("trip/empty", 0), file("trip/deep/b.txt", 5), file("trip/deep/B.txt", 7), file("trip/ä ö.txt", 262_144)];
    globalThis.offer = await client.peer("bob").offer(files, { note: "all of it" });
    return offer.files.map(({ path }) => path);
  });
  assert.deepEqual(names, ["trip/a.bin", "trip/empty", "trip/deep/b.txt", "trip/deep/B (2).txt", "trip/ä ö.txt"]);
  const seen = await bob.run(async () => {
    const offer = await offered();
    const files = await offer.accept({ to: "file" }).done;
    const right = [];
    for (const [index, file] of files.entries()) right.push((await digest(file)) === (await digest(new Blob([noise(file.size, file.size + 1)]))) && file.name === offer.files[index].name);
    return { name: offer.name, note: offer.note, size: offer.size, count: offer.files.length, right };
  });
  assert.deepEqual(seen, { name: "trip", note: "all of it", size: 562_156, count: 5, right: [true, true, true, true, true] });
});

scenes("a thread is offered a file: those who are there, and who comes, but not who may not", {}, async ([alice, bob]) => {
  await meet([alice, bob]);
  for (const actor of [alice, bob]) await actor.run(() => join("room").then(() => undefined));
  await bob.run(() => void (globalThis.inThread = new Promise((resolve) => thread.on("offer", resolve))));
  await alice.run(async () => {
    globalThis.offer = await thread.offer(new File([noise(1000)], "for all.bin"));
    globalThis.refused = await thread.offer(new File([noise(1000)], "for none.bin"), { allow: () => false });
  });
  const got = await bob.run(async () => {
    const offer = await inThread;
    const file = await offer.accept({ to: "blob" }).done;
    return { size: file.size, thread: offer.thread === thread, direct: offers.length };
  });
  assert.deepEqual(got, { size: 1000, thread: true, direct: 0 });
  // Somebody who comes later, here under another name in the same page.
  const late = await bob.run(async () => {
    const other = await sdk.connect({ id: "carol" });
    const room = await other.thread("room");
    const offer = await new Promise((resolve) => room.on("offer", resolve));
    const file = await offer.accept({ to: "blob" }).done;
    await other.close();
    return [offer.name, file.size];
  });
  assert.deepEqual(late, ["for all.bin", 1000]);
  assert.equal(await alice.run(() => offer.transfers.length), 2);
});

scenes("an offer that is quicker than the news of its owner's membership waits for it", {}, async ([alice, bob]) => {
  await meet([alice, bob]);
  await alice.run(() => client.peer("bob").send("so that there is a link"));
  await bob.run(() => join("room").then((thread) => void (globalThis.inThread = new Promise((resolve) => thread.on("offer", resolve)))));
  await alice.run(async () => {
    globalThis.offer = await (await join("room")).offer(new Blob([noise(1000)]), { name: "quick" });
  });
  assert.equal(await bob.run(() => inThread.then(({ name }) => name)), "quick");
});

scenes("without workers the page's own thread does the work, and files go to memory", {}, async ([alice, bob]) => {
  for (const actor of [alice, bob]) await actor.run(() => void delete globalThis.Worker);
  await meet([alice, bob]);
  await offerNoise(alice, bob, 3 * PIECE + 7);
  const { size, right } = await bob.run(async () => {
    const file = await offers[0].accept({ to: "file" }).done;
    return { size: file.size, right: (await digest(file)) === (await digest(new Blob([noise(file.size)]))) };
  });
  assert.deepEqual([size, right], [3 * PIECE + 7, true]);
});

scenes("what can be compressed is, and the rest is left alone", {}, async ([alice, bob]) => {
  await meet([alice, bob]);
  const sentOver = async (make) => {
    const before = await alice.run(() => wire);
    await alice.run(async (make) => {
      globalThis.blob = new Function(`return ${make}`)();
      const offer = await client.peer("bob").offer(blob, { name: "thing" });
      offer.on("transfer", watched);
    }, make);
    const number = await bob.run(() => (globalThis.count = (globalThis.count ?? -1) + 1));
    const hash = await bob.run((number) => offered(number).then((offer) => offer.accept({ to: "blob" }).done).then(digest), number);
    assert.equal(hash, await alice.run(() => digest(blob)));
    const [after, size] = await alice.run(() => [wire, blob.size]);
    return (after - before) / size;
  };
  const text = await sentOver(`new Blob(Array.from({ length: 60_000 }, (_, n) => "line " + n + " of a text that says much the same\\n"))`);
  assert.ok(text < 0.4, `a text took ${text} of its size`);
  const none = await sentOver("new Blob([noise(20 * 262144)])");
  assert.ok(none > 1 && none < 1.01, `noise took ${none} of its size`);
});

scenes("pieces that get smaller by all sorts of amounts never leave the sender waiting", { timeout: 240_000 }, async ([alice, bob]) => {
  await meet([alice, bob]);
  await alice.run(async () => {
    // Blocks of noise that begin with zeros: each piece has another size on its way.
    const bytes = noise(32 * 2 ** 20);
    for (let block = 0; block < bytes.length / 65_536; block += 1) bytes.fill(0, block * 65_536, block * 65_536 + 12_000 + ((block * 7919) % 12_000));
    globalThis.blob = new Blob([bytes]);
    const offer = await client.peer("bob").offer(blob, { name: "uneven" });
    offer.on("transfer", watched);
  });
  const hash = await bob.run(() => offered().then((offer) => offer.accept({ to: "blob" }).done).then(digest));
  assert.equal(hash, await alice.run(() => digest(blob)));
});

scenes("a file that is no longer what it was fails, and so does one that can't be read", {}, async ([alice, bob]) => {
  await meet([alice, bob]);
  const sources = [
    `({ name: "short", size: 900_000, read: (from, to) => new ArrayBuffer(Math.min(to, 600_000) - from) })`,
    `({ name: "gone", size: 900_000, read: () => { throw new DOMException("it is gone", "NotReadableError"); } })`,
  ];
  for (const [number, source] of sources.entries()) {
    await alice.run((source) => client.peer("bob").offer(new Function(`return ${source}`)()).then((offer) => void offer.on("transfer", watched)), source);
    const seen = await bob.run((number) => offered(number).then((offer) => failure(offer.accept({ to: "blob" }))), number);
    assert.deepEqual(seen, { state: "failed", code: "file_changed", peers: ["alice"], same: true });
    assert.equal(await alice.run(() => failure(transfer).then(({ code }) => code)), "file_changed");
  }
});

scenes("a place that is full or closed says so, and the offer stands", {}, async ([alice, bob]) => {
  await meet([alice, bob]);
  await offerNoise(alice, bob, 8 * PIECE);
  for (const [name, code] of [["QuotaExceededError", "storage_full"], ["NotAllowedError", "storage_failed"]]) {
    const seen = await bob.run(async (name) => {
      const stream = new WritableStream({ write() { throw new DOMException("so it is", name); } });
      return failure(offers[0].accept({ to: stream }));
    }, name);
    assert.deepEqual(seen, { state: "failed", code, peers: [], same: true });
  }
  const size = await bob.run(() => offers[0].accept({ to: "blob" }).done.then((file) => file.size));
  assert.equal(size, 8 * PIECE);
});

scenes("options that can't be are refused by name", {}, async ([alice, bob]) => {
  await meet([alice, bob]);
  await offerNoise(alice, bob, 10);
  const codes = await alice.run(async () => {
    const peer = client.peer("bob");
    const tries = [
      () => peer.offer(), () => peer.offer([]), () => peer.offer("text"), () => peer.offer({ size: -1, read() {} }), () => peer.offer({ size: 1.5, read() {} }),
      () => peer.offer(new Blob([]), { note: "x".repeat(2001) }), () => peer.offer(new Blob([]), { expires: 0 }), () => peer.offer(new Blob([]), { limit: -1 }),
      () => peer.offer(new Blob([]), { allow: true }), () => peer.offer(new Blob([]), { thumbnail: "x" }), () => offer.on("nothing", () => {}), () => offer.on("close"),
    ];
    const list = [];
    for (const one of tries) list.push((await refusal(one)).code);
    const many = await refusal(() => peer.offer(Array.from({ length: 16_385 }, () => new Blob([]))));
    return [new Set(list), list.length, many.code].map((value) => (value instanceof Set ? [...value] : value));
  });
  assert.deepEqual(codes, [["invalid_option"], 12, "too_large"]);
  const accepts = await bob.run(async () => {
    const list = [];
    for (const options of [{ to: "elsewhere" }, { to: 5 }, { limit: "fast" }]) list.push((await refusal(() => offers[0].accept(options))).code);
    list.push((await failure(offers[0].accept({ to: () => 7 }))).code);
    return list;
  });
  assert.deepEqual(accepts, ["invalid_option", "invalid_option", "invalid_option", "invalid_option"]);
});
