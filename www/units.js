// Sizes, rates and times, as people read them.
// @ts-check

const SIZES = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];

/** @type {Map<string, Intl.NumberFormat>} */
const formats = new Map();

/** Formats are expensive to make, and progress is told often. @param {number} value @param {number} digits @param {string} [unit] */
function format(value, digits, unit = "") {
  const key = `${unit} ${digits}`;
  let known = formats.get(key);
  if (known === undefined) {
    // "5 byte" is what the short form of the smallest unit says.
    const unitDisplay = unit === "byte" ? "long" : "short";
    const style = unit === "" ? {} : /** @type {const} */ ({ style: "unit", unit, unitDisplay });
    known = new Intl.NumberFormat(undefined, { ...style, minimumFractionDigits: digits, maximumFractionDigits: digits });
    formats.set(key, known);
  }
  return known.format(value).replaceAll(" ", "\u00a0");
}

/** In which unit a size is read best, and what is then left of it. @param {number} bytes */
function scaled(bytes) {
  let power = 0;
  let value = bytes;
  while (value >= 999.5 && power < SIZES.length - 1) {
    value /= 1000;
    power += 1;
  }
  return { value, power, unit: SIZES[power] ?? "byte" };
}

/** @param {number} bytes */
export function sizeText(bytes) {
  const { value, power, unit } = scaled(bytes);
  const isWhole = power === 0 || value >= 99.95 || Math.round(value * 10) % 10 === 0;
  return format(value, isWhole ? 0 : 1, unit);
}

/** "3.0 of 24 MB": of a width that does not change with each byte. @param {number} bytes @param {number} total */
export function shareText(bytes, total) {
  const { power } = scaled(total);
  const digits = [0, 0, 1, 2, 3][power] ?? 0;
  return `${format(bytes / 1000 ** power, digits)} of ${sizeText(total)}`.replaceAll(" ", "\u00a0");
}

/** @param {number} rate  bytes a second */
export function rateText(rate) {
  const { value, power, unit } = scaled(rate);
  return format(value, power === 0 || value >= 99.95 ? 0 : 1, `${unit}-per-second`);
}

/** Coarser the longer it is, so that it does not jump about. @param {number} milliseconds */
export function timeText(milliseconds) {
  const seconds = Math.max(1, Math.ceil(milliseconds / 1000));
  if (seconds < 60) return format(seconds > 20 ? Math.ceil(seconds / 5) * 5 : seconds, 0, "second");
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return format(minutes, 0, "minute");
  return format(seconds / 3600, 1, "hour");
}

/** @param {number} count */
export const filesText = (count) => (count === 1 ? "1 file" : `${count.toLocaleString()} files`);
