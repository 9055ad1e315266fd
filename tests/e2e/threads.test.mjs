// Meeting in a thread: who is there, what they say of themselves, who goes and why, and one link however much is shared.

import assert from "node:assert/strict";
import { openAgain, scene, scenes } from "./support.mjs";

scenes("two meet in a thread, see each other, and share one connection", {}, async ([alice, bob]) => {
  await alice.run(async () => {
    await online("alice", { userData: { name: "Alice" } });
    await join("lobby", { userData: { hat: "red" }, media: { audio: true } });
    globalThis.seen = { joins: [], updates: [], leaves: [] };
    thread.on("join", (member) => seen.joins.push(member.id));
    thread.on("update", (member) => seen.updates.push(member.userData));
    thread.on("leave", ({ member, reason }) => seen.leaves.push([member.id, reason]));
    globalThis.joined = next(thread, "join");
  });
  const seenByBob = await bob.run(async () => {
    await online("bob", { userData: { name: "Bob" } });
    await join("lobby", { userData: { hat: "blue" } });
    const member = thread.members.get("alice");
    globalThis.path = states(member.peer);
    return {
      ids: [...thread.members.keys()],
      member: { id: member.id, userData: member.userData, media: member.media },
      peer: { id: member.peer.id, userData: member.peer.userData, same: member.peer === client.peer("alice") },
      threads: [...client.threads.keys()],
      link: thread.link,
      state: client.state,
    };
  });
  assert.deepEqual(seenByBob.ids, ["alice"]);
  assert.deepEqual(seenByBob.member, { id: "alice", userData: { hat: "red" }, media: { audio: true, video: false } });
  assert.deepEqual(seenByBob.peer, { id: "alice", userData: { name: "Alice" }, same: true });
  assert.deepEqual(seenByBob.threads, ["lobby"]);
  assert.match(seenByBob.link, /^http:\/\/127\.0\.0\.1:\d+\/healthz#lobby$/);
  assert.equal(seenByBob.state, "online");

  const seenByAlice = await alice.run(async () => {
    const member = await joined;
    await reach(member.peer, "live");
    return { id: member.id, userData: member.userData, peer: member.peer.userData, listed: thread.members.get("bob") === member };
  });
  assert.deepEqual(seenByAlice, { id: "bob", userData: { hat: "blue" }, peer: { name: "Bob" }, listed: true });
  const path = await bob.run(async () => {
    await reach(client.peer("alice"), "live");
    return path;
  });
  assert.deepEqual(path, ["connecting", "live"]);

  // More threads, the same link.
  await alice.run(async () => {
    globalThis.others = [];
    for (const id of ["second", "third", "fourth"]) others.push(await client.thread(id));
  });
  const heard = await bob.run(async () => {
    const list = [];
    for (const id of ["second", "third", "fourth"]) {
      const other = await client.thread(id);
      await other.send(`in ${id}`);
      list.push(other.members.get("alice").peer === client.peer("alice"));
    }
    return list;
  });
  assert.deepEqual(heard, [true, true, true]);
  for (const actor of [alice, bob]) assert.deepEqual(await actor.run(() => connections()), { made: 1, open: 1 });

  // Updates: of the member, and of the peer.
  await bob.run(() => {
    thread.setUserData({ hat: "green" });
    client.setUserData({ name: "Robert" });
    thread.setMedia({ video: true });
  });
  const updated = await alice.run(async () => {
    const peer = client.peer("bob");
    await until(thread, "update", () => thread.members.get("bob").media.video);
    await until(peer, "update", () => peer.userData.name === "Robert");
    const { userData, media } = thread.members.get("bob");
    return { userData, media };
  });
  assert.deepEqual(updated, { userData: { hat: "green" }, media: { audio: false, video: true } });

  // Leaving one thread leaves the others, and the link, as they are.
  const left = await bob.run(async () => {
    await thread.leave();
    return { threads: [...client.threads.keys()], refused: await refusal(() => thread.send("too late")) };
  });
  assert.deepEqual(left.threads.toSorted(), ["fourth", "second", "third"]);
  assert.equal(left.refused.code, "not_member");
  const afterwards = await alice.run(async () => {
    await until(thread, "leave", () => !thread.members.has("bob"));
    return { leaves: seen.leaves, joins: seen.joins, others: others.map((other) => other.members.has("bob")), state: client.peer("bob").state };
  });
  assert.deepEqual(afterwards, { leaves: [["bob", "left"]], joins: ["bob"], others: [true, true, true], state: "live" });

  // And so does closing the client, which nobody can mistake for a lost connection.
  await bob.run(() => client.close());
  const closed = await alice.run(async () => {
    await until(others[2], "leave", () => !others[2].members.has("bob"));
    await reach(client.peer("bob"), "offline");
    return { open: connections().open, sizes: others.map((other) => other.members.size) };
  });
  assert.deepEqual(closed, { open: 0, sizes: [0, 0, 0] });
  assert.equal(await bob.run(() => client.state), "closed");
});

for (const kind of ["chromium", "firefox"]) {
  const kinds = ["chromium", kind];
  scene("who closes the page has left", { kinds }, async ([alice, bob]) => {
    await meet(alice, bob);
    await bob.page.goto("about:blank");
    assert.equal(await alice.run(async () => (await leaving).reason), "left");
  });

  scene("who vanishes has timed out", { kinds, server: ["--grace", "1500"], apart: [false, true] }, async ([alice, bob]) => {
    await meet(alice, bob);
    const begun = Date.now();
    await bob.kill();
    assert.equal(await alice.run(async () => (await leaving).reason), "timed_out");
    const took = Date.now() - begun;
    assert.ok(took >= 1400, `gone after ${took} ms, before the time of grace was over`);
    assert.equal(await alice.run(() => thread.members.size), 0);
    await alice.run(() => reach(client.peer("bob"), "offline"));
  });
}

scenes("who reloads the page comes back under the same id, and is linked anew", {}, async ([alice, bob], server) => {
  await meet(alice, bob);
  await alice.run(() => {
    globalThis.heard = [];
    globalThis.came = [];
    thread.on("message", ({ from, data }) => heard.push(`${from.id}: ${data}`));
    thread.on("join", ({ id }) => came.push(id));
    thread.on("leave", ({ member, reason }) => came.push(`${member.id} ${reason}`));
  });
  await bob.run(() => thread.send("before"));
  await openAgain(bob, server);
  await bob.run(async () => {
    await online("bob", { userData: { life: 2 } });
    await join("lobby");
    globalThis.answered = next(thread, "message");
    await thread.send("after");
  });
  const seen = await alice.run(async () => {
    const peer = client.peer("bob");
    await reach(peer, "live");
    await thread.send("welcome back");
    return { heard, came, userData: peer.userData, open: connections().open, same: thread.members.get("bob").peer === peer };
  });
  assert.deepEqual(seen, { heard: ["bob: before", "bob: after"], came: ["bob left", "bob"], userData: { life: 2 }, open: 1, same: true });
  assert.equal(await bob.run(async () => (await answered).data), "welcome back");
});

scenes("who closes in a listener is gone at once, with its id", {}, async ([alice, bob]) => {
  await meet(alice, bob);
  await alice.run(() => {
    thread.on("message", () => client.close());
  });
  const reason = await bob.run(async () => {
    const left = next(thread, "leave");
    // Whether it is confirmed before the close is alice's to say.
    thread.send("please close").catch(() => {});
    return (await left).reason;
  });
  assert.equal(reason, "left");
  const again = await alice.run(async () => {
    const heard = [];
    client.on("state", (state) => heard.push(state));
    const before = client.state;
    await online("alice");
    return { before, state: client.state, heard };
  });
  assert.deepEqual(again, { before: "closed", state: "online", heard: [] });
});

scenes("a text on the data channel is no frame, and allocates nothing", {}, async ([alice, bob]) => {
  await bob.run(() => {
    const { createDataChannel } = RTCPeerConnection.prototype;
    RTCPeerConnection.prototype.createDataChannel = function (...args) {
      globalThis.channel = createDataChannel.apply(this, args);
      return channel;
    };
  });
  await meet(alice, bob);
  await alice.run(() => {
    globalThis.uncaught = [];
    addEventListener("error", ({ message }) => uncaught.push(message));
    globalThis.broken = next(client.peer("bob"), "state");
    globalThis.heard = next(thread, "message");
  });
  await bob.run(() => channel.send("4000000000"));
  assert.notEqual(await alice.run(() => broken), "live", "that connection is given up");
  await bob.run(() => thread.send("and goes on"));
  assert.equal((await alice.run(async () => (await heard).data)), "and goes on");
  assert.deepEqual(await alice.run(() => uncaught), []);
});

async function meet(alice, bob) {
  await alice.run(async () => {
    await online("alice");
    await join("lobby");
    globalThis.leaving = next(thread, "leave");
  });
  await bob.run(async () => {
    await online("bob");
    await join("lobby");
    await reach(client.peer("alice"), "live");
  });
  await alice.run(async () => {
    await until(thread, "join", () => thread.members.has("bob"));
    await reach(client.peer("bob"), "live");
  });
}

for (const kinds of [["chromium", "firefox", "chromium"], ["firefox", "chromium", "firefox"]]) {
  scene("three are in one thread, each linked with each", { kinds }, async (actors) => {
    for (const actor of actors) {
      await actor.run(async (id) => {
        await online(id);
        await join("trio");
        globalThis.heard = [];
        thread.on("message", ({ from, data }) => heard.push(`${from.id}: ${data}`));
      }, actor.name);
    }
    for (const actor of actors) {
      await actor.run(async () => {
        await until(thread, "join", () => thread.members.size === 2);
        for (const { peer } of thread.members.values()) await reach(peer, "live");
      });
    }
    for (const actor of actors) await actor.run(() => thread.send("hello"));
    for (const actor of actors) {
      const others = actors.filter((other) => other !== actor).map(({ name }) => `${name}: hello`);
      assert.deepEqual((await actor.run(() => heard)).toSorted(), others.toSorted());
      assert.deepEqual(await actor.run(() => connections()), { made: 2, open: 2 });
    }
  });
}
