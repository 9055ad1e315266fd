// The bench: raw data channels, PeerJS and Peerloom, in turns, between two tabs of one headless Chromium.
//
//   node bench/run.mjs [--quick] [--rounds N] [--only first|trip|rate[,…]] [--contender NAME[,…]] [--json FILE]
//                      [--profile here|there]
//
// `cargo xtask bench` builds what it needs and runs it. Every round takes each contender once, beginning with another
// one each time, with a fresh pair of tabs. Ratios are to the raw channel in the same round; the table has their medians.

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import puppeteer from "puppeteer-core";
import * as servers from "./servers.mjs";
import { packageSize } from "./size.mjs";
import { median, quantile, ratio, summary, table } from "./statistics.mjs";

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");
const { values: given } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    rounds: { type: "string" },
    only: { type: "string" },
    contender: { type: "string" },
    json: { type: "string", default: path.join(ROOT, "target/bench/results.json") },
    profile: { type: "string" },
  },
});

const PKG = process.env.PEERLOOM_PKG ?? path.join(ROOT, "pkg");
const ROUNDS = Number(given.rounds ?? (given.quick ? 3 : 9));
const TRIPS = given.quick ? 1_000 : 3_000;
const MESSAGES = 20_000;
const BURSTS = given.quick ? 2 : 4;
const only = given.only?.split(",");
const wants = (measure) => !only || only.includes(measure);

const CONTENDERS = [
  { name: "raw", module: "raw", server: "relay", label: "raw RTCDataChannel", measures: ["first", "trip", "rate"] },
  { name: "shared", module: "raw", server: "relay", label: "raw, frames shared by hand", measures: ["rate"], share: true },
  { name: "peerjs-json", module: "peerjs", server: "peer", label: "PeerJS, json", measures: ["first", "trip", "rate"], serialization: "json" },
  { name: "peerjs", module: "peerjs", server: "peer", label: "PeerJS, binary (default)", measures: ["first", "trip", "rate"], serialization: "binary" },
  { name: "peerloom", module: "peerloom", server: "peerloom", label: "Peerloom", measures: ["first", "trip", "rate"] },
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

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function main() {
  const site = await servers.pages(PKG);
  const relay = await servers.relay();
  const peer = await servers.peerServer();
  const peerloom = await servers.peerloomServer(binary);
  const addresses = { relay: relay.options, peer: peer.options, peerloom: peerloom.options };
  const browser = await puppeteer.launch({
    executablePath: chromium,
    headless: true,
    protocolTimeout: 120_000,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-background-networking",
      "--disable-background-timer-throttling",
      "--disable-backgrounding-occluded-windows",
      "--disable-renderer-backgrounding",
      "--disable-features=WebRtcHideLocalIpsWithMdns",
      "--no-first-run",
      "--disable-component-update",
      "--disable-sync",
      "--disable-quic",
    ],
  });
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
    const results = Object.fromEntries(contenders.map(({ name }) => [name, { first: [], tripMedian: [], trip99: [], awaited: [], rate: [], faults: [] }]));
    machine.processes = (await separate(browser, site.address)) ? "one renderer process per tab" : "both tabs in one renderer process";
    for (let round = 0; round < ROUNDS; round += 1) {
      for (let turn = 0; turn < contenders.length; turn += 1) {
        const contender = contenders[(round + turn) % contenders.length];
        process.stderr.write(`\rround ${round + 1} of ${ROUNDS}: ${contender.label.padEnd(32)}`);
        await run(browser, site.address, addresses, contender, round, results[contender.name]);
      }
    }
    process.stderr.write(`\r${" ".repeat(60)}\r`);
    machine.loadAfter = os.loadavg()[0];
    const size = await packageSize(PKG);
    report(machine, results, size);
    await mkdir(path.dirname(given.json), { recursive: true });
    await writeFile(given.json, `${JSON.stringify({ machine, rounds: ROUNDS, messages: MESSAGES, trips: TRIPS, results: condensed(results), samples: results, size }, undefined, 2)}\n`);
    console.log(`\nEvery sample is in ${path.relative(process.cwd(), given.json)}`);
  } finally {
    await browser.close();
    for (const server of [site, relay, peer, peerloom]) server.close();
  }
}

