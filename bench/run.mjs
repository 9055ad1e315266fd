// The bench: raw data channels, PeerJS, simple-peer and Peerloom, in turns, between two tabs of one headless Chromium.
//
//   node bench/run.mjs [--quick] [--rounds N] [--only first|trip|rate|files[,…]] [--contender NAME[,…]] [--json FILE]
//                      [--profile here|there] [--chunk BYTES]
//
// `cargo xtask bench` builds what it needs and runs it. Every round takes each contender once, beginning with another
// one each time, with a fresh pair of tabs. Ratios are to the raw channel in the same round; the table has their medians.
// `--chunk` is for the raw channel's files.

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { measureFiles } from "./files.mjs";
import { BURST, measureRate, measureTrips } from "./messages.mjs";
import { condense, print } from "./report.mjs";
import { makeSamples } from "./samples.mjs";
import * as servers from "./servers.mjs";
import { packageSize } from "./size.mjs";
import { launch, separate, startProfile, withPair } from "./tabs.mjs";

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");
const { values: given } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    rounds: { type: "string" },
    only: { type: "string" },
    contender: { type: "string" },
    json: { type: "string", default: path.join(ROOT, "target/bench/results.json") },
    profile: { type: "string" },
    chunk: { type: "string" },
  },
});

const PKG = process.env.PEERLOOM_PKG ?? path.join(ROOT, "pkg");
const ROUNDS = Number(given.rounds ?? (given.quick ? 3 : 9));
const TRIPS = given.quick ? 1_000 : 3_000;
const BURSTS = given.quick ? 2 : 4;
const MIB = 2 ** 20;
/** Bytes of the files. */
const SIZES = given.quick ? { noise: 16 * MIB, archive: 8 * MIB } : { noise: 64 * MIB, archive: 32 * MIB };
const only = given.only?.split(",");
const wants = (measure) => !only || only.includes(measure);

const MESSAGES = ["first", "trip", "rate"];
const CONTENDERS = [
  { name: "raw", module: "raw", server: "relay", label: "raw RTCDataChannel", measures: [...MESSAGES, "files"], chats: true },
  { name: "shared", module: "raw", server: "relay", label: "raw, frames shared by hand", measures: ["rate"], share: true },
  { name: "peerjs-json", module: "peerjs", server: "peer", label: "PeerJS, json", measures: MESSAGES, serialization: "json" },
  { name: "peerjs", module: "peerjs", server: "peer", label: "PeerJS, binary (default)", measures: [...MESSAGES, "files"], serialization: "binary" },
  { name: "simple-peer", module: "simple-peer", server: "relay", label: "simple-peer", measures: ["files"] },
  { name: "peerloom", module: "peerloom", server: "peerloom", label: "Peerloom", measures: [...MESSAGES, "files"], to: "blob", chats: true },
  { name: "peerloom-disk", module: "peerloom", server: "peerloom", label: "Peerloom, file on disk", measures: ["files"], to: "file", chats: true },
  { name: "peerloom-ready", module: "peerloom", server: "peerloom", label: "Peerloom, after init()", measures: ["first"], ready: true },
];
const chosen = given.contender?.split(",");
const contenders = CONTENDERS.filter(({ name, measures }) => (!chosen || chosen.includes(name)) && measures.some(wants));

const chromium = process.env.CHROMIUM
  ?? ["/usr/bin/chromium", "/usr/bin/google-chrome"].find((file) => existsSync(file))
  ?? fail("no Chromium: set CHROMIUM to its path");
const binary = process.env.PEERLOOM_SERVER
  ?? [path.join(ROOT, "target/release/peerloom-server")].find((file) => existsSync(file))
  ?? fail("no server: set PEERLOOM_SERVER to its path, or run `cargo xtask bench`");

function fail(message) {
  console.error(message);
  process.exit(1);
}

