// Files: how fast they go, what that costs, and what becomes of a chat beside them.

import { Processes } from "./processes.mjs";
import { median, quantile } from "./statistics.mjs";

/** Milliseconds between an answer and the next question of the chat. */
const BREATH = 10;
/** Milliseconds of an idle chat. */
const IDLE = 4_000;

/** What is garbage by now is not the transfer's. */
async function collect(page) {
  const session = await page.createCDPSession();
  await session.send("HeapProfiler.collectGarbage");
  await session.detach();
}

/** Sends one. Returns the seconds from the call that begins it until the other side has all of it, verified or put together. */
async function send({ here, there }, sample) {
  const input = await here.$("input");
  await input.uploadFile(sample.path);
  const { offset } = await here.evaluate(() => bench.clockOffset("b"));
  await there.evaluate(() => bench.expectFile());
  const end = there.evaluate(() => bench.fileEnd());
  const sent = here.evaluate(() => bench.sendFile());
  const at = await end;
  return at === undefined ? undefined : (at - offset - (await sent)) / 1000;
}

/** Whether what came is what was sent; lets go of it. */
async function check({ there }, sample, faults) {
  const hash = await there.evaluate(() => bench.takeFile());
  if (hash !== sample.hash) faults.push(hash ? `a file arrived as ${hash}` : "a file did not arrive");
  return hash === sample.hash;
}

/** All about one contender in one round; what went wrong goes to `faults`. */
export async function measureFiles(pair, browser, samples, chats, faults) {
  const { here, there } = pair;
  const megabytes = samples.noise.size / 1e6;
  const result = {};
  const processes = Processes.supported ? new Processes(browser.process().pid) : undefined;
  const pages = processes && { sender: await processes.of(here), receiver: await processes.of(there) };

  await Promise.all([collect(here), collect(there)]);
  const grown = processes?.watch(pages);
  const before = processes?.seconds();
  const seconds = await send(pair, samples.noise);
  if (processes && seconds) {
    result.cpu = ((processes.seconds() - before) * 1000) / megabytes;
    Object.assign(result, grown());
  }
  // After one that got stuck, nothing is as it was.
  if (!(await check(pair, samples.noise, faults))) return result;
  result.noise = megabytes / seconds;

  const again = await send(pair, samples.noise);
  if (!(await check(pair, samples.noise, faults))) return result;
  result.again = megabytes / again;

  const archived = await send(pair, samples.archive);
  if (!(await check(pair, samples.archive, faults))) return result;
  result.archive = samples.archive.size / 1e6 / archived;

  if (chats) {
    await here.evaluate((breath) => bench.startChat(breath), BREATH);
    await new Promise((resolve) => setTimeout(resolve, IDLE));
    result.idle99 = quantile(await here.evaluate(() => bench.endChat()), 0.99);
    await here.evaluate((breath) => bench.startChat(breath), BREATH);
    await send(pair, samples.noise);
    const times = await here.evaluate(() => bench.endChat());
    if (!(await check(pair, samples.noise, faults))) return result;
    result.beside50 = median(times);
    result.beside99 = quantile(times, 0.99);
  }
  return result;
}
