// The figures of each scene, and the table that is made of them: `node table.mjs REPORT` reads a TAP report.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** What tells a scene's line from other diagnostics. */
const MARK = "recovered";

/** The last change to that state, from the mending on; 0 if it had it all the while. */
function back(states, state, mended) {
  const [at] = states.findLast(([, now], index) => now === state && index > 0) ?? [0];
  return Math.max(0, at - mended);
}

/** The longest time in which nothing came, from the fault's begin on. */
function silence(arrivals, begun) {
  const times = arrivals.filter((at) => at >= begun);
  return times.reduce((longest, at, index) => Math.max(longest, at - (times[index - 1] ?? begun)), 0);
}

/** One scene's line: the slower page of the two, in milliseconds. */
export function figures(fault, kinds, begun, mended, results) {
  const worst = (measure) => Math.max(...results.map(measure));
  return [
    MARK,
    fault,
    kinds.join(" – "),
    worst(({ peerStates }) => back(peerStates, "live", mended)),
    worst(({ clientStates }) => back(clientStates, "online", mended)),
    worst(({ arrivals }) => silence(arrivals, begun)),
  ].join(" | ");
}

const median = (sorted) => (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
const seconds = (values) => {
  const sorted = values.toSorted((a, b) => a - b);
  return [median(sorted), sorted.at(-1)].map((ms) => (ms / 1_000).toFixed(1)).join(" / ");
};

function table(report) {
  const rows = new Map();
  for (const line of report.split("\n")) {
    const [mark, fault, pair, ...times] = line.split(" | ");
    if (mark.trim() !== `# ${MARK}`) continue;
    const key = `${fault} | ${pair}`;
    const row = rows.get(key) ?? rows.set(key, times.map(() => [])).get(key);
    times.forEach((time, index) => row[index].push(Number(time)));
  }
  return [
    "Seconds, median / worst. `live`, `online`: from the fault's end until the slower page's peer and client are back for good.",
    "Silence: the longest wait for a message, the fault included. Nothing lost, doubled or out of order.",
    "",
    "| fault | browsers | runs | live | online | silence |",
    "|---|---|---|---|---|---|",
    ...[...rows].map(([key, times]) => `| ${key} | ${times[0].length} | ${times.map(seconds).join(" | ")} |`),
  ].join("\n");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(table(readFileSync(process.argv[2], "utf8")));
