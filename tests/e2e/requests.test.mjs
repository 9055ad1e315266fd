// Asking and answering, tags and presence, and what a page is told when something can't be.

import assert from "node:assert/strict";
import { scene, scenes } from "./support.mjs";

scenes("requests are answered, fail with their reason, run out of time, and are called off", {}, async ([alice, bob]) => {
  await alice.run(() => online("alice", { userData: { name: "Alice" } }).then(() => undefined));
  await bob.run(async () => {
    await online("bob");
    client.tag("role:oracle");
    client.handle("sum", ({ a, b }) => a + b);
    client.handle("whoAsks", (_data, from) => ({ id: from.id, name: from.userData.name }));
    client.handle("later", async (data) => {
      await Promise.resolve();
      return new Map([["got", data]]);
    });
    client.handle("file", () => new Blob(["content"], { type: "text/plain" }));
    client.handle("nothing", () => undefined);
    client.handle("fails", () => {
      throw new RangeError("out of range: 7");
    });
    client.handle("rejects", () => Promise.reject(new Error("not today")));
    client.handle("unsendable", () => () => undefined);
    client.handle("never", () => new Promise(() => undefined));
    globalThis.unhandle = client.handle("gone", () => "still here");
  });
  const answers = await alice.run(async () => {
    const file = await client.request("bob", "file");
    return {
      sum: await client.request("bob", "sum", { a: 2, b: 40 }),
      byTag: await client.request("role:oracle", "sum", { a: 1, b: 1 }),
      whoAsks: await client.request("bob", "whoAsks"),
      later: [...(await client.request("bob", "later", 5n))].map(String),
      file: [file instanceof Blob, file.type, await file.text()],
      nothing: (await client.request("bob", "nothing")) === undefined,
      many: (await Promise.all(Array.from({ length: 500 }, (_, n) => client.request("bob", "sum", { a: n, b: 0 })))).every((sum, n) => sum === n),
    };
  });
  assert.deepEqual(answers, {
    sum: 42,
    byTag: 2,
    whoAsks: { id: "alice", name: "Alice" },
    later: ["got,5"],
    file: [true, "text/plain", "content"],
    nothing: true,
    many: true,
  });

  const failed = await alice.run(async () => {
    const late = performance.now();
    const timeout = await refusal(() => client.request("bob", "never", 1, { timeout: 300 }));
    const took = performance.now() - late;
    const controller = new AbortController();
    const aborted = refusal(() => client.request("bob", "never", 1, { signal: controller.signal }));
    controller.abort();
    return {
      took,
      timeout,
      aborted: await aborted,
      abortedBefore: await refusal(() => client.request("bob", "sum", { a: 1, b: 1 }, { signal: AbortSignal.abort() })),
      unhandled: await refusal(() => client.request("bob", "nobody handles this")),
      fails: await refusal(() => client.request("bob", "fails")),
      rejects: await refusal(() => client.request("bob", "rejects")),
      unsendable: await refusal(() => client.request("bob", "unsendable")),
      absent: await refusal(() => client.request("nobody", "sum")),
      before: await client.request("bob", "gone"),
    };
  });
  const codes = Object.fromEntries(Object.entries(failed).map(([name, { code }]) => [name, code]));
  assert.deepEqual(codes, {
    took: undefined,
    timeout: "timeout",
    aborted: "aborted",
    abortedBefore: "aborted",
    unhandled: "request_unhandled",
    fails: "request_failed",
    rejects: "request_failed",
    unsendable: "request_failed",
    absent: "peer_unavailable",
    before: undefined,
  });
  assert.ok(failed.took >= 290 && failed.took < 5_000, `${failed.took} ms`);
  assert.match(failed.fails.message, /out of range: 7/);
  assert.match(failed.rejects.message, /not today/);
  assert.match(failed.unhandled.message, /nobody handles this/);

  await bob.run(() => unhandle());
  assert.equal((await alice.run(() => refusal(() => client.request("bob", "gone")))).code, "request_unhandled");
  // Whoever is asked goes away without an answer.
  await alice.run(() => (globalThis.open = refusal(() => client.request("bob", "never"))) && undefined);
  await bob.run(() => client.close());
  assert.equal((await alice.run(() => open)).code, "peer_left");
});

