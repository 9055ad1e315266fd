// The browser and its tabs: two for each run of a contender, as fresh as a first visit.

import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import puppeteer from "puppeteer-core";

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

export function launch(chromium) {
  return puppeteer.launch({
    executablePath: chromium,
    headless: true,
    protocolTimeout: 180_000,
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
}

async function open(browser, address) {
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
export async function separate(browser, address) {
  const [one, other] = [await open(browser, address), await open(browser, address)];
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

/**
 * Opens two tabs, connects them, and has them measured: `act({ here, there, first })`, where `here` is the one that
 * asked, and `first` how many milliseconds its first message took.
 */
export async function withPair(browser, address, module, options, act) {
  const there = await open(browser, address);
  const here = await open(browser, address);
  try {
    await there.evaluate((name, options) => bench.prepare("b", name, options), module, options);
    await here.evaluate((name, options) => bench.prepare("a", name, options), module, options);
    await there.evaluate(() => bench.wait());
    const clock = await here.evaluate(() => bench.clockOffset("b"));
    // Loading has its aftermath: code is cached, garbage collected.
    await pause(400);
    const began = await here.evaluate(() => bench.join());
    const arrived = await there.evaluate(() => firstArrival);
    await act({ here, there, first: arrived - clock.offset - began });
  } finally {
    await Promise.all([here.close(), there.close()]);
  }
}

/** Takes the CPU profile of a page; returns what ends that and writes it. */
export async function startProfile(page) {
  const session = await page.createCDPSession();
  await session.send("Profiler.enable");
  await session.send("Profiler.setSamplingInterval", { interval: 100 });
  await session.send("Profiler.start");
  return async (file) => {
    const { profile } = await session.send("Profiler.stop");
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, JSON.stringify(profile));
  };
}
