// The files that are sent: noise, which nothing makes smaller, and an archive of source code, as it lies in
// `node_modules`. The same bytes every time, as long as the lock file is the same.

import { createCipheriv, createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";

const SOURCES = /\.([cm]?[jt]s|md)$/;
/** What is larger was made by a program. */
const LARGEST = 512 * 1024;
const BLOCK = 512;

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

function noise(size) {
  return createCipheriv("aes-128-ctr", Buffer.alloc(16, 1), Buffer.alloc(16, 2)).update(Buffer.alloc(size));
}

/** The files under a folder, in the same order everywhere. */
async function* sources(folder) {
  const entries = await readdir(folder, { withFileTypes: true });
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    const place = path.join(folder, entry.name);
    if (entry.isDirectory()) yield* sources(place);
    else if (entry.isFile() && SOURCES.test(entry.name) && !entry.name.includes(".min.")) yield place;
  }
}

/** A header of the archive (POSIX.1-2024, pax, "ustar Interchange Format"). */
function header(name, size) {
  const block = Buffer.alloc(BLOCK);
  const octal = (value, at, digits) => block.write(value.toString(8).padStart(digits, "0"), at);
  block.write(name.slice(-100), 0);
  octal(0o644, 100, 7);
  for (const at of [108, 116]) octal(0, at, 7);
  octal(size, 124, 11);
  octal(0, 136, 11);
  block.fill(" ", 148, 156).write("0", 156);
  block.write("ustar", 257);
  block.write("00", 263);
  octal(block.reduce((all, byte) => all + byte, 0), 148, 6);
  block[154] = 0;
  return block;
}

async function archive(folder, size) {
  const parts = [];
  let length = 0;
  for await (const place of sources(folder)) {
    const content = await readFile(place);
    if (content.length > LARGEST) continue;
    const filling = Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK);
    parts.push(header(path.relative(folder, place), content.length), content, filling);
    length += BLOCK + content.length + filling.length;
    if (length >= size) break;
  }
  return Buffer.concat(parts).subarray(0, size);
}

/** Writes both, of so many bytes or less: `{ path, size, hash }` each. */
export async function makeSamples(folder, sizes) {
  const modules = path.resolve(createRequire(import.meta.url).resolve("ws/package.json"), "../..");
  await mkdir(folder, { recursive: true });
  const contents = { noise: noise(sizes.noise), archive: await archive(modules, sizes.archive) };
  const samples = {};
  for (const [name, bytes] of Object.entries(contents)) {
    const place = path.join(folder, name);
    await writeFile(place, bytes);
    samples[name] = { path: place, size: bytes.length, hash: sha256(bytes) };
  }
  return { ...samples, remove: () => rm(folder, { recursive: true, force: true }) };
}