scenes("tags are found and watched, and presence tells who comes and goes", {}, async ([alice, bob]) => {
  await alice.run(async () => {
    await online("alice");
    globalThis.news = [];
    client.on("presence", (presence) => news.push(presence));
    globalThis.told = (fits) => (news.some(fits) ? undefined : next(client, "presence", fits));
    client.watch("bob", "role:host");
    await told(({ id, online }) => id === "bob" && !online);
  });
  await bob.run(async () => {
    await online("bob", { userData: { age: 5 } });
    client.on("message", ({ from, name, data }) => note("got", from.id, name, data));
    globalThis.got = next(client, "message");
    client.tag("role:host", "other");
  });
  await alice.run(async () => {
    await told(({ id, tag, online }) => id === "bob" && tag === undefined && online);
    await told(({ id, tag, online }) => id === "bob" && tag === "role:host" && online);
    await client.send("role:host", "greeting", { hello: "host" });
  });
  assert.deepEqual(await bob.run(async () => {
    const { from, name, data } = await got;
    return { from: from.id, name, data };
  }), { from: "alice", name: "greeting", data: { hello: "host" } });
  // User data of a peer that shares no thread comes with the link.
  assert.deepEqual(await alice.run(() => client.peer("bob").userData), { age: 5 });

  await bob.run(() => client.untag("role:host"));
  await alice.run(() => told(({ id, tag, online }) => id === "bob" && tag === "role:host" && !online));
  assert.equal((await alice.run(() => refusal(() => client.send("role:host", "greeting")))).code, "peer_unavailable");
  await bob.run(() => client.close());
  await alice.run(() => told(({ id, tag, online }) => id === "bob" && tag === undefined && !online && news.length > 3));
});

scene("a message to a tag, or to several, reaches all of them", { kinds: ["chromium", "firefox", "chromium"] }, async (actors) => {
  const [alice, ...others] = actors;
  await alice.run(() => online("alice").then(() => undefined));
  for (const actor of others) {
    await actor.run(async (id) => {
      await online(id);
      client.tag("everybody");
      globalThis.got = [];
      client.on("message", ({ name, data }) => got.push(`${name} ${data}`));
      // What was asked of the server before is done once it answers.
      await client.thread(`of ${id}`);
    }, actor.name);
  }
  const result = await alice.run(async () => {
    await client.send("everybody", "to all", 1);
    await client.send(["bob", "carol"], "to both", 2);
    return { absent: await refusal(() => client.send(["bob", "nobody"], "to one", 3)) };
  });
  assert.equal(result.absent.code, "peer_unavailable");
  assert.match(result.absent.message, /nobody/);
  assert.deepEqual(await others[0].run(() => got), ["to all 1", "to both 2", "to one 3"]);
  assert.deepEqual(await others[1].run(() => got), ["to all 1", "to both 2"]);
});

