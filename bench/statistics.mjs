// Numbers and their table. A list has a value for each round; what could not be measured is `undefined`.

export function quantile(values, part) {
  const sorted = values.filter((value) => value !== undefined).sort((a, b) => a - b);
  const at = (sorted.length - 1) * part;
  const low = Math.floor(at);
  return sorted[low] + (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]) * (at - low);
}

export const median = (values) => quantile(values, 0.5);

export const summary = (values) => ({
  median: median(values),
  p25: quantile(values, 0.25),
  p75: quantile(values, 0.75),
  min: quantile(values, 0),
  max: quantile(values, 1),
  runs: values.filter((value) => value !== undefined).length,
});

/**
 * The median of the ratios to the other's value in the same round, so that the machine's moods cancel out; `undefined` if
 * no round has both.
 */
export function ratio(values, others) {
  const ratios = values.map((value, round) => (others[round] === undefined || value === undefined ? undefined : value / others[round]));
  return ratios.some((value) => value !== undefined) ? median(ratios) : undefined;
}

/** Lines of a table whose columns fit. */
export function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => String(row[column]).length)));
  const pad = (cell, column) => (column === 0 ? String(cell).padEnd(widths[0]) : String(cell).padStart(widths[column]));
  return rows.map((row) => row.map(pad).join("  ").trimEnd()).join("\n");
}