function revision() {
  try {
    return execFileSync("git", ["-C", ROOT, "describe", "--always", "--dirty"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return "?";
  }
}

async function openPage(browser, address) {
  const page = await browser.newPage();
  page.on("pageerror", (error) => console.error(`\n${error.stack ?? error}`));
  page.on("console", (message) => {
    if (["error", "warn"].includes(message.type())) console.error(`\n${message.text()}`);
  });
  await page.goto(`${address}/page.html`);
  await page.waitForFunction(() => globalThis.bench !== undefined);
  return page;
}

/** Whether one tab goes on while the other one is busy. */
async function separate(browser, address) {
  const [one, other] = [await openPage(browser, address), await openPage(browser, address)];
  const busy = one.evaluate(() => {
    const end = performance.now() + 600;
    while (performance.now() < end);
  });
  await pause(100);
  const began = performance.now();
  await other.evaluate(() => 1);
  const free = performance.now() - began < 300;
  await busy;
  await Promise.all([one.close(), other.close()]);
  return free;
}

async function run(browser, address, addresses, contender, round, result) {
  const options = {
    server: addresses[contender.server],
    room: `${contender.name}-${round}-${process.pid}`,
    serialization: contender.serialization,
    share: contender.share ?? false,
    ready: contender.ready ?? false,
  };
  const there = await openPage(browser, address);
  const here = await openPage(browser, address);
  try {
    await there.evaluate((name, options) => bench.prepare("b", name, options), contender.module, options);
    await here.evaluate((name, options) => bench.prepare("a", name, options), contender.module, options);
    await there.evaluate(() => bench.wait());
    const clock = await here.evaluate(() => bench.clockOffset("b"));
    // Loading has its aftermath: code is cached, garbage collected.
    await pause(400);
    const began = await here.evaluate(() => bench.join());
    const arrived = await there.evaluate(() => firstArrival);
    if (wants("first") && contender.measures.includes("first")) result.first.push(arrived - clock.offset - began);

    const profiler = given.profile && (await startProfile(given.profile === "there" ? there : here));
    if (wants("trip") && contender.measures.includes("trip")) {
      const times = await here.evaluate((count) => bench.roundTrips(count, 500), TRIPS);
      result.tripMedian.push(median(times));
      result.trip99.push(quantile(times, 0.99));
      const awaited = await here.evaluate(() => bench.awaitedSends(500));
      if (awaited) result.awaited.push(median(awaited));
    }

    if (wants("rate") && contender.measures.includes("rate")) {
      const bursts = [];
      // The first is a warm-up: pages that send this much have been there for a while.
      for (let index = 0; index <= BURSTS; index += 1) {
        const seed = 1 + round * 100 + index;
        const offset = (await here.evaluate(() => bench.clockOffset("b"))).offset;
        await there.evaluate((count, seed) => bench.expectBurst(count, seed), MESSAGES, seed);
        const end = there.evaluate(() => bench.burstEnd());
        const sent = await here.evaluate((count, seed) => bench.sendBurst(count, seed), MESSAGES, seed);
        const { at, arrived, misplaced, wrong } = await end;
        if (at === undefined) result.faults.push(`${MESSAGES - arrived} of ${MESSAGES} lost`);
        if (misplaced > 0) result.faults.push(`${misplaced} out of order`);
        if (wrong > 0) result.faults.push(`${wrong} altered`);
        if (at === undefined) break;
        if (index > 0) bursts.push(MESSAGES / ((at - offset - sent) / 1000));
        await pause(150);
      }
      if (bursts.length > 0) result.rate.push(median(bursts));
    }
    if (profiler) await profiler(`${contender.name}-${round}`);
  } finally {
    await Promise.all([here.close(), there.close()]);
  }
}

/** Writes the browser's CPU profile beside the results, for one page of every run. */
async function startProfile(page) {
  const session = await page.createCDPSession();
  await session.send("Profiler.enable");
  await session.send("Profiler.setSamplingInterval", { interval: 100 });
  await session.send("Profiler.start");
  return async (name) => {
    const { profile } = await session.send("Profiler.stop");
    await mkdir(path.dirname(given.json), { recursive: true });
    await writeFile(path.join(path.dirname(given.json), `${name}.cpuprofile`), JSON.stringify(profile));
  };
}

const MEASURES = [
  { measure: "first", key: "first", title: "connect to first message", unit: "ms", digits: 1, aim: "at most 1.2" },
  { measure: "trip", key: "tripMedian", title: "round trip, 64 bytes, p50", unit: "ms", digits: 3, aim: "at most 1.1" },
  { measure: "trip", key: "trip99", title: "round trip, 64 bytes, p99", unit: "ms", digits: 3, aim: "at most 1.1" },
  { measure: "trip", key: "awaited", title: "await send(), 64 bytes, p50", unit: "ms", digits: 3, against: "tripMedian" },
  { measure: "rate", key: "rate", title: "100-byte JSON messages", unit: "/s", digits: 0, aim: "at least 2.5" },
];

function condensed(results) {
  const rows = {};
  for (const { key, against, title, unit } of MEASURES) {
    for (const { name } of contenders) {
      const values = results[name][key];
      if (values.length === 0) continue;
      const raw = results.raw?.[against ?? key] ?? [];
      (rows[key] ??= { title, unit, by: {} }).by[name] = {
        ...summary(values),
        ratio: raw.length === values.length ? ratio(values, raw) : undefined,
        faults: key === "rate" ? results[name].faults : undefined,
      };
    }
  }
  return rows;
}

function report(machine, results, size) {
  console.log(`${machine.browser}, ${machine.processes}; ${machine.cores} cores of ${machine.cpu}; load ${machine.load.toFixed(1)} before, ${machine.loadAfter.toFixed(1)} after`);
  console.log(`${ROUNDS} rounds in turns; medians of rounds, quartiles, and the median of the ratios to raw of the same round\n`);
  const rows = [["", "unit", "median", "p25–p75", "ratio to raw", "aim", ""]];
  const all = condensed(results);
  for (const { key, title, unit, digits, aim } of MEASURES) {
    if (!all[key]) continue;
    const number = (value) => value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
    for (const { name, label } of contenders) {
      const row = all[key].by[name];
      if (!row) continue;
      rows.push([
        `${title}: ${label}`,
        unit,
        number(row.median),
        `${number(row.p25)}–${number(row.p75)}`,
        row.ratio === undefined ? "" : row.ratio.toFixed(2),
        name === "peerloom" && aim ? aim : "",
        row.faults?.length > 0 ? row.faults.join("; ") : "",
      ]);
    }
  }
  console.log(table(rows));
  const kilobytes = (bytes) => (bytes / 1000).toFixed(1);
  console.log(`\n${table([
    ["package, kB (1000 bytes)", "raw", "gzip -9", "brotli -11"],
    ...size.sums.map(({ name, raw, gzip, brotli }) => [name, kilobytes(raw), kilobytes(gzip), kilobytes(brotli)]),
  ])}`);
}

await main();
// PeerJS's server keeps a timer that nothing ends.
process.exit();
