// Every kind of value arrives as it was sent: once, in order, and the same to the last detail. What can't be sent is
// refused where it is sent, with an error that says which part of it.

import assert from "node:assert/strict";
import test from "node:test";
import { pack, unpack } from "../../js/value.js";
import { scene, scenes } from "./support.mjs";

/** How many messages of every kind go each way. */
const EACH = 1_000;

/** Puts `kinds` into the page: functions of a number that make a value of their kind, in both pages the same one. */
function defineKinds() {
  const bytes = (n, length = 8) => Uint8Array.from({ length }, (_, index) => (n * 31 + index * 7) & 255);
  const view = (View) => (n) => new View(bytes(n, 16).buffer);
  globalThis.kinds = {
    string: (n) => `message ${n} “äöü” 🧵 \u0000 \u2028`,
    emptyString: () => "",
    brokenSurrogates: (n) => `\ud800${n}\udc00`,
    replacementCharacter: (n) => `\ufffd ${n}`,
    number: (n) => n * 1.5 - 7,
    largeNumber: (n) => Number.MAX_SAFE_INTEGER - n,
    notANumber: () => NaN,
    minusZero: () => -0,
    infinity: (n) => (n % 2 ? Infinity : -Infinity),
    boolean: (n) => n % 2 === 0,
    null: () => null,
    undefined: () => undefined,
    bigint: (n) => 2n ** 70n * BigInt(n % 2 ? n : -n),
    json: (n) => ({ n, text: "x", list: [1, "two", null, true, { deep: [[[n]]] }], empty: {}, none: [] }),
    array: (n) => [n, String(n), [n]],
    hole: (n) => [n, undefined, null],
    date: (n) => new Date(1_700_000_000_000 + n),
    invalidDate: () => new Date(NaN),
    map: (n) => new Map([["n", n], [n, "n"], [{ key: n }, new Map([[1n, undefined]])]]),
    set: (n) => new Set([n, String(n), new Date(n), NaN]),
    arrayBuffer: (n) => bytes(n, n % 50).buffer,
    emptyBuffer: () => new ArrayBuffer(0),
    int8: view(Int8Array),
    uint8: view(Uint8Array),
    uint8Clamped: view(Uint8ClampedArray),
    int16: view(Int16Array),
    uint16: view(Uint16Array),
    int32: view(Int32Array),
    uint32: view(Uint32Array),
    float16: view(globalThis.Float16Array ?? Uint16Array),
    float32: view(Float32Array),
    float64: view(Float64Array),
    bigInt64: view(BigInt64Array),
    bigUint64: view(BigUint64Array),
    dataView: view(DataView),
    blob: (n) => new Blob([`blob ${n}`, bytes(n)], { type: "text/x-peerloom" }),
    emptyBlob: () => new Blob([]),
    // Through JSON, because a literal would set the prototype.
    prototypeKey: (n) => JSON.parse(`{"__proto__": {"polluted": ${n}}, "constructor": ${n}, "toString": "no", "hasOwnProperty": 1}`),
    markKey: (n) => ({ $: "bytes", v: n, t: "Uint8Array" }),
    markKeyRich: (n) => ({ $: new Date(n), "": n, "a.b": [new Set([n])], "\ud83e": 1 }),
    nested: (n) => ({ list: [{ when: new Date(n), bytes: bytes(n), big: BigInt(n), no: undefined, zero: -0, map: new Map([["blob", new Blob([String(n)])]]) }] }),
    deep: (n) => {
      let value = new Date(n);
      for (let level = 0; level < 60; level += 1) value = level % 2 ? [value] : { value };
      return value;
    },
  };
  globalThis.names = Object.keys(kinds);
  /** The message number `n`: kinds take turns, so that quick and slow ones follow each other. */
  globalThis.valueAt = (n) => kinds[names[n % names.length]](Math.floor(n / names.length));
}

/** Takes in `count` messages and notes those that are not what should have come at that point. */
function expectAll(emitter, count) {
  globalThis.arrived = 0;
  globalThis.wrong = [];
  globalThis.checks = [];
  globalThis.complete = new Promise((resolve) => {
    emitter.on("message", ({ data }) => {
      const n = arrived;
      arrived += 1;
      checks.push(
        same(data, valueAt(n)).then((is) => {
          if (!is && wrong.length < 20) wrong.push(`${n}: ${names[n % names.length]}: ${typeof data} ${String(data?.constructor?.name)} ${String(data)}`);
        }),
      );
      if (arrived === count) resolve();
    });
  });
}

