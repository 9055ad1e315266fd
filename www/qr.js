// A QR code (ISO/IEC 18004) of any text of up to 2,331 bytes: byte mode, error correction M, all 40 versions.
// It is our own because this page has no build step that could bring in a library.
// @ts-check

import { svg } from "./dom.js";

// Per version, from the standard's table 9 for level M: correction bytes per block, and the number of blocks.
const CORRECTION = [10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26, 26, 28, 28, 28, 28, 28,
  28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28];
const BLOCKS = [1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16, 17, 17, 18, 20, 21, 23, 25, 26, 28, 29, 31,
  33, 35, 37, 38, 40, 43, 45, 47, 49];
const QUIET_ZONE = 4;

/** @type {readonly ((x: number, y: number) => boolean)[]} */
const MASKS = [
  (x, y) => (x + y) % 2 === 0,
  (_, y) => y % 2 === 0,
  (x) => x % 3 === 0,
  (x, y) => (x + y) % 3 === 0,
  (x, y) => (Math.floor(x / 3) + Math.floor(y / 2)) % 2 === 0,
  (x, y) => ((x * y) % 2) + ((x * y) % 3) === 0,
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2 === 0,
  (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2 === 0,
];

/**
 * The code as rows of dark (1) and light (0) modules, without the quiet zone; null if the text is too long for one.
 * @param {string} text
 * @returns {Uint8Array[] | null}
 */
export function encode(text) {
  const bytes = new TextEncoder().encode(text);
  const version = BLOCKS.findIndex((_, index) => dataBytes(index + 1) * 8 >= 4 + countBits(index + 1) + bytes.length * 8) + 1;
  if (version === 0) return null;
  const stream = interleave(version, pad(version, bytes));
  const frame = drawFrame(version);
  drawData(frame, stream);
  let best = null;
  for (let mask = 0; mask < MASKS.length; mask += 1) {
    const rows = masked(frame, version, mask);
    const score = penalty(rows);
    if (best === null || score < best.score) best = { score, rows };
  }
  return best === null ? null : best.rows;
}

/** @param {number} version */
const countBits = (version) => (version < 10 ? 8 : 16);
/** @param {number} version */
const sizeOf = (version) => version * 4 + 17;
/** @param {readonly number[]} table @param {number} version */
const at = (table, version) => table[version - 1] ?? 0;

/** Bytes that fit beside the patterns, data and correction together. @param {number} version */
function allBytes(version) {
  let modules = (16 * version + 128) * version + 64;
  if (version >= 2) {
    const aligned = Math.floor(version / 7) + 2;
    modules -= (25 * aligned - 10) * aligned - 55;
    if (version >= 7) modules -= 36;
  }
  return Math.floor(modules / 8);
}

/** @param {number} version */
const dataBytes = (version) => allBytes(version) - at(CORRECTION, version) * at(BLOCKS, version);

/** Header, text and filling, as the version's number of data bytes. @param {number} version @param {Uint8Array} bytes */
function pad(version, bytes) {
  const out = new Uint8Array(dataBytes(version));
  let position = 0;
  const put = (/** @type {number} */ value, /** @type {number} */ bits) => {
    for (let bit = bits - 1; bit >= 0; bit -= 1, position += 1) {
      const index = position >> 3;
      out[index] = (out[index] ?? 0) | (((value >> bit) & 1) << (7 - (position & 7)));
    }
  };
  put(0b0100, 4);
  put(bytes.length, countBits(version));
  for (const byte of bytes) put(byte, 8);
  const used = Math.ceil(Math.min(position + 4, out.length * 8) / 8);
  for (let index = used; index < out.length; index += 1) out[index] = (index - used) % 2 === 0 ? 0xec : 0x11;
  return out;
}

/** Splits into blocks, adds each one's correction, and deals out both column by column. */
function interleave(/** @type {number} */ version, /** @type {Uint8Array} */ data) {
  const count = at(BLOCKS, version);
  const length = at(CORRECTION, version);
  const short = Math.floor(data.length / count);
  const longer = data.length % count; // the last blocks are one byte longer
  const divisor = generator(length);
  const blocks = [];
  for (let index = 0, from = 0; index < count; index += 1) {
    const end = from + short + (index >= count - longer ? 1 : 0);
    const block = data.subarray(from, end);
    blocks.push({ block, correction: remainder(block, divisor) });
    from = end;
  }
  const out = [];
  for (let column = 0; column <= short; column += 1) {
    for (const { block } of blocks) if (column < block.length) out.push(block[column] ?? 0);
  }
  for (let column = 0; column < length; column += 1) {
    for (const { correction } of blocks) out.push(correction[column] ?? 0);
  }
  return out;
}

/** Product in GF(2^8) modulo x^8 + x^4 + x^3 + x^2 + 1. @param {number} a @param {number} b */
function times(a, b) {
  let product = 0;
  for (let bit = 7; bit >= 0; bit -= 1) {
    product = (product << 1) ^ ((product >> 7) * 0x11d);
    if ((b >> bit) & 1) product ^= a;
  }
  return product;
}

/** Reed–Solomon generator polynomial, the highest power first and left out. @param {number} degree */
function generator(degree) {
  const polynomial = new Uint8Array(degree);
  polynomial[degree - 1] = 1;
  for (let step = 0, root = 1; step < degree; step += 1, root = times(root, 2)) {
    for (let index = 0; index < degree; index += 1) {
      polynomial[index] = times(polynomial[index] ?? 0, root) ^ (polynomial[index + 1] ?? 0);
    }
  }
  return polynomial;
}

/** @param {Uint8Array} data @param {Uint8Array} divisor */
function remainder(data, divisor) {
  const rest = new Uint8Array(divisor.length);
  for (const byte of data) {
    const factor = byte ^ (rest[0] ?? 0);
    rest.copyWithin(0, 1);
    rest[rest.length - 1] = 0;
    for (let index = 0; index < rest.length; index += 1) {
      rest[index] = (rest[index] ?? 0) ^ times(divisor[index] ?? 0, factor);
    }
  }
  return rest;
}

/**
 * Modules on their way: 0 and 1 are data, 2 and 3 a light and a dark module of a fixed pattern, which no mask touches.
 * @param {number} version
 */
function drawFrame(version) {
  const size = sizeOf(version);
  const rows = Array.from({ length: size }, () => new Uint8Array(size));
  const set = (/** @type {number} */ x, /** @type {number} */ y, /** @type {boolean} */ dark) => {
    const row = rows[y];
    if (row !== undefined && x >= 0 && x < size) row[x] = dark ? 3 : 2;
  };
  for (let index = 0; index < size; index += 1) {
    set(6, index, index % 2 === 0);
    set(index, 6, index % 2 === 0);
  }
  for (const [left, top] of [[3, 3], [size - 4, 3], [3, size - 4]]) {
    for (let dy = -4; dy <= 4; dy += 1) {
      for (let dx = -4; dx <= 4; dx += 1) {
        const ring = Math.max(Math.abs(dx), Math.abs(dy));
        set((left ?? 0) + dx, (top ?? 0) + dy, ring !== 2 && ring !== 4);
      }
    }
  }
  const centres = alignment(version);
  const last = centres.length - 1;
  centres.forEach((x, column) => {
    centres.forEach((y, row) => {
      // Three corners have a finder pattern already.
      if ((column === 0 && row === 0) || (column === 0 && row === last) || (column === last && row === 0)) return;
      for (let dy = -2; dy <= 2; dy += 1) {
        for (let dx = -2; dx <= 2; dx += 1) set(x + dx, y + dy, Math.max(Math.abs(dx), Math.abs(dy)) !== 1);
      }
    });
  });
  drawFormat(rows, 0); // keeps the place; `masked` writes the real one
  if (version >= 7) {
    let code = version;
    for (let step = 0; step < 12; step += 1) code = (code << 1) ^ ((code >> 11) * 0x1f25);
    const bits = (version << 12) | code;
    for (let index = 0; index < 18; index += 1) {
      const dark = ((bits >> index) & 1) === 1;
      set(size - 11 + (index % 3), Math.floor(index / 3), dark);
      set(Math.floor(index / 3), size - 11 + (index % 3), dark);
    }
  }
  return rows;
}

/** @param {number} version */
function alignment(version) {
  if (version === 1) return [];
  const count = Math.floor(version / 7) + 2;
  const step = Math.floor((version * 8 + count * 3 + 5) / (count * 4 - 4)) * 2;
  const centres = [6];
  for (let index = count - 2; index >= 0; index -= 1) centres.push(sizeOf(version) - 7 - index * step);
  return centres;
}

/** @param {Uint8Array[]} rows @param {number} mask */
function drawFormat(rows, mask) {
  const size = rows.length;
  const set = (/** @type {number} */ x, /** @type {number} */ y, /** @type {number} */ bit) => {
    const row = rows[y];
    if (row !== undefined) row[x] = 2 + bit;
  };
  let code = mask; // level M is 00, so the mask alone is the data
  for (let step = 0; step < 10; step += 1) code = (code << 1) ^ ((code >> 9) * 0x537);
  const bits = ((mask << 10) | code) ^ 0x5412;
  for (let index = 0; index < 15; index += 1) {
    const bit = (bits >> index) & 1;
    if (index < 6) set(8, index, bit);
    else if (index < 8) set(8, index + 1, bit);
    else if (index === 8) set(7, 8, bit);
    else set(14 - index, 8, bit);
    if (index < 8) set(size - 1 - index, 8, bit);
    else set(8, size - 15 + index, bit);
  }
  set(8, size - 8, 1);
}

/** Fills pairs of columns from the right, up and down in turn. @param {Uint8Array[]} rows @param {number[]} stream */
function drawData(rows, stream) {
  const size = rows.length;
  let position = 0;
  for (let right = size - 1; right >= 1; right -= 2) {
    if (right === 6) right = 5; // the timing column is no part of a pair
    for (let step = 0; step < size; step += 1) {
      const upward = ((right + 1) & 2) === 0;
      const row = rows[upward ? size - 1 - step : step];
      for (const x of [right, right - 1]) {
        if (row === undefined || row[x] !== 0 || position >= stream.length * 8) continue;
        row[x] = ((stream[position >> 3] ?? 0) >> (7 - (position & 7))) & 1;
        position += 1;
      }
    }
  }
}

/** @param {Uint8Array[]} frame @param {number} version @param {number} mask */
function masked(frame, version, mask) {
  const rows = frame.map((row) => row.slice());
  drawFormat(rows, mask);
  const flips = MASKS[mask];
  rows.forEach((row, y) =>
    row.forEach((module, x) => {
      row[x] = module >= 2 ? module - 2 : module ^ (flips !== undefined && flips(x, y) ? 1 : 0);
    }),
  );
  return rows;
}

/** How hard a code is to read, by the standard's four rules. @param {Uint8Array[]} rows */
function penalty(rows) {
  const size = rows.length;
  let score = 0;
  let dark = 0;
  const lines = [...rows.map((row) => row.join("")), ...rows.map((_, x) => rows.map((row) => row[x]).join(""))];
  for (const line of lines) {
    for (const run of line.match(/0{5,}|1{5,}/g) ?? []) score += run.length - 2;
    const wide = `0000${line}0000`;
    score += 40 * (count(wide, "00001011101") + count(wide, "10111010000"));
  }
  for (let y = 0; y < size; y += 1) {
    for (let x = 0; x < size; x += 1) {
      const module = rows[y]?.[x];
      dark += module ?? 0;
      if (x > 0 && y > 0 && module === rows[y]?.[x - 1] && module === rows[y - 1]?.[x] && module === rows[y - 1]?.[x - 1]) {
        score += 3;
      }
    }
  }
  return score + 10 * Math.floor(Math.abs((dark / (size * size)) * 100 - 50) / 5);
}

/** Occurrences, overlapping ones too. @param {string} line @param {string} pattern */
function count(line, pattern) {
  let found = 0;
  for (let from = line.indexOf(pattern); from >= 0; from = line.indexOf(pattern, from + 1)) found += 1;
  return found;
}

/**
 * The code as a picture, dark on light in every theme, because many readers know no other; null if the text is too long.
 * @param {string} text
 * @param {string} label
 */
export function picture(text, label) {
  const rows = encode(text);
  if (rows === null) return null;
  const side = rows.length + 2 * QUIET_ZONE;
  const runs = rows.flatMap((row, y) =>
    [...row.join("").matchAll(/1+/g)].map(
      (run) => `M${run.index + QUIET_ZONE} ${y + QUIET_ZONE}h${run[0].length}v1h-${run[0].length}z`,
    ),
  );
  return svg(
    "svg",
    { viewBox: `0 0 ${side} ${side}`, class: "qr", role: "img", "aria-label": label, "shape-rendering": "crispEdges" },
    svg("rect", { width: side, height: side, fill: "#fff" }),
    svg("path", { d: runs.join(""), fill: "#14212b" }),
  );
}
