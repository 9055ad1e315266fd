// Where a transfer's files go: the browser's downloads, a Blob, a stream, a file or folder that the visitor has chosen.
// A sink is opened, says how many bytes it has from an earlier time, takes pieces, and is finished or let go.

import { failure } from "./kit.js";
import { hasWorker, labour } from "./labour.js";
import { harmless } from "./manifest.js";
import { remind } from "./piece.js";
import { archive } from "./zip.js";

/** Bytes that are kept in memory where nothing can be kept on disk. */
const MEMORY = 256 * 1024 * 1024;

/** What the browser says of its storage, in the library's own words. */
function failed(error) {
  if (error?.name === "PeerloomError") return error;
  const full = error?.name === "QuotaExceededError" || /quota|space|disk full/i.test(error?.message ?? "");
  return failure(full ? "storage_full" : "storage_failed", error?.message ?? String(error), { cause: error });
}

async function guarded(act) {
  try {
    return await act();
  } catch (error) {
    throw failed(error);
  }
}

/** Hands a file to the browser's downloads. The type says nothing that a browser could run. */
export function download(file, name) {
  const address = URL.createObjectURL(new Blob([file], { type: "application/octet-stream" }));
  const link = Object.assign(document.createElement("a"), { href: address, download: name });
  link.style.display = "none";
  document.body.append(link);
  link.click();
  link.remove();
  // The browser has taken hold of it by then.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

function whole(blob, { name, type, modified }) {
  return new File([blob], name, { type: harmless(type), lastModified: modified });
}

// ---- on disk, as it comes ----

/** In the origin-private file system until all is there, then a download. Goes on after the page was loaded anew. */
class Stage {
  #files;
  #key;
  #starts;
  #release;
  #deliver;

  constructor(files, key, deliver) {
    this.#files = files;
    this.#key = key;
    this.#deliver = deliver;
    let at = 0;
    this.#starts = files.map(({ size }) => (at += size) - size);
  }

  canRewrite = true;

  async open() {
    return guarded(async () => {
      await tidied;
      // One transfer at a time has it; another one makes its own.
      for (let copy = 1; !this.#release; copy += 1) {
        const key = copy === 1 ? this.#key : `${this.#key}-${copy}`;
        this.#release = await claim(key);
        if (this.#release) this.#key = key;
      }
      const needed = this.#files.reduce((sum, { size }) => sum + size, 0);
      const held = await labour("openStage", [this.#key]);
      const { quota, usage } = (await navigator.storage.estimate?.().catch(() => undefined)) ?? {};
      if (quota !== undefined && needed - held > quota - usage) {
        throw new DOMException(`${needed - held} bytes are needed, ${Math.max(0, quota - usage)} are there`, "QuotaExceededError");
      }
      return Math.min(held, needed);
    });
  }

  #at({ file, offset }) {
    return this.#starts[file] + offset;
  }

  put(place, bytes, deflated, expected) {
    const given = [this.#key, this.#at(place), bytes, deflated, place.length, expected];
    return guarded(() => labour("putStage", given, [bytes.buffer]));
  }

  async store() {}

  hashes(places) {
    return guarded(() => labour("hashStage", [this.#key, places.map((place) => [this.#at(place), place.length])]));
  }

  truncate(place) {
    return guarded(() => labour("truncateStage", [this.#key, this.#at(place)]));
  }

  async finish() {
    const files = await guarded(async () => {
      const needed = this.#files.reduce((sum, { size }) => sum + size, 0);
      await labour("truncateStage", [this.#key, needed]);
      await labour("closeStage", [this.#key]);
      const root = await navigator.storage.getDirectory();
      const folder = await root.getDirectoryHandle("peerloom-files");
      const staged = await (await folder.getFileHandle(this.#key)).getFile();
      await folder.getFileHandle(`${this.#key}.done`, { create: true });
      return this.#files.map((file, index) => whole(staged.slice(this.#starts[index], this.#starts[index] + file.size), file));
    });
    await this.#deliver(files);
    return files;
  }

  /** What is there stays for another time, unless it is of no use. */
  async abort(keep) {
    if (!this.#release) return;
    await labour(keep ? "closeStage" : "removeStage", [this.#key]).catch(() => {});
    this.#release();
    this.#release = undefined;
  }
}

/** Holds a name for the page's life; nothing if another page has it. */
async function claim(key) {
  if (!navigator.locks) return () => {};
  return new Promise((resolve, reject) => {
    const held = navigator.locks.request(`peerloom-files ${key}`, { ifAvailable: true }, (lock) => {
      if (!lock) {
        resolve(undefined);
        return undefined;
      }
      return new Promise((release) => resolve(release));
    });
    held.catch(reject);
  });
}

/** Resolves when what was left by other pages has been looked through. */
let tidied;

/** Removes what is done, and what nobody has gone on with for a week. */
export function tidy() {
  // There is nothing, or it can't be looked at.
  tidied = tidyAll().catch(() => {});
}

async function tidyAll() {
  const root = await navigator.storage.getDirectory();
  const folder = await root.getDirectoryHandle("peerloom-files");
  const names = new Set();
  for await (const name of folder.keys()) names.add(name.replace(/\.done$/, ""));
  for (const name of names) await tidyOne(folder, name).catch(() => {});
}

async function tidyOne(folder, name) {
  const release = await claim(name);
  if (!release) return;
  try {
    const done = await folder.getFileHandle(`${name}.done`).then(() => true, () => false);
    const file = await folder.getFileHandle(name).then((handle) => handle.getFile(), () => undefined);
    const old = file && Date.now() - file.lastModified > 7 * 24 * 60 * 60 * 1000;
    if (file && (done || old)) await folder.removeEntry(name);
    if (done) await folder.removeEntry(`${name}.done`);
  } finally {
    release();
  }
}

/** How many bytes of it are here from an earlier time, for whoever takes them first. */
export async function staged(key) {
  await tidied;
  try {
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle("peerloom-files");
    // What is complete belongs to the page that has it.
    const done = await folder.getFileHandle(`${key}.done`).then(() => true, () => false);
    return done ? 0 : (await (await folder.getFileHandle(key)).getFile()).size;
  } catch {
    return 0;
  }
}

// ---- one after the other ----

/** Files written from their beginning to their end, each to what `begin` opens for it: `{ write, close, abort }`. */
class Sequence {
  #files;
  #begin;
  #end;
  #index = -1;
  #present;

  #operation;

  constructor(files, begin, { end = () => {}, operation = "unpack" } = {}) {
    this.#files = files;
    this.#begin = begin;
    this.#end = end;
    this.#operation = operation;
  }

  canRewrite = false;

  async open() {
    return 0;
  }

  put(place, bytes, deflated, expected) {
    return labour(this.#operation, [bytes, deflated, place.length, expected], [bytes.buffer]);
  }

  /** To the file of that number, with all that are empty on the way. */
  async #advance(file) {
    while (this.#index < file) {
      await this.#present?.close();
      this.#index += 1;
      this.#present = undefined;
      if (this.#index < this.#files.length) this.#present = await this.#begin(this.#files[this.#index], this.#index);
    }
  }

  store(place, bytes) {
    return guarded(async () => {
      await this.#advance(place.file);
      await this.#present.write(bytes);
      remind();
    });
  }

  finish() {
    return guarded(async () => {
      await this.#advance(this.#files.length);
      return this.#end();
    });
  }

  async abort(_keep, error) {
    await Promise.resolve(this.#present?.abort(error)).catch(() => {});
    this.#present = undefined;
  }
}

/** Blobs. */
function memory(files, most, deliver) {
  const total = files.reduce((sum, { size }) => sum + size, 0);
  if (total > most) throw failure("storage_failed", `${total} bytes don't fit into memory; give \`to\` a file or a stream`);
  const blobs = [];
  const begin = (file) => {
    let parts = [];
    return {
      write: (blob) => void parts.push(blob),
      close: () => void blobs.push(whole(new Blob(parts), file)),
      abort: () => (parts = []),
    };
  };
  const end = async () => {
    await deliver(blobs);
    return blobs;
  };
  return new Sequence(files, begin, { end, operation: "unpackBlob" });
}

function writing(stream) {
  const writer = stream.getWriter();
  // Told to whoever writes.
  writer.closed.catch(() => {});
  return {
    write: async (bytes) => {
      await writer.ready;
      await writer.write(bytes);
    },
    close: () => writer.close(),
    abort: (error) => writer.abort(error),
  };
}

async function into(folder, { path }) {
  const parts = path.split("/");
  const name = parts.pop();
  let place = folder;
  for (const part of parts) place = await place.getDirectoryHandle(part, { create: true });
  // What is there already stays.
  for (let count = 1; ; count += 1) {
    const dot = name.lastIndexOf(".");
    const end = dot > 0 ? dot : name.length;
    const free = count === 1 ? name : `${name.slice(0, end)} (${count})${name.slice(end)}`;
    const taken = await place.getFileHandle(free).then(() => true, (error) => error.name !== "NotFoundError");
    if (!taken) return place.getFileHandle(free, { create: true });
  }
}

const isStream = (to) => typeof to?.getWriter === "function";
const isFile = (to) => typeof to?.createWritable === "function";

async function opened(to) {
  const place = await to;
  if (isStream(place)) return writing(place);
  if (isFile(place)) return writing(await place.createWritable());
  throw failure("invalid_option", "`to` gave neither a stream nor a file handle");
}

/** The downloads of what is there: one file as itself, more of them as an archive. */
export async function deliver(offer, files) {
  if (files.length === 1) {
    download(files[0], files[0].name);
    return;
  }
  const parts = offer.files.map(({ path, modified }, index) => ({ path, modified, blob: files[index] }));
  download(await archive(parts), `${offer.name}.zip`);
}

/** Throws `invalid_option` for what `to` can't be. */
export function check({ files }, to) {
  const isPlace = to === undefined || ["download", "file", "blob"].includes(to) || to?.kind === "directory" || typeof to === "function";
  if (isPlace || ((isStream(to) || isFile(to)) && files.length === 1)) return;
  if (isStream(to) || isFile(to)) throw failure("invalid_option", "`to` takes a folder, or a function of the file, where there are several");
  throw failure("invalid_option", '`to` takes "download", "file", "blob", a stream, a file or folder handle, or a function of the file');
}

/** The sink that `to` asks for, which has been checked. */
export async function sink(offer, key, to = "download") {
  const { files } = offer;
  if (to === "download" || to === "file") {
    const handOver = to === "file" ? () => {} : (blobs) => deliver(offer, blobs);
    const canStage = navigator.storage?.getDirectory && (await navigator.storage.getDirectory().catch(() => undefined)) && (await hasWorker());
    return canStage ? new Stage(files, key, handOver) : memory(files, MEMORY, handOver);
  }
  if (to === "blob") return memory(files, 2 ** 31, () => {});
  if (to.kind === "directory") return new Sequence(files, async (file) => opened(await into(to, file)));
  return new Sequence(files, (file) => opened(typeof to === "function" ? to(file) : to));
}
