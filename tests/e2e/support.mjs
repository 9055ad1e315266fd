// What the journeys share: a server that can be killed and started again on its port, Chromium and Firefox, and pages
// with the SDK in them. Everything that is started here is ended here, whether a test passes or not, and a page that
// had an uncaught error fails its test.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import puppeteer from "puppeteer-core";
import { kit } from "./kit.mjs";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** No single step takes longer, on the slowest machine that the tests are meant for. */
const STEP_MS = Number(process.env.PEERLOOM_STEP_MS ?? 60_000);
/** No test does. */
export const TEST_MS = 180_000;

/** Which browsers talk to each other. */
export const PAIRS = [
  ["chromium", "chromium"],
  ["firefox", "firefox"],
  ["chromium", "firefox"],
];

// ---- the server ---------------------------------------------------------------------------------------------------

const SERVER = process.env.PEERLOOM_SERVER ?? `${ROOT}target/debug/peerloom-server`;
/** What runs now, so that an early end of the tests leaves nothing behind. */
const running = new Set();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** A program that `stop` ends, by its own process id. */
export function launch(program, args, options = {}) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
  running.add(child);
  child.ended = new Promise((resolve) => {
    child.once("error", resolve);
    child.once("exit", resolve);
  });
  child.ended.then(() => running.delete(child));
  return child;
}

/** Ends it and waits until it is gone. */
export async function stop(child, signal = "SIGTERM") {
  child.kill(signal);
  const impatient = setTimeout(() => child.kill("SIGKILL"), 5_000);
  await child.ended;
  clearTimeout(impatient);
}

/** A signalling server with the demo and the package. */
export class Server {
  #command;
  #child;
  #log = "";

  /** `within` is what goes before the program and its arguments, if it is to run somewhere else. */
  static async start(args = [], { listen = "127.0.0.1:0", within = [] } = {}) {
    const server = new Server();
    server.#command = [...within, SERVER, "--dev", ...args];
    await server.#run(listen);
    return server;
  }