for (const kind of ["chromium", "firefox"]) {
  scene("mistakes are told where they are made, with code, cause and remedy", { kinds: [kind, kind], faults: /connection to/i }, async ([alice, bob]) => {
    await alice.run(() => online("alice").then(() => undefined));
    const refused = await bob.run(async () => {
      const { connect, Client } = sdk;
      const idle = new Client();
      const result = {
        idTaken: await refusal(() => connect({ id: "alice" })),
        emptyId: await refusal(() => connect({ id: "" })),
        longId: await refusal(() => connect({ id: "x".repeat(129) })),
        controlId: await refusal(() => connect({ id: "a\nb" })),
        notAString: await refusal(() => connect({ id: 7 })),
        server: await refusal(() => connect({ server: "ftp://example.org" })),
        timeout: await refusal(() => connect({ timeout: -1 })),
        privacy: await refusal(() => connect({ privacy: "some" })),
        iceServers: await refusal(() => connect({ iceServers: "stun:example.org" })),
        userData: await refusal(() => connect({ userData: { call() {} } })),
        userDataLarge: await refusal(() => connect({ userData: "x".repeat(5000) })),
        unreachable: await refusal(() => connect({ server: "ws://127.0.0.1:9", timeout: 1500 })),
        notOpen: await refusal(async () => idle.peer("alice")),
        notOpenThread: await refusal(() => idle.thread("lobby")),
      };
      const client = await online("bob");
      result.emptyPeer = await refusal(async () => client.peer(""));
      result.longThread = await refusal(() => client.thread("x".repeat(129)));
      result.emptyTag = await refusal(async () => client.tag(""));
      result.to = await refusal(() => client.send(5, "name"));
      result.requestTimeout = await refusal(() => client.request("alice", "x", 1, { timeout: 0 }));
      result.handler = await refusal(async () => client.handle("x", "not a function"));
      result.listener = await refusal(async () => client.on("message", undefined));
      result.event = await refusal(async () => client.on("nonsense", () => undefined));
      result.absent = await refusal(() => client.peer("nobody").send("x"));
      result.own = await refusal(() => client.peer("bob").send("x"));
      const thread = await client.thread("room");
      await thread.leave();
      result.notMember = await refusal(() => thread.send("x"));
      result.threadData = await refusal(async () => thread.setUserData({}));
      await client.close();
      await client.close();
      result.closed = await refusal(() => client.send("alice", "x"));
      result.closedPeer = await refusal(async () => client.peer("alice").send("x"));
      return result;
    });
    const codes = Object.fromEntries(Object.entries(refused).map(([name, { code, resolved }]) => [name, code ?? `resolved ${resolved}`]));
    assert.deepEqual(codes, {
      idTaken: "id_taken",
      emptyId: "invalid_name",
      longId: "invalid_name",
      controlId: "invalid_name",
      notAString: "invalid_option",
      server: "invalid_option",
      timeout: "invalid_option",
      privacy: "invalid_option",
      iceServers: "invalid_option",
      userData: "invalid_data",
      userDataLarge: "too_large",
      unreachable: "server_unreachable",
      notOpen: "not_open",
      notOpenThread: "not_open",
      emptyPeer: "invalid_name",
      longThread: "invalid_name",
      emptyTag: "invalid_name",
      to: "invalid_option",
      requestTimeout: "invalid_option",
      handler: "invalid_option",
      listener: "invalid_option",
      event: "invalid_option",
      absent: "peer_unavailable",
      own: "invalid_option",
      notMember: "not_member",
      threadData: "not_member",
      closed: "closed",
      closedPeer: "closed",
    });
    for (const [name, error] of Object.entries(refused)) {
      assert.equal(error.is, true, name);
      assert.equal(error.name, "PeerloomError", name);
      assert.ok(error.message.length > 10 && error.remedy.length > 10 && typeof error.detail === "string", name);
      assert.ok(error.message.includes(error.detail), name);
    }
    assert.match(refused.server.detail, /server/);
    assert.match(refused.timeout.detail, /timeout/);
    assert.match(refused.event.detail, /nonsense.*message/);
    // None of this has disturbed the other client.
    assert.equal(await alice.run(() => client.state), "online");
  });
}

scenes("a name that is no string is refused, and harms nothing", {}, async ([alice]) => {
  const seen = await alice.run(async () => {
    await online("alice");
    const codes = [];
    for (const wrong of [undefined, 5, {}, [], null, new Uint8Array(3)]) {
      const calls = [
        () => client.send("bob", wrong, 1),
        () => client.request("bob", wrong),
        () => client.request(wrong, "sum"),
        () => client.handle(wrong, () => 1),
        () => client.peer(wrong),
        () => client.on(wrong, () => {}),
        () => client.peer("bob").on(wrong, () => {}),
        () => client.peer("bob").off(wrong),
      ];
      for (const call of calls) codes.push((await refusal(async () => call())).code);
    }
    for (const wrong of [5, {}, []]) codes.push((await refusal(() => client.thread(wrong))).code);
    return { codes: [...new Set(codes)].toSorted(), state: client.state, peer: client.peer("bob").id };
  });
  assert.deepEqual(seen, { codes: ["invalid_name", "invalid_option"], state: "online", peer: "bob" });
});
