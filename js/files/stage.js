// Where pieces wait until all of them are there: a file of the origin-private file system for each set of files, with all
// of them end to end. Written in place, so that it survives the page. In the worker only, where the browser lets files be
// written in place (WHATWG File System, FileSystemSyncAccessHandle).

import { free, hash, unpack } from "./piece.js";

const open = new Map();

async function folder() {
  const root = await navigator.storage.getDirectory();
  return root.getDirectoryHandle("peerloom-files", { create: true });
}

/** Opens one, and returns how many bytes are there. */
export async function openStage(key) {
  const handle = await (await folder()).getFileHandle(key, { create: true });
  const file = await handle.createSyncAccessHandle();
  open.set(key, file);
  return file.getSize();
}

/** Checks a piece and writes it to its place. */
export async function putStage(key, at, bytes, deflated, length, expected) {
  const whole = await unpack(bytes, deflated, length, expected);
  const file = open.get(key);
  if (!whole) return false;
  if (!file) throw new DOMException("it was closed", "InvalidStateError");
  for (let written = 0; written < whole.length; ) {
    const count = file.write(whole.subarray(written), { at: at + written });
    if (count === 0) throw new DOMException("no more room", "QuotaExceededError");
    written += count;
  }
  free(whole);
  return true;
}

/** Hashes of places, each of a piece: `[at, length]`. */
export async function hashStage(key, places) {
  const file = open.get(key);
  const hashes = new Uint8Array(32 * places.length);
  for (const [index, [at, length]] of places.entries()) {
    const bytes = new Uint8Array(length);
    const count = file.read(bytes, { at });
    hashes.set(await hash(bytes.subarray(0, count)), 32 * index);
    free(bytes);
  }
  return hashes;
}

export function truncateStage(key, size) {
  open.get(key)?.truncate(size);
}

/** Lets go of it; what is there stays. */
export function closeStage(key) {
  const file = open.get(key);
  open.delete(key);
  file?.flush();
  file?.close();
}

/** Removes it. */
export async function removeStage(key) {
  closeStage(key);
  await (await folder()).removeEntry(key).catch(() => {});
}
