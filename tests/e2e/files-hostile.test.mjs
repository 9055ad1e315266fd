// A peer that means harm: offers that are none, names that would do damage, pieces that nobody asked for, are wrong, or are
// far larger than they say. Each is refused with a typed error, nothing of it reaches the page as a file, and others go on.

import assert from "node:assert/strict";
import { meet, PIECE } from "./files-kit.mjs";
import { PAIRS, scene } from "./support.mjs";

/** What mallory has besides: offers and messages made by hand. */
function arm() {
  const flat = (bytes) => ({ length: bytes.length, take(most) {
    const part = bytes.subarray(0, most);
    bytes = bytes.subarray(part.length);
    this.length = bytes.length;
    return part;
  } });
  globalThis.manifest = (besides = {}) => ({ v: 1, id: crypto.randomUUID(), files: [["x.bin", 600_000, 0, ""]], piece: 262_144, note: "", expires: 600_000, ...besides });
  /** Offers that, and answers each message with what `answer` makes of it; returns how it ended. */
  globalThis.attack = (text, answer = () => []) => {
    const connection = client.peer("bob").offering(typeof text === "string" ? text : JSON.stringify(text));
    connection.on("message", (message) => {
      for (const bytes of answer(message)) connection.sendFlat(flat(bytes)).catch(() => {});
    });
    return new Promise((resolve) => connection.on("close", ({ reason }) => resolve(reason)));
  };
  /** A piece: kind 5, or 6 where it is compressed. */
  globalThis.piece = (round, number, hash, bytes, kind = 5) => {
    const message = new Uint8Array(41 + bytes.length);
    const view = new DataView(message.buffer);
    view.setUint8(0, kind);
    view.setUint32(1, round, true);
    view.setUint32(5, number, true);
    message.set(hash, 9);
    message.set(bytes, 41);
    return message;
  };
  /** What a question for a piece asks for, or nothing. */
  globalThis.asked = (message) => {
    const view = new DataView(message.buffer, message.byteOffset);
    return message[0] === 0 ? [view.getUint32(1, true), view.getUint32(5, true)] : undefined;
  };
}

function scenes(title, play) {
  for (const kinds of PAIRS) {
    scene(title, { kinds: [...kinds, kinds[1]], names: ["mallory", "bob", "alice"] }, async (actors, server, context) => {
      await meet(actors);
      await actors[0].run(arm);
      // Whoever else talks to bob does not notice.
      await actors[1].run(() => void client.handle("well?", () => "well"));
      await play(actors, server, context);
      assert.equal(await actors[2].run(() => client.request("bob", "well?")), "well");
    });
  }
}

scenes("an offer that is none is refused", async ([mallory, bob]) => {
  const reasons = await mallory.run(async () => {
    const file = (path, size = 1, modified = 0, type = "") => [path, size, modified, type];
    const bad = [
      "", "{", "null", "[]", "7", '{"v":2}', manifest({ id: "../../x" }), manifest({ id: 5 }), manifest({ files: [] }), manifest({ files: "all" }), manifest({ files: [7] }),
      manifest({ files: [file(5)] }), manifest({ files: [file("x", -1)] }), manifest({ files: [file("x", 1.5)] }), manifest({ files: [file("x", 2 ** 53)] }),
      manifest({ files: [file("x", 2 ** 52), file("y", 2 ** 52)] }), manifest({ files: [file("x", 1, "today")] }), manifest({ files: [file("x", 1, 0, 5)] }),
      manifest({ piece: 0 }), manifest({ piece: 1 }), manifest({ piece: 65_537 }), manifest({ piece: 2 ** 40 }), manifest({ expires: -1 }), manifest({ thread: 5 }),
      manifest({ files: Array.from({ length: 16_385 }, (_, n) => file(String(n))) }),
    ];
    return Promise.all(bad.map((one) => attack(one)));
  });
  assert.deepEqual([...new Set(reasons)], ["protocol_violation"]);
  assert.equal(await mallory.run(() => attack(manifest({ thread: "not mine" }))), "not_member");
  assert.equal(await bob.run(() => offers.length), 0);
});

scenes("names, types and notes from outside do no harm", async ([mallory, bob]) => {
  const names = ["../../x", "con", "a".repeat(5000), "photo\u202egpj.exe", "..", "/etc/passwd", "C:\\x\\y.txt", "__proto__", "same.txt", "SAME.txt", "a/../../b", "\0\n", "nul.txt"];
  await mallory.run((names) => void attack(manifest({ files: names.map((name) => [name, 1, 0, "text/html<script>"]), note: "n".repeat(9999), thumbnail: ["image/svg+xml", "PHN2Zz4="], __proto__: { x: 1 } })), names);
  const seen = await bob.run(async () => {
    const { files, note, thumbnail, type } = await offered();
    return { paths: files.map(({ path }) => path), types: [...new Set(files.map(({ type }) => type))], note: note.length, picture: thumbnail !== undefined, type };
  });
  assert.deepEqual(seen.paths.map((path) => (path.length > 100 ? path.length : path)), [
    "x", "_con", 255, "photogpj.exe", "file", "etc/passwd", "C_/x/y.txt", "__proto__", "same.txt", "SAME (2).txt", "a/b", "file (2)", "_nul.txt",
  ]);
  assert.deepEqual(seen, { ...seen, types: [""], note: 2000, picture: false, type: "" });
});

