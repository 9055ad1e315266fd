// What comes of the samples: medians, ratios, a table.

import { ratio, summary, table } from "./statistics.mjs";

/**
 * `against`: the key that the raw channel's value is taken from, for the ratio; `own`: the ratio is to the same
 * contender's value of that key.
 */
const MEASURES = [
  { key: "first", title: "connect to first message", unit: "ms", digits: 1, aim: "at most 1.2" },
  { key: "tripMedian", title: "round trip, 64 bytes, p50", unit: "ms", digits: 3, aim: "at most 1.1" },
  { key: "trip99", title: "round trip, 64 bytes, p99", unit: "ms", digits: 3, aim: "at most 1.1" },
  { key: "awaited", title: "await send(), 64 bytes, p50", unit: "ms", digits: 3, against: "tripMedian" },
  { key: "rate", title: "100-byte JSON messages", unit: "/s", digits: 0, aim: "at least 2.5" },
  { key: "noise", title: "a file of noise", unit: "MB/s", digits: 1, aim: "at least 1.0" },
  { key: "again", title: "the same file again", unit: "MB/s", digits: 1, aim: "at least 1.0" },
  { key: "archive", title: "a file of source code", unit: "MB/s", digits: 1, aim: "at least 3.0" },
  { key: "cpu", title: "CPU time for noise", unit: "ms/MB", digits: 1 },
  { key: "sender", title: "memory for noise, sender's page", unit: "MiB", digits: 0 },
  { key: "receiver", title: "memory for noise, receiver's page", unit: "MiB", digits: 0 },
  { key: "idle99", title: "chat there and back, idle, p99", unit: "ms", digits: 2 },
  { key: "beside50", title: "the same beside a file, p50", unit: "ms", digits: 2 },
  { key: "beside99", title: "the same beside a file, p99", unit: "ms", digits: 2, own: "idle99", aim: "at most 2.0" },
];

/** Every measure's summary by contender; `samples[contender][key]` has a value, or none, for each round. */
export function condense(samples) {
  const rows = {};
  for (const { key, against, own, title, unit } of MEASURES) {
    for (const [name, result] of Object.entries(samples)) {
      const values = result[key] ?? [];
      if (!values.some((value) => value !== undefined)) continue;
      const others = own ? result[own] : samples.raw?.[against ?? key];
      (rows[key] ??= { title, unit, ratio: own ? "to the same, idle" : "to raw", by: {} }).by[name] = {
        ...summary(values),
        ratio: ratio(values, others ?? []),
      };
    }
  }
  return rows;
}

export function print({ machine, rounds, contenders, samples, size }) {
  console.log(`${machine.browser}, ${machine.processes}; ${machine.cores} cores of ${machine.cpu}; load ${machine.load.toFixed(1)} before, ${machine.loadAfter.toFixed(1)} after`);
  console.log(`${rounds} rounds in turns; medians of rounds, quartiles, and the median of the ratios to raw of the same round\n`);
  const rows = [["", "unit", "median", "p25–p75", "ratio to raw", "aim"]];
  const all = condense(samples);
  for (const { key, title, unit, digits, aim, own } of MEASURES) {
    if (!all[key]) continue;
    const number = (value) => value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
    for (const { name, label, module } of contenders) {
      const row = all[key].by[name];
      if (!row) continue;
      rows.push([
        `${title}: ${label}`,
        unit,
        number(row.median),
        `${number(row.p25)}–${number(row.p75)}`,
        row.ratio === undefined ? "" : `${own ? "to idle " : ""}${row.ratio.toFixed(2)}`,
        module === "peerloom" && aim ? aim : "",
      ]);
    }
  }
  console.log(table(rows));
  for (const { name, label } of contenders) {
    const { faults } = samples[name];
    if (faults.length > 0) console.log(`${label}: ${faults.join("; ")}`);
  }
  const kilobytes = (bytes) => (bytes / 1000).toFixed(1);
  console.log(`\n${table([
    ["package, kB (1000 bytes)", "raw", "gzip -9", "brotli -11"],
    ...size.sums.map(({ name, raw, gzip, brotli }) => [name, kilobytes(raw), kilobytes(gzip), kilobytes(brotli)]),
  ])}`);
}
