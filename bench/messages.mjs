// Messages: the first one, round trips, and bursts.

import { median, quantile } from "./statistics.mjs";

/** Messages of a burst. */
export const BURST = 20_000;

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

export async function measureTrips({ here }, count) {
  const times = await here.evaluate((count) => bench.roundTrips(count, 500), count);
  const awaited = await here.evaluate(() => bench.awaitedSends(500));
  return { tripMedian: median(times), trip99: quantile(times, 0.99), awaited: awaited && median(awaited) };
}

/** Messages a second, the median of so many bursts; what was lost, altered or out of order goes to `faults`. */
export async function measureRate({ here, there }, bursts, seed, faults) {
  const rates = [];
  // The first is a warm-up: pages that send this much have been there for a while.
  for (let index = 0; index <= bursts; index += 1) {
    const given = seed + index;
    const offset = (await here.evaluate(() => bench.clockOffset("b"))).offset;
    await there.evaluate((count, seed) => bench.expectBurst(count, seed), BURST, given);
    const end = there.evaluate(() => bench.burstEnd());
    const sent = await here.evaluate((count, seed) => bench.sendBurst(count, seed), BURST, given);
    const { at, arrived, misplaced, wrong } = await end;
    if (at === undefined) faults.push(`${BURST - arrived} of ${BURST} lost`);
    if (misplaced > 0) faults.push(`${misplaced} out of order`);
    if (wrong > 0) faults.push(`${wrong} altered`);
    if (at === undefined) break;
    if (index > 0) rates.push(BURST / ((at - offset - sent) / 1000));
    await pause(150);
  }
  return { rate: rates.length > 0 ? median(rates) : undefined };
}
