// What the faults share: two pages, each with its browser in a network namespace of its own, a server in a third, and
// numbered messages in both directions all the while. Whatever happens to the network, nothing may be lost or doubled,
// order holds, and both pages are live again within a minute. How long that took goes into the table.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { describe, test } from "node:test";
import { setTimeout as pass } from "node:timers/promises";
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
const FAULT_MS = 20_000;
/** Several runs end their faults at moments spread over this, lest all meet the same point of some retry's rhythm. */
const SPREAD_MS = 5_000;
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

  constructor(network, site, kind, name) {
    Object.assign(this, { kind, name });
    const [program, ...args] = [...network.at(site), process.execPath, fileURLToPath(new URL("host.mjs", import.meta.url))];
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

  /** Starts the browser, with the SDK in a page of the server's. */
  open(url) {
    return this.#ask({ open: { kind: this.kind, name: this.name, url } });
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

/** Notes what comes and when, and the states. */
function listen(other) {
  const peer = client.peer(other);
  const history = (emitter) => {
    const list = [[Date.now(), emitter.state]];
    emitter.on("state", (state) => list.push([Date.now(), state]));
    return list;
  };
  globalThis.exchange = { client: history(client), peer: history(peer), numbers: [], arrivals: [], highest: -1, sent: 0, sends: [], enough: Infinity };
  peer.on("message", ({ data }) => {
    exchange.numbers.push(data.n);
    exchange.highest = Math.max(exchange.highest, data.n);
    exchange.arrivals.push(Date.now());
  });
}

/** Sends numbers at a steady pace, whether or not they get through, until there are `enough`. */
function begin(other) {
  const peer = client.peer(other);
  const send = () => {
    const n = exchange.sent++;
    exchange.sends.push(peer.send({ n, text: `message ${n}` }).then(() => undefined, (error) => `${n}: ${error.code}`));
  };
  const pace = setInterval(() => {
    for (let count = 0; count < 4; count += 1) send();
    if (exchange.sent >= exchange.enough) clearInterval(pace), exchange.done();
  }, 20);
}

/** Resolves once the last of that many has come, whether or not the others have. */
const received = (other, count) => until(client.peer(other), "message", () => exchange.highest >= count - 1);

async function recovered(other, count) {
  await until(client.peer(other), "message", () => exchange.highest >= count - 1);
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

/** What browsers themselves say of a network that fails; Firefox does so in the manner of uncaught errors. */
const EXPECTED = /connection to '?ws:|can’t establish a connection|ICE failed/;

/**
 * Shows in every pair of browsers that nothing is lost, doubled or out of order through a fault.
 * @param {string} fault as the table names it
 * @param {(scene: { network: Network, server: Server, aid: any, lasting: Function, both: Function }) => Promise<void>} play
 *   brings the fault about and mends it, after `lasting()` if it takes time; alice is at site a, bob at b
 * @param {{ options?: object, prepare?: (network: Network) => Promise<{ stop(): Promise<void> }> }} [more]
 *   `options` for the clients; `prepare` sets the network up before the pages open, and its result, stopped at the end, is the scene's `aid`
 */
export function survives(fault, play, { options = {}, prepare } = {}) {
  describe(fault, { concurrency: AT_ONCE }, () => {
    for (let index = 0; index < RUNS; index += 1) {
      for (const kinds of PAIRS) {
        test(`${fault} (${kinds.join(", ")})`, { timeout: TEST_MS }, (context) =>
          scene(context, { fault, kinds, index, play, options, prepare }));
      }
    }
  });
}

async function scene(context, { fault, kinds, index, play, options, prepare }) {
  const network = new Network();
  const ends = [new Remote(network, "a", kinds[0], "alice"), new Remote(network, "b", kinds[1], "bob")];
  /** Both pages at once: each with the other one's name, and its place; the results in their order. */
  const both = (work) => Promise.all(ends.map((end, place) => work(end, ends[1 - place].name, place)));
  const lasting = (ms = FAULT_MS) => pass(ms + (SPREAD_MS * index) / RUNS);
  let aid;
  let server;
  try {
    aid = await prepare?.(network);
    server = await Server.start([], { listen: `${address("hub")}:8080`, within: network.at("hub") });
    await both((end) => end.open(server.url));
    await both((end) => end.run(async (id, more) => {
      await online(id, more);
      await join("lobby");
    }, end.name, options));
    await within(LIVE_MS, both((end, other) => end.run((id) => reach(client.peer(id), "live"), other)), "a link");
    await both((end, other) => end.run(listen, other));
    await both((end, other) => end.run(begin, other));
    await both((end, other) => end.run(received, other, BEFORE));

    const begun = Date.now();
    await play({ network, server, aid, lasting, both });
    const mended = Date.now();
    // Recovered is who hears again what is said after the fault.
    const said = await both((end) => end.run(() => exchange.sent));
    await within(LIVE_MS, both((end, other, place) => end.run(recovered, other, said[1 - place] + 1)), "recovery");
    const sent = await both((end) => end.run(finish, COUNT));
    await both((end, other, place) => end.run(received, other, sent[1 - place].sent));
    const results = await both((end) => end.run(outcome));

    ends.forEach((end, place) => context.diagnostic(story(end, begun, mended, results[place])));
    ends.forEach(({ name, kind, faults }, place) => {
      const { numbers } = results[place];
      const expected = sent[1 - place].sent;
      const distinct = new Set(numbers).size;
      assert.deepEqual(sent[place].refused, [], `what ${name} sent was refused`);
      assert.equal(distinct, expected, `${name} misses ${expected - distinct}`);
      assert.equal(numbers.length, distinct, `${name} has ${numbers.length - distinct} twice`);
      assert.equal(numbers.findIndex((n, at) => n !== at), -1, `${name} got them out of order`);
      assert.deepEqual(faults.filter((text) => !EXPECTED.test(text)), [], `${name}'s page (${kind}) had faults`);
    });
    context.diagnostic(figures(fault, kinds, begun, mended, results));
  } catch (error) {
    if (server) await tell(error, ends, server);
    throw error;
  } finally {
    await both((end) => end.close());
    await server?.stop();
    await aid?.stop();
    network.remove();
  }
}

/** What became of the states, in seconds since the fault. */
function story({ name, kind }, begun, mended, { clientStates, peerStates }) {
  const since = (at) => ((at - begun) / 1_000).toFixed(1);
  const line = (states) => states.map(([at, state], index) => (index === 0 ? state : `${since(at)} s ${state}`)).join(" → ");
  return `${name} (${kind}), mended at ${since(mended)} s: peer ${line(peerStates)}; client ${line(clientStates)}`;
}