async function meet(alice, bob) {
  for (const actor of [alice, bob]) {
    await actor.run(defineKinds);
    await actor.run(async (id) => {
      await online(id);
      await join("lobby");
    }, actor.name);
  }
  await alice.run(() => until(thread, "join", () => thread.members.has("bob")));
}

async function received(actor, count) {
  const result = await actor.run(async () => {
    await complete;
    await Promise.all(checks);
    // A full turn more, in which something that came twice would show.
    await client.request(globalThis.other, "turn");
    return { arrived, wrong };
  });
  assert.deepEqual(result, { arrived: count, wrong: [] }, `what ${actor.name} got`);
}

scenes(`${EACH.toLocaleString("en")} messages of every kind each way between two peers`, {}, async ([alice, bob], _server, context) => {
  await meet(alice, bob);
  const ends = [[alice, "bob"], [bob, "alice"]];
  const count = EACH * (await alice.run(() => names.length));
  for (const [actor, other] of ends) {
    await actor.run(`globalThis.expectAll = ${expectAll}`);
    await actor.run((id, total) => {
      globalThis.other = id;
      client.handle("turn", () => "done");
      expectAll(client.peer(id), total);
    }, other, count);
  }
  const begun = Date.now();
  for (const [actor] of ends) {
    await actor.run((total) => {
      const work = async () => {
        // A thousand under way at a time, none awaited by itself.
        for (let n = 0; n < total; ) {
          const sent = [];
          for (const end = Math.min(total, n + 1_000); n < end; n += 1) sent.push(client.peer(other).send(valueAt(n)));
          await Promise.all(sent);
        }
      };
      globalThis.sending = work();
    }, count);
  }
  for (const [actor] of ends) await actor.run(() => sending);
  for (const [actor] of ends) await received(actor, count);
  context.diagnostic(`${count} messages each way in ${Date.now() - begun} ms, checked`);
});

scenes("every kind arrives in a thread, under a name, and under a tag", {}, async ([alice, bob]) => {
  await meet(alice, bob);
  await bob.run(() => client.tag("reader"));
  const count = 5 * (await alice.run(() => names.length));
  const ways = {
    thread: [() => thread, (n) => thread.send(valueAt(n))],
    id: [() => client, (n) => client.send("bob", "value", valueAt(n))],
    tag: [() => client, (n) => client.send("reader", "value", valueAt(n))],
    list: [() => client, (n) => client.send(["bob"], "value", valueAt(n))],
  };
  await bob.run(`globalThis.expectAll = ${expectAll}`);
  await bob.run(() => client.handle("turn", () => "done"));
  await alice.run(() => client.handle("turn", () => "done"));
  for (const [way, [emitter, send]] of Object.entries(ways)) {
    await bob.run(`globalThis.other = "alice"; globalThis.unhear?.(); (() => { const emitter = (${emitter})(); const on = emitter.on.bind(emitter);
      expectAll({ on: (name, listener) => (globalThis.unhear = on(name, listener)) }, ${count}); })()`);
    await alice.run(`Promise.all(Array.from({ length: ${count} }, (_, n) => (${send})(n))).then(() => undefined)`);
    await received(bob, count).catch((error) => {
      error.message = `${way}: ${error.message}`;
      throw error;
    });
  }
});

scene("every kind arrives through the server", { kinds: ["chromium", "firefox"], webrtc: [true, false] }, async ([alice, bob]) => {
  await meet(alice, bob);
  const count = 5 * (await alice.run(() => names.length));
  await bob.run(`globalThis.other = "alice"; globalThis.expectAll = ${expectAll}; expectAll(client.peer("alice"), ${count})`);
  await alice.run(() => client.handle("turn", () => "done"));
  await alice.run((total) => Promise.all(Array.from({ length: total }, (_, n) => client.peer("bob").send(valueAt(n)))).then(() => undefined), count);
  await received(bob, count);
  assert.equal(await bob.run(() => client.peer("alice").state), "relayed");
});

