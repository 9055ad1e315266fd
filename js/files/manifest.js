// What an offer says about its files: made from what a page gives, and read, with care, from what another page sent.

import { failure, kit } from "./kit.js";

const VERSION = 1;
const FILES = 16_384;
const NOTE = 2_000;
/** Bytes of a thumbnail, and its longer side in pixels. */
const THUMBNAIL = 24 * 1024;
const SIDE = 192;
/** Milliseconds that an offer stands, unless the page says otherwise, and at most. */
const STANDS = 60 * 60 * 1000;
const LONGEST = 7 * 24 * STANDS;
const TYPE = /^[a-z0-9!#$&^_.+-]{1,64}\/[a-z0-9!#$&^_.+-]{1,64}$/;
/** Shown, or opened, without running anything. */
const HARMLESS = /^(image\/(png|jpeg|gif|webp|avif|bmp)|audio\/[a-z0-9.+-]+|video\/[a-z0-9.+-]+|text\/plain|application\/(zip|gzip|pdf))$/;

const isCount = (value) => Number.isSafeInteger(value) && value >= 0;

/** A type that says what a file is, and never makes a browser run it. */
export function harmless(type) {
  return HARMLESS.test(type) ? type : "application/octet-stream";
}

// ---- from the page ----

/** Something to read from: a Blob, or what has `size` and `read(from, to)`. */
function source(what, path) {
  if (what instanceof Blob) {
    return { path: path || what.webkitRelativePath || what.name || "file", type: what.type, modified: what.lastModified, size: what.size, blob: what };
  }
  if (isCount(what?.size) && typeof what.read === "function") {
    return {
      path: path || what.name || "file",
      type: what.type,
      modified: what.lastModified,
      size: what.size,
      read: (from, to) => what.read(from, to),
    };
  }
  throw failure("invalid_option", "takes a File, a Blob, a list of them, a file or folder handle, or { name, size, read }");
}

/** Everything in it, folders too. */
async function* sources(what, path = "") {
  if (what?.isDirectory && typeof what.createReader === "function") {
    const reader = what.createReader();
    for (;;) {
      const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (entries.length === 0) return;
      for (const entry of entries) yield* sources(entry, `${path}${what.name}/`);
    }
  } else if (what?.isFile && typeof what.file === "function") {
    yield source(await new Promise((resolve, reject) => what.file(resolve, reject)), path && path + what.name);
  } else if (what?.kind === "directory") {
    for await (const entry of what.values()) yield* sources(entry, `${path}${what.name}/`);
  } else if (what?.kind === "file" && typeof what.getFile === "function") {
    yield source(await what.getFile(), path && path + what.name);
  } else if (typeof what === "object" && what !== null && typeof what[Symbol.iterator] === "function") {
    for (const one of what) yield* sources(one, path);
  } else {
    yield source(what, path);
  }
}

/** The sources of what a page offers, in order. */
export async function collect(what, name) {
  const found = [];
  try {
    for await (const one of sources(what)) {
      if (found.length === FILES) throw failure("too_large", `more than ${FILES} files; pack them first`);
      found.push(one);
    }
  } catch (error) {
    throw error instanceof kit.PeerloomError ? error : failure("file_changed", error?.message ?? "", { cause: error });
  }
  if (found.length === 0) throw failure("invalid_option", "there is no file in it");
  if (name !== undefined && found.length === 1) found[0].path = String(name);
  return found;
}

/** A small picture of a picture; `undefined` where it is none, or can't be read as one. */
async function thumbnailOf(file) {
  if (!file.blob || !file.type.startsWith("image/") || file.size > 64 * 1024 * 1024) return undefined;
  try {
    const whole = await createImageBitmap(file.blob);
    const scale = Math.min(1, SIDE / Math.max(whole.width, whole.height));
    const canvas = new OffscreenCanvas(Math.max(1, Math.round(whole.width * scale)), Math.max(1, Math.round(whole.height * scale)));
    canvas.getContext("2d").drawImage(whole, 0, 0, canvas.width, canvas.height);
    whole.close();
    return await canvas.convertToBlob({ type: "image/webp", quality: 0.7 });
  } catch {
    return undefined;
  }
}

const isThumbnail = (blob) => blob.size <= THUMBNAIL && /^image\/(png|jpeg|webp)$/.test(blob.type);

async function encoded(blob) {
  if (!blob || !isThumbnail(blob)) return undefined;
  const bytes = new Uint8Array(await blob.arrayBuffer());
  return [blob.type, btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""))];
}

