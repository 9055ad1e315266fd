// What the faults share: two pages, each with its browser in a network namespace of its own, a server in a third, and
// numbered messages in both directions all the while. Whatever happens to the network, nothing may be lost or doubled,
// order holds, and both pages are live again within a minute. How long that took goes into the table.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { launch, PAIRS, Server, stop, tell } from "../e2e/support.mjs";
import { address, Network } from "./network.mjs";
import { figures } from "./table.mjs";

/** How often each fault is brought about; one run shows that it is survived, twenty how long it takes. */
const RUNS = Number(process.env.PEERLOOM_NET_RUNS ?? 1);
/** How many scenes run at once. They mostly wait. */
const AT_ONCE = Number(process.env.PEERLOOM_NET_AT_ONCE ?? 3);
/** The least number of messages each way. */
const COUNT = 2_000;
/** How many are there before the fault. */
const BEFORE = 200;
/** How long a fault lasts that is not over at once. */
export const FAULT_MS = 20_000;
/** Both are live by then: at the beginning, and again after the fault. */
const LIVE_MS = 60_000;
const TEST_MS = 240_000;

Network.sweep();

// ---- the ends -----------------------------------------------------------------------------------------------------

/** A page that a helper in its namespace drives, used as if it were here. */
class Remote {
  /** As those of an `Actor`. */
  faults = [];
  #host;
  #asked = 0;
  #waiting = new Map();

  static async open(network, site, kind, name, url) {
    const remote = new this();
    Object.assign(remote, { kind, name, site });
    remote.#start(network);
    await remote.#ask({ open: { kind, name, url } });
    return remote;
  }