  async #run(listen) {
    const [program, ...args] = this.#command;
    this.#child = launch(program, [...args, "--listen", listen]);
    this.#child.stderr.on("data", (data) => (this.#log = (this.#log + data).slice(-20_000)));
    const lines = createInterface({ input: this.#child.stdout });
    const address = await Promise.race([
      new Promise((resolve) => lines.once("line", (line) => resolve(line.match(/http:\/\/(\S+?)\//)?.[1]))),
      this.#child.ended.then(() => undefined),
    ]);
    assert(address, `the server did not start:\n${this.#log}`);
    this.address = address;
    this.url = `http://${address}/`;
  }

  /** The power fails. */
  kill() {
    return stop(this.#child, "SIGKILL");
  }

  /** Up again, under the same address, knowing nothing. */
  restart() {
    return this.#run(this.address);
  }

  stop() {
    return stop(this.#child);
  }

  get log() {
    return this.#log;
  }
}

// ---- browsers -----------------------------------------------------------------------------------------------------

const LAUNCH = {
  chromium: () => ({
    browser: "chrome",
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--disable-quic",
      "--no-first-run",
      "--use-fake-device-for-media-stream",
      "--use-fake-ui-for-media-stream",
      "--disable-features=WebRtcHideLocalIpsWithMdns",
    ],
  }),
  firefox: () => ({
    browser: "firefox",
    executablePath: process.env.FIREFOX ?? "/usr/bin/firefox-esr",
    extraPrefsFirefox: {
      "media.navigator.streams.fake": true,
      "media.navigator.permission.disabled": true,
      "media.peerconnection.ice.obfuscate_host_addresses": false,
      "media.peerconnection.ice.loopback": true,
      // Pages in the background are as quick as the one in front.
      "dom.min_background_timeout_value": 4,
      "dom.timeout.enable_budget_timer_throttling": false,
      "dom.ipc.processPriorityManager.enabled": false,
    },
  }),
};

const browsers = new Map();

/** `besides` is merged with the usual options, one level deep. */
function launchBrowser(kind, besides = {}) {
  const options = LAUNCH[kind]();
  const extraPrefsFirefox = { ...options.extraPrefsFirefox, ...besides.extraPrefsFirefox };
  return puppeteer.launch({ headless: true, protocolTimeout: STEP_MS, ...options, ...besides, extraPrefsFirefox });
}

/** The one browser of that kind that all tests of a file share. */
function sharedBrowser(kind) {
  if (!browsers.has(kind)) browsers.set(kind, launchBrowser(kind));
  return browsers.get(kind);
}

after(async () => {
  for (const browser of browsers.values()) await (await browser).close();
});

/** One page in a profile of its own: what happens in it is told from what happens in others by its name. */
export class Actor {
  /** Uncaught errors, refused by policy, and what the console was told as an error. */
  faults = [];

  /**
   * @param {{ before?: () => void, viewport?: object, apart?: boolean | object }} [options]
   *   `before` runs in the page before its own scripts; with `apart` the page has a browser to itself, launched with
   *   these options besides the usual ones
   */
  static async open(kind, name, url, { before, viewport, apart = false } = {}) {
    const actor = new this();
    const browser = await (apart ? launchBrowser(kind, apart === true ? {} : apart) : sharedBrowser(kind));
    actor.kind = kind;
    actor.name = name;
    actor.browser = apart ? browser : undefined;
    actor.context = await browser.createBrowserContext();
    actor.page = await actor.context.newPage({ type: "window" });
    const { page } = actor;
    page.setDefaultTimeout(STEP_MS);
    page.on("pageerror", (error) => actor.faults.push(`uncaught: ${error?.message ?? error}`));
    page.on("console", (message) => {
      const ownIcon = message.location()?.url?.endsWith("/favicon.ico"); // that browsers ask for by themselves
      if (message.type() === "error" && !ownIcon) actor.faults.push(`console: ${message.text()}`);
    });
    if (viewport) await page.setViewport(viewport);
    if (before) await page.evaluateOnNewDocument(before);
    await page.goto(url, { waitUntil: "domcontentloaded" });
    return actor;
  }

  /** Runs a function in the page. What takes too long fails under the actor's name. */
  async run(work, ...args) {
    const failure = new Error(); // here, because its stack says which step of the test it was
    try {
      return await this.page.evaluate(work, ...args);
    } catch (error) {
      failure.message = `in ${this.name}'s page (${this.kind}): ${error.message}`;
      failure.cause = error;
      throw failure;
    }
  }

  /** Waits until the page has such an element, and that holds. */
  see(selector, holds = "true") {
    const seen = this.page.waitForFunction(
      `(() => { const all = [...document.querySelectorAll(${JSON.stringify(selector)})]; const it = all.at(-1); return it !== undefined && (${holds}); })()`,
      { polling: 50, timeout: STEP_MS / 2 },
    );
    return seen.catch(async (error) => {
      const text = await this.page.evaluate(() => document.body.innerText.slice(0, 1500));
      throw new Error(`${this.name} (${this.kind}) does not see ${selector} where ${holds}: ${error.message}\n${text}`);
    });
  }

  /** The faults so far, which then no longer count. */
  takeFaults() {
    return this.faults.splice(0);
  }

  /** The machine of a page with a browser to itself loses power. */
  async kill() {
    const child = this.browser.process();
    const ended = new Promise((resolve) => child.once("exit", resolve));
    // With its helpers, which would else close its sockets properly: puppeteer makes each browser a process group.
    process.kill(-child.pid, "SIGKILL");
    await ended;
    this.killed = true;
  }

  async close() {
    if (this.killed) return;
    await this.context.close();
    await this.browser?.close();
  }
}

/** A page of the server's that is no demo, with the SDK as `sdk` and the kit of kit.mjs. */
export async function openSdk(kind, name, server, { webrtc = true, apart = false } = {}) {
  const actor = await Actor.open(kind, name, `${server.url}healthz`, { apart });
  await actor.run(kit, webrtc);
  return actor;
}

/** The same page, loaded again. */
export async function openAgain(actor, server) {
  await actor.page.goto(`${server.url}healthz`, { waitUntil: "domcontentloaded" });
  await actor.run(kit, true);
}

// ---- tests --------------------------------------------------------------------------------------------------------

/**
 * Runs `play` with a server of its own and, for each name, a page with the SDK; then ends all of it.
 * @param {string} title
 * @param {{ kinds: string[], server?: string[], names?: string[], webrtc?: boolean[], apart?: boolean[], faults?: RegExp, timeout?: number }} options
 *   `webrtc: [true, false]` takes RTCPeerConnection away from the second page; `faults` are those that the test brings about itself
 */
export function scene(title, { kinds, server: args, names = ["alice", "bob", "carol"], webrtc = [], apart = [], faults, timeout = TEST_MS }, play) {
  test(`${title} (${kinds.join(", ")})`, { timeout }, async (context) => {
    const server = await Server.start(args);
    const actors = [];
    try {
      for (const [index, kind] of kinds.entries()) {
        actors.push(await openSdk(kind, names[index], server, { webrtc: webrtc[index], apart: apart[index] }));
      }
      await play(actors, server, context);
      for (const actor of actors) {
        const own = actor.faults.filter((fault) => !faults?.test(fault));
        assert.deepEqual(own, [], `${actor.name}'s page (${actor.kind}) had faults`);
      }
    } catch (error) {
      await tell(error, actors, server);
      throw error;
    } finally {
      for (const actor of actors) await actor.close();
      await server.stop();
    }
  });
}

/** The same in every pair of browsers. */
export function scenes(title, options, play) {
  for (const kinds of PAIRS) scene(title, { kinds, ...options }, play);
}

/** Adds to an error what the pages and the server have to say. */
export async function tell(error, actors, server) {
  const lines = [];
  for (const actor of actors) {
    const said = await actor.run(() => globalThis.diary?.slice(-40) ?? []).catch(() => ["(does not answer)"]);
    lines.push(`-- ${actor.name} (${actor.kind})`, ...actor.faults, ...said);
  }
  lines.push("-- server", ...server.log.split("\n").slice(-15));
  error.message = `${error.message}\n${lines.join("\n")}`;
}

/** The path of something in the checkout. */
export const inCheckout = (path) => ROOT + path;

/** Fails where a program that the tests need is missing, and says how to get it. */
export function need(path, what) {
  assert(path && existsSync(path), `${what} is missing: run \`cargo xtask setup --browsers\``);
  return path;
}