scenes("large messages arrive whole, and small ones keep their place between them", {}, async ([alice, bob]) => {
  await meet(alice, bob);
  await bob.run(() => {
    globalThis.got = [];
    globalThis.last = next(client.peer("alice"), "message", ({ data }) => data === "last");
    client.peer("alice").on("message", ({ data }) => {
      if (typeof data === "string") got.push(data.length > 100 ? `${data.length} of ${data[0]}` : data);
      else got.push(`${data.byteLength} bytes ${new Uint8Array(data).every((byte, index) => byte === (index * 13) % 251)}`);
    });
  });
  await alice.run(async () => {
    const peer = client.peer("bob");
    const bytes = Uint8Array.from({ length: 5_000_000 }, (_, index) => (index * 13) % 251).buffer;
    await Promise.all([peer.send("first"), peer.send(bytes), peer.send("between"), peer.send("ü".repeat(1_000_000)), peer.send("last")]);
  });
  const got = await bob.run(async () => {
    await last;
    return got;
  });
  assert.deepEqual(got, ["first", "5000000 bytes true", "between", "1000000 of ü", "last"]);
});

for (const kind of ["chromium", "firefox"]) {
  scene("what can't be sent is refused, with the place where it is", { kinds: [kind, kind] }, async ([alice, bob]) => {
    await meet(alice, bob);
    await bob.run(() => (globalThis.got = []) && client.on("message", ({ data }) => got.push(data)) && undefined);
    const refused = await alice.run(async () => {
      const peer = client.peer("bob");
      const cycle = { list: [] };
      cycle.list.push(cycle);
      const throwing = { get trap() { throw new RangeError("sprung"); } };
      const values = {
        function: () => undefined,
        functionInside: { list: [1, { call() {} }] },
        symbol: Symbol("no"),
        symbolInside: new Map([["key", Symbol("no")]]),
        cycle,
        tooDeep: JSON.parse("[".repeat(200) + "]".repeat(200)),
        promise: Promise.resolve(),
        weakMap: new WeakMap(),
        regExp: [/x/],
        error: new Error("x"),
        window,
        throwing,
        tooLarge: "x".repeat(17 * 1024 * 1024),
        tooLargeBytes: new ArrayBuffer(17 * 1024 * 1024),
      };
      const result = {};
      for (const [name, value] of Object.entries(values)) {
        result[name] = [await refusal(() => peer.send(value)), await refusal(() => thread.send(value)), await refusal(() => client.send("bob", "name", value))];
      }
      // And nothing is left behind that would hold up what comes after it.
      await peer.send("still fine");
      await peer.send(new (class Own extends Uint8Array {})([1, 2]));
      return result;
    });
    for (const [name, errors] of Object.entries(refused)) {
      for (const error of errors) {
        assert.equal(error.is, true, `${name}: ${JSON.stringify(error)}`);
        assert.equal(error.code, name.startsWith("tooLarge") ? "too_large" : "invalid_data", name);
        assert.ok(error.remedy.length > 10 && error.message.length > 10, name);
      }
    }
    const detail = (name) => refused[name][0].detail;
    assert.match(detail("function"), /function/);
    assert.match(detail("functionInside"), /function at \.list\[1\]\.call/);
    assert.match(detail("symbolInside"), /symbol at \.value/);
    assert.match(detail("cycle"), /cycle/);
    assert.match(detail("regExp"), /RegExp at \[0\]/);
    assert.match(detail("throwing"), /sprung/);
    const got = await bob.run(() => got.map((value) => (typeof value === "string" ? value : `${value.constructor.name} ${value}`)));
    assert.deepEqual(got, ["still fine", "Uint8Array 1,2"]);
  });
}

test("a small message can't become any number of large ones", () => {
  const part = () => new Uint8Array(8);
  assert.deepEqual(unpack('[{"$":"bytes","v":0,"t":"Uint8Array"}]', [part()]), [part()]);
  for (const kind of ["bytes", "blob"]) {
    const mark = { $: kind, v: 0, t: "Uint8Array" };
    assert.throws(() => unpack(JSON.stringify([mark, mark]), [part()]), /no such part/, kind);
    assert.throws(() => unpack(JSON.stringify([{ ...mark, v: 1 }]), [part()]), /no such part/, kind);
    assert.throws(() => unpack(JSON.stringify([{ ...mark, v: "length" }]), [part()]), /no such part/, kind);
  }
  const digits = (count) => "7".repeat(count);
  assert.equal(unpack(`{"$":"bigint","v":"${digits(65_536)}"}`, []), BigInt(digits(65_536)));
  assert.throws(() => unpack(`{"$":"bigint","v":"${digits(65_537)}"}`, []), /digits/);
  assert.throws(() => pack({ big: BigInt(digits(65_537)) }), /more than 65536 digits at .big/);
});