async function main() {
  const site = await servers.pages(PKG);
  const relay = await servers.relay();
  const peer = await servers.peerServer();
  const peerloom = await servers.peerloomServer(binary);
  const addresses = { relay: relay.options, peer: peer.options, peerloom: peerloom.options };
  const samples = wants("files") ? await makeSamples(path.join(os.tmpdir(), `peerloom-bench-${process.pid}`), SIZES) : undefined;
  const browser = await launch(chromium);
  try {
    const machine = {
      cpu: os.cpus()[0]?.model ?? "?",
      cores: os.cpus().length,
      memory: `${Math.round(os.totalmem() / 2 ** 30)} GiB`,
      system: `${os.type()} ${os.release()}`,
      browser: await browser.version(),
      load: os.loadavg()[0],
      revision: revision(),
      date: new Date().toISOString(),
    };
    const results = Object.fromEntries(contenders.map(({ name }) => [name, { faults: [] }]));
    machine.processes = (await separate(browser, site.address)) ? "one renderer process per tab" : "both tabs in one renderer process";
    for (let round = 0; round < ROUNDS; round += 1) {
      for (let turn = 0; turn < contenders.length; turn += 1) {
        const contender = contenders[(round + turn) % contenders.length];
        process.stderr.write(`\rround ${round + 1} of ${ROUNDS}: ${contender.label.padEnd(32)}`);
        await run(browser, site.address, addresses, samples, contender, round, results[contender.name]);
      }
    }
    process.stderr.write(`\r${" ".repeat(60)}\r`);
    machine.loadAfter = os.loadavg()[0];
    const size = await packageSize(PKG);
    print({ machine, rounds: ROUNDS, contenders, samples: results, size });
    await mkdir(path.dirname(given.json), { recursive: true });
    const about = { machine, rounds: ROUNDS, messages: BURST, trips: TRIPS, files: samples && SIZES, results: condense(results), samples: results, size };
    await writeFile(given.json, `${JSON.stringify(about, undefined, 2)}\n`);
    console.log(`\nEvery sample is in ${path.relative(process.cwd(), given.json)}`);
  } finally {
    await browser.close();
    for (const server of [site, relay, peer, peerloom]) server.close();
    await samples?.remove();
  }
}

function revision() {
  try {
    return execFileSync("git", ["-C", ROOT, "describe", "--always", "--dirty"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return "?";
  }
}

function options(contender, addresses, round) {
  const { name, server, serialization, share = false, ready = false, to } = contender;
  const chunk = given.chunk && Number(given.chunk);
  return { server: addresses[server], room: `${name}-${round}-${process.pid}`, serialization, share, ready, to, chunk };
}

/** One contender's turn; `result` has a list for each measure. */
async function run(browser, address, addresses, samples, contender, round, result) {
  const { name, module, chats } = contender;
  const measures = contender.measures.filter(wants);
  const set = (values) => {
    for (const [key, value] of Object.entries(values)) (result[key] ??= [])[round] = value;
  };
  const pair = (act) => withPair(browser, address, module, options(contender, addresses, round), (pages) => profiled(pages, `${name}-${round}`, () => act(pages)));
  if (measures.some((measure) => MESSAGES.includes(measure))) {
    await pair(async (pages) => {
      if (measures.includes("first")) set({ first: pages.first });
      if (measures.includes("trip")) set(await measureTrips(pages, TRIPS));
      if (measures.includes("rate")) set(await measureRate(pages, BURSTS, 1 + round * 100, result.faults));
    });
  }
  if (measures.includes("files")) {
    await pair(async (pages) => set(await measureFiles(pages, browser, samples, chats, result.faults)));
  }
}

/** With `--profile`, writes the browser's CPU profile of one of the pages beside the results. */
async function profiled(pages, name, act) {
  const write = given.profile && (await startProfile(pages[given.profile]));
  await act();
  await write?.(path.join(path.dirname(given.json), `${name}.cpuprofile`));
}

await main();
// PeerJS's server keeps a timer that nothing ends.
process.exit();
