// What is read piece by piece, in blocks of many: each trip to a file costs far more than the bytes that it brings.

import { pack } from "./piece.js";

const BLOCK = 4 * 1024 * 1024;
/** Sources that keep their blocks: there are as many transfers at once, more or less, and far more files. */
const KEPT = 8;
const sources = new Map();
let recent = [];

/** Something to read from, until it is closed. */
export function openSource(key, blob) {
  sources.set(key, { blob, blocks: new Map() });
}

export function closeSource(key) {
  recent = recent.filter((source) => source !== sources.get(key));
  sources.delete(key);
}

function use(source) {
  if (recent[0] === source) return;
  recent = [source, ...recent.filter((other) => other !== source)];
  for (const other of recent.splice(KEPT)) other.blocks.clear();
}

/** The block that begins there. The next one is on its way meanwhile; those before are let go. */
function block(source, at) {
  use(source);
  const { blob, blocks } = source;
  for (const known of blocks.keys()) if (known < at - BLOCK || known > at + BLOCK) blocks.delete(known);
  for (const start of [at, at + BLOCK]) {
    if (start >= blob.size || blocks.has(start)) continue;
    const reading = blob.slice(start, start + BLOCK).arrayBuffer();
    // Told to whoever needs it, if anybody does.
    reading.catch(() => {});
    blocks.set(start, reading);
  }
  return blocks.get(at);
}

/** As `pack`, of a piece of it. */
export async function packFrom(key, offset, length, squeeze) {
  const start = offset - (offset % BLOCK);
  const bytes = await block(sources.get(key), start);
  // Pieces begin and end where blocks do.
  return pack(bytes.slice(offset - start, offset - start + length), squeeze);
}