  #start(network) {
    const [program, ...args] = [...network.at(this.site), process.execPath, fileURLToPath(new URL("host.mjs", import.meta.url))];
    // In-page waits may be as long as a recovery. The helper is no test, whatever the variable of Node's runner says.
    const env = { ...process.env, PEERLOOM_STEP_MS: String(LIVE_MS + 10_000), NODE_TEST_CONTEXT: undefined };
    this.#host = spawn(program, args, { env, stdio: ["ignore", "ignore", "inherit", "ipc"] });
    this.#host.on("message", ({ id, value, error, faults }) => {
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      this.faults.push(...faults);
      if (error === undefined) resolve(value);
      else reject(error);
    });
    this.ended = new Promise((resolve) => this.#host.once("exit", resolve));
    this.ended.then(() => this.#waiting.forEach(({ reject }) => reject(`${this.name}'s helper has ended`)));
  }

  async #ask(request) {
    const failure = new Error(); // here, because its stack says which step of the test it was
    const id = (this.#asked += 1);
    try {
      return await new Promise((resolve, reject) => {
        this.#waiting.set(id, { resolve, reject });
        this.#host.send({ id, ...request });
      });
    } catch (error) {
      failure.message = error.message ?? error;
      throw failure;
    }
  }

  /** Runs a function in the page. */
  run(work, ...args) {
    return this.#ask({ run: `(${work})(...${JSON.stringify(args)})` });
  }

  async close() {
    if (this.#host.connected) this.#host.disconnect();
    await this.ended;
  }
}

const TURN = { port: 3478, user: "peerloom", password: "loom" };
/** As a page names it to its browser. */
export const turnServers = [{ urls: `turn:${address("hub")}:${TURN.port}?transport=udp`, username: TURN.user, credential: TURN.password }];

/** A TURN server in the hub. */
export class Turn {
  #child;
  #network;

  static async start(network) {
    const turn = new this();
    turn.#network = network;
    await turn.restart();
    return turn;
  }

  async restart() {
    const [program, ...within] = this.#network.at("hub");
    const place = [`--listening-ip=${address("hub")}`, `--relay-ip=${address("hub")}`, `--listening-port=${TURN.port}`];
    const account = ["--lt-cred-mech", "--realm=peerloom", `--user=${TURN.user}:${TURN.password}`];
    const alone = ["-n", "--no-cli", "--no-tls", "--no-dtls", "--no-tcp", "--pidfile="];
    const talking = ["--verbose", "--log-file=stdout", "--simple-log"]; // it is silent about being ready otherwise
    this.#child = launch(program, [...within, "turnserver", ...alone, ...talking, ...place, ...account]);
    const lines = createInterface({ input: this.#child.stdout });
    const ready = new Promise((resolve) => lines.on("line", (line) => /UDP listener opened/i.test(line) && resolve(true)));
    assert(await Promise.race([ready, this.#child.ended.then(() => false)]), "turnserver did not start");
  }

  kill() {
    return stop(this.#child, "SIGKILL");
  }

  stop() {
    return stop(this.#child);
  }
}

// ---- in the page --------------------------------------------------------------------------------------------------

/**
 * Sends numbers at a steady pace, whether or not they get through, and notes what comes and when, until there are
 * `enough`.
 */
function begin(other) {
  const peer = client.peer(other);
  const history = (emitter) => {
    const list = [[Date.now(), emitter.state]];
    emitter.on("state", (state) => list.push([Date.now(), state]));
    return list;
  };
  globalThis.exchange = { client: history(client), peer: history(peer), numbers: [], arrivals: [], sent: 0, sends: [], enough: Infinity };
  peer.on("message", ({ data }) => {
    exchange.numbers.push(data.n);
    exchange.arrivals.push(Date.now());
  });
  const send = () => {
    const n = exchange.sent++;
    exchange.sends.push(peer.send({ n, text: `message ${n}` }).then(() => undefined, (error) => `${n}: ${error.code}`));
  };
  const pace = setInterval(() => {
    for (let count = 0; count < 4; count += 1) send();
    if (exchange.sent >= exchange.enough) clearInterval(pace), exchange.done();
  }, 20);
}

/** Resolves once that many have come. */
const received = (other, count) => until(client.peer(other), "message", () => exchange.numbers.length >= count);

async function recovered(other, count) {
  await until(client.peer(other), "message", () => exchange.numbers.length >= count);
  await reach(client, "online");
  await reach(client.peer(other), "live");
}

/** Ends the sending, not before `count`; resolves with how many it were and those that were refused. */
async function finish(count) {
  await new Promise((resolve) => Object.assign(exchange, { enough: count, done: resolve }));
  const refused = (await Promise.all(exchange.sends)).filter((failure) => failure !== undefined);
  return { sent: exchange.sent, refused };
}

const outcome = () => {
  const { client: clientStates, peer: peerStates, numbers, arrivals } = exchange;
  return { clientStates, peerStates, numbers, arrivals };
};

// ---- scenes -------------------------------------------------------------------------------------------------------

const within = (ms, promise, what) => {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`${what} took more than ${ms} ms`)), ms)));
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
};

/** Both pages at once; the results in their order. */
const both = (ends, work) => Promise.all(ends.map(([actor, other]) => work(actor, other)));

/**
 * What the pages themselves say of a network that fails: of the WebSocket, and of whatever else a browser would load.
 */
const EXPECTED = /websocket|connection to '?ws:|can’t establish a connection|net::ERR_|ICE failed/i;

/**
 * Shows in every pair of browsers that nothing is lost, doubled or out of order through a fault.
 * @param {string} fault as the table names it
 * @param {(scene: { network: Network, server: Server, alice: Remote, bob: Remote, both: Function }) => Promise<void>} play
 *   brings the fault about and mends it; alice is at site a
 * @param {{ options?: object, prepare?: (network: Network) => Promise<{ stop(): Promise<void> }> }} [options]
 *   `options` for the clients; `prepare` sets the network up before the pages open, and its result is the scene's `aid`
 */
export function survives(fault, play, { options = {}, prepare } = {}) {
  describe(fault, { concurrency: AT_ONCE }, () => {
    for (let index = 0; index < RUNS; index += 1) {
      for (const kinds of PAIRS) {
        test(`${fault} (${kinds.join(", ")})`, { timeout: TEST_MS }, (context) => scene(context, { fault, kinds, play, options, prepare }));
      }
    }
  });
}

async function scene(context, { fault, kinds, play, options, prepare }) {
  const network = new Network();
  const started = [];
  const actors = [];
  let server;
  try {
    const aid = await prepare?.(network);
    if (aid) started.push(aid);
    server = await Server.start([], { listen: `${address("hub")}:8080`, within: network.at("hub") });
    started.push(server);
    const open = (site, kind, name) => Remote.open(network, site, kind, name, server.url).then((actor) => actors.push(actor) && actor);
    const [alice, bob] = await Promise.all([open("a", kinds[0], "alice"), open("b", kinds[1], "bob")]);
    const ends = [[alice, "bob"], [bob, "alice"]];
    await both(ends, (actor) => actor.run(async (id, more) => {
      await online(id, more);
      await join("lobby");
    }, actor.name, options));
    await within(LIVE_MS, both(ends, (actor, other) => actor.run((id) => reach(client.peer(id), "live"), other)), "a link");
    await both(ends, (actor, other) => actor.run(begin, other));
    await both(ends, (actor, other) => actor.run(received, other, BEFORE));

    const begun = Date.now();
    await play({ network, server, aid, alice, bob, both: (work) => both(ends, work) });
    const mended = Date.now();
    // Recovered is who hears again what is said after the fault, and says so.
    const said = await both(ends, (actor) => actor.run(() => exchange.sent));
    await within(LIVE_MS, both(ends, (actor, other) => actor.run(recovered, other, said[actor === alice ? 1 : 0] + 1)), "recovery");
    const sent = await both(ends, (actor) => actor.run(finish, COUNT));
    await both(ends, (actor, other) => actor.run(received, other, sent[actor === alice ? 1 : 0].sent));
    const results = await both(ends, (actor) => actor.run(outcome));

    ends.forEach(([actor], index) => {
      const { numbers } = results[index];
      const expected = sent[1 - index].sent;
      const distinct = new Set(numbers).size;
      assert.deepEqual(sent[index].refused, [], `what ${actor.name} sent was refused`);
      assert.equal(distinct, expected, `${actor.name} misses ${expected - distinct}`);
      assert.equal(numbers.length, distinct, `${actor.name} has ${numbers.length - distinct} twice`);
      assert.equal(numbers.findIndex((n, place) => n !== place), -1, `${actor.name} got them out of order`);
      assert.deepEqual(actor.faults.filter((text) => !EXPECTED.test(text)), [], `${actor.name}'s page (${actor.kind}) had faults`);
    });
    context.diagnostic(figures(fault, kinds, begun, mended, results));
    results.forEach((result, index) => context.diagnostic(story(ends[index][0], begun, mended, result)));
  } catch (error) {
    if (server) await tell(error, actors, server);
    throw error;
  } finally {
    await Promise.all(actors.map((actor) => actor.close()));
    for (const one of started.reverse()) await one.stop();
    network.remove();
  }
}

/** What became of the states, in seconds since the fault. */
function story(actor, begun, mended, { clientStates, peerStates }) {
  const since = (at) => ((at - begun) / 1_000).toFixed(1);
  const line = (states) => states.map(([at, state], index) => (index === 0 ? state : `${since(at)} s ${state}`)).join(" → ");
  return `${actor.name} (${actor.kind}), mended at ${since(mended)} s: peer ${line(peerStates)}; client ${line(clientStates)}`;
}