scenes("ten thousand offers are not kept", async ([mallory, bob]) => {
  const reasons = await mallory.run(async () => {
    const all = [];
    const big = "x".repeat(30_000);
    for (let n = 0; n < 10_000; n += 1) all.push(attack(manifest({ note: n % 100 === 0 ? big : "" })));
    // Those that are kept have no end yet.
    const ended = [];
    for (const one of all) one.then((reason) => ended.push(reason));
    await client.request("bob", "well?");
    while (ended.length < 9_800) await Promise.race([client.request("bob", "well?")]);
    return [[...new Set(ended)], ended.length];
  });
  assert.deepEqual(reasons[0], ["limit_reached"]);
  const kept = await bob.run(() => offers.length);
  assert.ok(kept > 0 && kept <= 128, `${kept} offers were kept`);
});

const ATTACKS = {
  "a piece of another size": ["protocol_violation", "([round, n], hash) => [piece(round, n, hash, new Uint8Array(1000))]"],
  "a piece beyond the last": ["protocol_violation", "([round], hash) => [piece(round, 3, hash, new Uint8Array(10))]"],
  "a piece twice": ["protocol_violation", "([round, n]) => Array(2).fill(piece(round, n, ofZeros, new Uint8Array(262144)))"],
  "pieces out of turn": ["protocol_violation", "([round, n], hash) => [piece(round, n + 1, hash, new Uint8Array(262144))]"],
  "a piece of a round to come": ["protocol_violation", "([round, n], hash) => [piece(round + 1, n, hash, new Uint8Array(262144))]"],
  "a message without end": ["too_large", "([round, n], hash) => [piece(round, n, hash, new Uint8Array(6 * 2 ** 20))]"],
  "nonsense": ["protocol_violation", "() => [Uint8Array.of(99, 1, 2, 3)]"],
  "hashes that nobody asked for": ["protocol_violation", "() => [Uint8Array.of(7, 0, 0, 0, 0, 1, 0, 0, 0, ...new Uint8Array(32))]"],
  "the end before it is there": ["protocol_violation", "() => [Uint8Array.of(8)]"],
  "a wrong hash, twice": ["file_corrupt", "([round, n], hash) => [piece(round, n, hash, new Uint8Array(n < 2 ? 262144 : 75712))]"],
  "what is not compressed, as if it were": ["file_corrupt", "([round, n], hash) => [piece(round, n, hash, new Uint8Array(100).fill(255), 6)]"],
  "little that swells to a lot": ["file_corrupt", "([round, n], hash) => [piece(round, n, hash, bomb.subarray(0, n < 2 ? 200_000 : 70_000), 6)]"],
};

scenes("pieces that nobody asked for, or that are wrong, end the transfer under the sender's name", async ([mallory, bob]) => {
  await mallory.run(async () => {
    const whole = new Blob([new Uint8Array(200 * 2 ** 20)]).stream().pipeThrough(new CompressionStream("deflate-raw"));
    globalThis.ofZeros = new Uint8Array(await crypto.subtle.digest("SHA-256", new Uint8Array(262_144)));
    globalThis.bomb = new Uint8Array(await new Response(whole).arrayBuffer()).subarray(0, 262_000);
  });
  for (const [number, [what, [code, answer]]] of Object.entries(ATTACKS).entries()) {
    await mallory.run((answer) => {
      const make = new Function(`return ${answer}`)();
      const hash = new Uint8Array(32).fill(7);
      globalThis.end = attack(manifest(), (message) => {
        const question = asked(message);
        return question ? make(question, hash) : [];
      });
    }, answer);
    const seen = await bob.run(async (number) => failure((await offered(number)).accept({ to: number % 2 ? "file" : "blob" })), number);
    assert.deepEqual(seen, { state: "failed", code, peers: ["mallory"], same: true }, what);
    assert.equal(await mallory.run(() => end), code, what);
  }
});

scenes("a receiver that asks for what is not there, or for too much, gets nothing", async ([mallory, bob]) => {
  await bob.run(() => client.peer("mallory").offer(new Blob([noise(600_000)])).then((offer) => void offer.on("transfer", watched)));
  const questions = {
    "no such piece": [[0, 0, 0, 0, 0, 3, 0, 0, 0]],
    "no such hashes": [[1, 0, 0, 0, 0, 0, 2, 0, 0]],
    "nonsense": [[77]],
    "an empty message": [[]],
    "too much at once": Array(70).fill([0, 0, 0, 0, 0, 0, 0, 0, 0]),
  };
  for (const [what, messages] of Object.entries(questions)) {
    await mallory.run(async (messages) => {
      globalThis.refused = await sdk.connect({ id: `m-${crypto.randomUUID()}` });
      globalThis.asks = messages;
    }, messages);
    const id = await mallory.run(() => refused.id);
    const offerTo = bob.run(async (id) => {
      const offer = await client.peer(id).offer(new Blob([noise(600_000)]));
      const transfer = await next(offer, "transfer");
      return failure(transfer);
    }, id);
    await mallory.run(async () => {
      const offer = await next(refused, "offer");
      // By hand, over the offer's own connection.
      const flat = (bytes) => ({ length: bytes.length, take() { this.length = 0; return bytes; } });
      offer.accept({ to: new WritableStream() });
      const { transfer } = offer;
      await reach(transfer, "active");
      for (const bytes of asks) transfer.connection.sendFlat(flat(Uint8Array.from(bytes))).catch(() => {});
    });
    const { state, code, peers } = await offerTo;
    assert.deepEqual({ state, code, peers }, { state: "failed", code: "protocol_violation", peers: [id] }, what);
    await mallory.run(() => refused.close());
  }
});