/** What is said about these sources, without what differs from one receiver to the next. */
export async function describe(files, { note = "", thumbnail, expires = STANDS }) {
  if (typeof note !== "string" || note.length > NOTE) throw failure("invalid_option", `\`note\` takes a text of at most ${NOTE} characters`);
  if (!isCount(expires) || expires === 0 || expires > LONGEST) {
    throw failure("invalid_option", "`expires` takes milliseconds, at most seven days of them");
  }
  if (thumbnail !== undefined && thumbnail !== false && !(thumbnail instanceof Blob && isThumbnail(thumbnail))) {
    throw failure("invalid_option", "`thumbnail` takes at most 24 KiB of PNG, JPEG or WebP, or false");
  }
  const total = files.reduce((sum, { size }) => sum + size, 0);
  const picture = thumbnail === false ? undefined : (thumbnail ?? (files.length === 1 ? await thumbnailOf(files[0]) : undefined));
  return {
    v: VERSION,
    id: crypto.randomUUID(),
    files: files.map(({ path, size, modified, type }) => [path, size, isCount(modified) ? modified : 0, String(type ?? "")]),
    piece: kit.pieceFor(total),
    note,
    thumbnail: await encoded(picture),
    expires,
  };
}

// ---- from outside ----

/** Instead of the number of files of that name. */
const FOLDER = 0;

/** What a safe path is made of; two of the same name get different ones. `taken`: how many files have each name. */
function safePath(path, taken) {
  const parts = path.split(/[/\\]/).filter((part) => part !== "" && part !== "." && part !== "..");
  const names = parts.slice(-32).map((part) => kit.safeFileName(part));
  // Whatever a file system takes for the same name.
  const key = (name) => name.normalize("NFC").toLowerCase();
  // A file can't be a folder as well.
  const folders = names.slice(0, -1).map((_, index) => names.slice(0, index + 1).join("/"));
  const safe = names.join(folders.some((folder) => taken.get(key(folder)) > 0) ? "_" : "/") || kit.safeFileName("");
  if (safe.includes("/")) for (const folder of folders) if (!taken.has(key(folder))) taken.set(key(folder), FOLDER);
  // Counted on from where it stopped: there may be thousands of the same name.
  let free = safe;
  const dot = safe.lastIndexOf(".");
  const end = dot > safe.lastIndexOf("/") + 1 ? dot : safe.length;
  let count = Math.max(1, taken.get(key(safe)) ?? 0);
  for (; taken.has(key(free)); count += 1) free = `${safe.slice(0, end)} (${count + 1})${safe.slice(end)}`;
  if (free !== safe && taken.get(key(safe)) !== FOLDER) taken.set(key(safe), count);
  taken.set(key(free), 1);
  return free;
}

function thumbnailFrom(given) {
  if (!Array.isArray(given)) return undefined;
  const [type, text] = given;
  if (!/^image\/(png|jpeg|webp)$/.test(type) || typeof text !== "string" || text.length > THUMBNAIL * 2) return undefined;
  try {
    return new Blob([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))], { type });
  } catch {
    return undefined;
  }
}

/** What another page offers. Throws `protocol_violation`. */
export function read(text) {
  const refuse = (what) => failure("protocol_violation", `an offer ${what}`);
  let given;
  try {
    given = JSON.parse(text);
  } catch {
    throw refuse("that can't be read");
  }
  if (given?.v !== VERSION) throw refuse("of another version");
  const { id, files, piece, note, thread, expires } = given;
  if (typeof id !== "string" || !/^[0-9a-f-]{36}$/.test(id)) throw refuse("without an id");
  if (!Array.isArray(files) || files.length === 0 || files.length > FILES) throw refuse("of no files, or too many");
  const taken = new Map();
  const entries = files.map((file) => {
    const [path, size, modified, type] = Array.isArray(file) ? file : [];
    if (typeof path !== "string" || !isCount(size) || !isCount(modified) || typeof type !== "string") throw refuse("of what is no file");
    return Object.freeze({
      path: safePath(path, taken),
      get name() {
        return this.path.slice(this.path.lastIndexOf("/") + 1);
      },
      size,
      type: TYPE.test(type.toLowerCase()) ? type.toLowerCase() : "",
      modified,
    });
  });
  if (!isCount(piece) || !isCount(expires)) throw refuse("without numbers that it needs");
  try {
    new kit.Receiver(entries.map(({ size }) => size), piece, 0).free();
  } catch {
    throw refuse("of more than can be offered together, or in pieces of a strange size");
  }
  if (thread !== undefined && typeof thread !== "string") throw refuse("of no thread");
  return {
    id,
    files: Object.freeze(entries),
    piece,
    note: typeof note === "string" ? note.slice(0, NOTE) : "",
    thumbnail: thumbnailFrom(given.thumbnail),
    thread,
    expires: Math.min(expires, LONGEST),
  };
}

/** Names the same files whoever offers them, and whenever: their paths, sizes and dates. */
export async function fingerprint({ files, piece }) {
  const text = JSON.stringify([piece, files.map(({ path, size, modified }) => [path, size, modified])]);
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return Array.from(bytes.subarray(0, 16), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
