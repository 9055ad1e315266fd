// Every fault that `client.simulate` knows, during chat of numbered messages in both directions: none is lost, none comes
// twice, order holds, and the link is live again. All faults at once, each with two clients of its own, so that a whole
// round takes as long as the slowest. PEERLOOM_RUNS says how many rounds; the table of them all is printed at the end.

import assert from "node:assert/strict";
import { after } from "node:test";
import { openAgain, PAIRS, scene } from "./support.mjs";

const RUNS = Number(process.env.PEERLOOM_RUNS ?? 1);
/** What the page is told of, so that it can say so: the peer's state, or the client's. */
const TOLD = {
  peer: ["ice_failure", "silent_path", "channel_close", "link_rebuild", "relay_only", "negotiation_failure", "network_change"],
  client: ["signalling_drop", "half_open_socket", "server_away", "server_drain", "server_busy", "resume_refused", "id_lost", "network_change"],
};
/** As many at a time as two cores bear without being a fault of their own. */
const AT_ONCE = Number(process.env.PEERLOOM_AT_ONCE ?? 7);
/** Milliseconds from a fault's end until the link is live again and all is confirmed, by pair and fault. */
const times = new Map();

/** A client for each fault, in a thread with its counterpart in the other page. */
async function enter(faults, side, other, round) {
  globalThis.pairs ??= new Map();
  pairs.clear();
  const enterOne = async (fault) => {
    const client = await sdk.connect({ id: `${fault}-${side}-${round}` });
    client.on("error", (error) => note(fault, "error", error.code, error.detail));
    client.on("state", (state) => note(fault, "client", state));
    const peer = client.peer(`${fault}-${other}-${round}`);
    peer.on("state", (state) => note(fault, "peer", state));
    const got = [];
    peer.on("message", ({ data }) => got.push(data));
    await client.thread(`${fault}-${round}`);
    pairs.set(fault, { client, peer, got, sent: 0, states: states(peer) });
  };
  await Promise.all(faults.map(enterOne));
}

async function live() {
  await Promise.all([...pairs.values()].map(({ peer }) => reach(peer, "live")));
}

/** Sends numbers until told to stop; `stop` resolves with how many it were, once all are confirmed. */
function talk() {
  for (const pair of pairs.values()) {
    pair.talks = true;
    const work = async () => {
      while (pair.talks) {
        const burst = Array.from({ length: 5 }, () => pair.peer.send((pair.sent += 1)));
        await Promise.all(burst);
        await new Promise((resolve) => setTimeout(resolve, 20)); // the pace of the chat, and not a wait for anything
      }
      return pair.sent;
    };
    pair.done = work();
    pair.done.catch(() => undefined);
  }
}

/** Brings each fault about, and waits until all is well again. Resolves with the milliseconds that it took. */
async function suffer(told) {
  const sufferOne = async ([fault, pair]) => {
    const { client, peer, got } = pair;
    // Well under way, both ways.
    await until(peer, "message", () => got.length > 20);
    const noticed = ["peer", "client"]
      .filter((name) => told[name].includes(fault))
      .map((name) => next(pair[name], "state", (state) => state === "recovering"));
    await client.simulate(fault);
    const begun = performance.now();
    await Promise.all(noticed);
    const mark = pair.sent + 1;
    // A message sent after the fault is confirmed, and both the link and the session are well.
    await peer.send((pair.sent = mark));
    await reach(client, "online");
    await reach(peer, "live");
    return [fault, performance.now() - begun];
  };
  return Promise.all([...pairs].map(sufferOne));
}

async function finish() {
  const result = [];
  for (const [fault, pair] of pairs) {
    pair.talks = false;
    result.push([fault, await pair.done]);
  }
  return result;
}

/** What came, once as much has come as was sent. */
async function outcome(counts) {
  const outcomeOne = async ([fault, count]) => {
    const { client, peer, got } = pairs.get(fault);
    await until(peer, "message", () => got.length >= count);
    await reach(peer, "live");
    const wrong = got.filter((n, index) => n !== index + 1).length;
    const result = { fault, count: got.length, wrong, state: peer.state, client: client.state };
    return result;
  };
  return Promise.all(counts.map(outcomeOne));
}

async function leave() {
  for (const { client } of pairs.values()) await client.close();
}

async function play(ends, context, faults, round) {
  const [alice, bob] = ends;
  await Promise.all([alice.run(enter, faults, "a", "b", round), bob.run(enter, faults, "b", "a", round)]);
  for (const actor of ends) await actor.run(live);
  for (const actor of ends) await actor.run(talk);
  const took = await alice.run(suffer, TOLD);
  const sent = [await alice.run(finish), await bob.run(finish)];
  for (const [actor, counts] of [[bob, sent[0]], [alice, sent[1]]]) {
    for (const { fault, count, wrong, state, client } of await actor.run(outcome, counts)) {
      const expected = counts.find(([name]) => name === fault)[1];
      assert.deepEqual({ fault, count, wrong, state, client }, { fault, count: expected, wrong: 0, state: "live", client: "online" });
    }
  }
  const kinds = `${alice.kind} and ${bob.kind}`;
  for (const [fault, milliseconds] of took) {
    const key = `${fault.padEnd(20)} ${kinds}`;
    times.set(key, [...(times.get(key) ?? []), milliseconds]);
  }
  for (const actor of ends) await actor.run(leave);
}

// What the browsers themselves say of sockets that are cut.
const faults = /(connection to '?ws:|can’t establish a connection|interrupted while the page)/i;
for (const kinds of PAIRS) {
  const options = { kinds, faults, timeout: 180_000 * RUNS };
  scene("every simulated fault heals, and nothing is lost or doubled", options, async (ends, server, context) => {
    const all = await ends[0].run(() => [...sdk.Client.faults]);
    assert.ok(all.length >= 16);
    for (let round = 0; round < RUNS; round += 1) {
      // Chromium gives a page 500 RTCPeerConnections, and counts closed ones until it collects garbage.
      if (round > 0 && round % 8 === 0) for (const actor of ends) await openAgain(actor, server);
      for (let first = 0; first < all.length; first += AT_ONCE) {
        await play(ends, context, all.slice(first, first + AT_ONCE), round);
      }
    }
  });
}

after(() => {
  const lines = [...times].sort(([a], [b]) => a.localeCompare(b)).map(([key, list]) => {
    list.sort((a, b) => a - b);
    const [median, worst] = [list[list.length >> 1], list.at(-1)].map((time) => `${(time / 1000).toFixed(2)} s`.padStart(8));
    return `${key.padEnd(44)} ${String(list.length).padStart(3)} ${median} ${worst}`;
  });
  console.log([`${"fault, browsers".padEnd(44)} runs   median    worst`, ...lines].join("\n"));
});
