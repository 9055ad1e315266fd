// JavaScript values to and from message bodies. Plain JSON goes as JSON text, made and read by the browser's own code;
// anything richer goes as JSON text with marked places, `{"$": kind, …}`, and the byte strings that belong there.
// `docs/protocol.md` has the grammar. Keys from outside never reach an assignment, so `__proto__` is a key like others.

const DEPTH = 64;
/** Buffers and Blobs in one message. */
const PARTS = 65_536;
/** Bytes of one message of a connection. */
const MESSAGE = 2 ** 30;
/** Reading digits takes the square of their number in some browsers. */
const DIGITS = 65_536;
// The first of them is not in every browser yet.
const VIEWS = new Map(
  [globalThis.Float16Array, Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array,
    Float32Array, Float64Array, BigInt64Array, BigUint64Array, DataView].map((View) => [View?.name, View]),
);

class Refused extends Error {}

class TooLarge extends Error {
  code = "too_large";
}

function refuse(what, path) {
  throw new Refused(path ? `${what} at ${path}` : what);
}

function isPlainNumber(value) {
  return Number.isFinite(value) && !Object.is(value, -0);
}

/** Whether JSON carries the value without loss. Says no where in doubt; `pack` then looks closely. */
function isPlain(value, depth) {
  switch (typeof value) {
    case "string":
    case "boolean":
      return true;
    case "number":
      return isPlainNumber(value);
    case "object":
      break;
    default:
      return false;
  }
  if (value === null) return true;
  if (depth === 0) return false;
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index += 1) if (!isPlain(value[index], depth - 1)) return false;
    return true;
  }
  const prototype = Object.getPrototypeOf(value);
  if ((prototype !== Object.prototype && prototype !== null) || typeof value.toJSON === "function") return false;
  for (const key in value) {
    if (!Object.hasOwn(value, key)) continue;
    if (key === "$" || !isPlain(value[key], depth - 1)) return false;
  }
  return true;
}

function mark(value, parts, path, depth) {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value;
    case "number":
      return isPlainNumber(value) ? value : { $: "number", v: Object.is(value, -0) ? "-0" : String(value) };
    case "bigint": {
      const digits = String(value);
      return digits.length <= DIGITS ? { $: "bigint", v: digits } : refuse(`a BigInt of more than ${DIGITS} digits`, path);
    }
    case "undefined":
      return { $: "undefined" };
    case "object":
      break;
    default:
      return refuse(`a ${typeof value}`, path);
  }
  if (value === null) return null;
  if (depth === 0) return refuse(`a cycle, or more than ${DEPTH} levels`, path.slice(0, 40));
  const inside = (child, key) => mark(child, parts, `${path}${key}`, depth - 1);
  if (Array.isArray(value)) return Array.from(value, (child, index) => inside(child, `[${index}]`));
  if (value instanceof Date) return { $: "date", v: Number.isNaN(value.getTime()) ? null : value.getTime() };
  if (value instanceof Map) {
    return { $: "map", v: Array.from(value, ([key, child]) => [inside(key, ".key"), inside(child, ".value")]) };
  }
  if (value instanceof Set) return { $: "set", v: Array.from(value, (child) => inside(child, ".element")) };
  if (value instanceof ArrayBuffer) return { $: "bytes", v: parts.push(new Uint8Array(value)) - 1, t: "ArrayBuffer" };
  if (ArrayBuffer.isView(value)) {
    const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    // The tag is the browser's own name of it, also for a class that a page derived from it.
    return { $: "bytes", v: parts.push(bytes) - 1, t: value[Symbol.toStringTag] };
  }
  if (value instanceof Blob) return { $: "blob", v: parts.push(value) - 1, t: value.type };
  const tag = Object.prototype.toString.call(value);
  if (tag !== "[object Object]") return refuse(`a ${tag.slice(8, -1)}`, path);
  const entries = Object.keys(value).map((key) => [key, inside(value[key], `.${key}`)]);
  // An object that has the mark's own key travels as a list of its entries.
  return Object.hasOwn(value, "$") ? { $: "object", v: entries } : Object.fromEntries(entries);
}

/**
 * Packs a value that is not a string. Returns JSON text, or a Uint8Array for an ArrayBuffer, or `{ json, parts }`, with
 * `pending` set while some parts are Blobs. Throws `Refused` for what can't be sent.
 */
export function pack(value) {
  if (isPlain(value, DEPTH)) return JSON.stringify(value);
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  const parts = [];
  const json = JSON.stringify(mark(value, parts, "", DEPTH));
  return { json, parts, pending: parts.some((part) => part instanceof Blob) };
}

/** Reads the Blobs among the parts. */
export async function fill(packed) {
  const parts = await Promise.all(
    packed.parts.map(async (part) => (part instanceof Blob ? new Uint8Array(await part.arrayBuffer()) : part)),
  );
  return { json: packed.json, parts, pending: false };
}

/** A part, which only one place may name: otherwise a small message could become any number of large copies. */
function taken(parts, index) {
  const part = parts[index];
  if (!(part instanceof Uint8Array)) throw new Refused("no such part");
  parts[index] = undefined;
  return part;
}

function exact(bytes) {
  return bytes.byteOffset === 0 && bytes.byteLength === bytes.buffer.byteLength ? bytes.buffer : bytes.slice().buffer;
}

function restore(value, parts, depth) {
  if (typeof value !== "object" || value === null) return value;
  if (depth === 0) throw new Refused("too deep");
  const inside = (child) => restore(child, parts, depth - 1);
  if (Array.isArray(value)) return value.map(inside);
  if (!Object.hasOwn(value, "$")) return Object.fromEntries(Object.keys(value).map((key) => [key, inside(value[key])]));
  const { $: kind, v, t } = value;
  switch (kind) {
    case "undefined":
      return undefined;
    case "number":
      return Number(v);
    case "bigint":
      if (v.length > DIGITS) throw new Refused("too many digits");
      return BigInt(v);
    case "date":
      return new Date(v ?? NaN);
    case "map":
      return new Map(v.map(([key, child]) => [inside(key), inside(child)]));
    case "set":
      return new Set(v.map(inside));
    case "object":
      return Object.fromEntries(v.map(([key, child]) => [String(key), inside(child)]));
    case "blob":
      return new Blob([taken(parts, v)], { type: String(t) });
    case "bytes": {
      const buffer = exact(taken(parts, v));
      if (t === "ArrayBuffer") return buffer;
      // A view that only the sender's browser has arrives as one that reads anything.
      return new (VIEWS.get(t) ?? DataView)(buffer);
    }
    default:
      throw new Refused("unknown kind");
  }
}

/** The value of JSON text. */
export function parse(text) {
  return JSON.parse(text);
}

/** The values of many JSON texts with commas between them, or `undefined` if they are not `count` texts. */
export function parseAll(texts, count) {
  try {
    const values = JSON.parse(`[${texts}]`);
    return values.length === count ? values : undefined;
  } catch {
    return undefined;
  }
}

/** The value of JSON text with marked places; `parts` are Uint8Arrays. */
export function unpack(json, parts) {
  // Twice the depth: a level of a Map is two levels of JSON.
  return restore(JSON.parse(json), parts, 3 * DEPTH);
}

/** User data, or other such things, as JSON text; throws for what JSON can't carry. */
export function userDataText(value, what) {
  if (value === undefined) return undefined;
  if (!isPlain(value, DEPTH)) throw new Refused(`${what} that is not plain JSON`);
  return JSON.stringify(value);
}

// ---- messages of connections ----

// One sequence of bytes, so that it can be cut into pieces anywhere: its kind, then text, JSON text, the bytes
// themselves, or for a rich value the lengths of its JSON text and of its parts, and then these.

const TEXT = 0;
const JSON_TEXT = 1;
const BYTES = 2;
const RICH = 3;

/** What is taken off the front, piece by piece. */
export class Flat {
  #parts;
  #offset = 0;

  constructor(...parts) {
    this.#parts = parts;
    this.length = parts.reduce((sum, part) => sum + part.length, 0);
    if (this.length > MESSAGE) throw new TooLarge(`${this.length} bytes; a connection takes ${MESSAGE}`);
  }

  /** What is copied out of it before anything else happens. */
  take(most) {
    const first = this.#parts[0];
    const rest = first.length - this.#offset;
    const size = Math.min(most, this.length);
    if (size < rest) {
      this.length -= size;
      return first.subarray(this.#offset, (this.#offset += size));
    }
    const bytes = new Uint8Array(Math.min(most, this.length));
    for (let at = 0; at < bytes.length; ) {
      const [part] = this.#parts;
      const chunk = part.subarray(this.#offset, this.#offset + bytes.length - at);
      bytes.set(chunk, at);
      at += chunk.length;
      this.#offset += chunk.length;
      if (this.#offset < part.length) continue;
      this.#parts.shift();
      this.#offset = 0;
    }
    this.length -= bytes.length;
    return bytes;
  }
}

/** A value as a `Flat`, or the promise of one while Blobs are read. What the page does to its buffers later changes nothing. */
export function flatten(value) {
  const encode = (kind, text) => new Flat(Uint8Array.of(kind), new TextEncoder().encode(text));
  // Half of a surrogate pair becomes U+FFFD in UTF-8; JSON has an escape for it.
  if (typeof value === "string" && value.isWellFormed?.()) return encode(TEXT, value);
  const packed = pack(value);
  if (typeof packed === "string") return encode(JSON_TEXT, packed);
  if (packed instanceof Uint8Array) return new Flat(Uint8Array.of(BYTES), packed.slice());
  if (packed.parts.length > PARTS) throw new TooLarge(`${packed.parts.length} buffers and Blobs; there may be ${PARTS} in a message`);
  packed.parts = packed.parts.map((part) => (part instanceof Blob ? part : part.slice()));
  return packed.pending ? fill(packed).then(flattenRich) : flattenRich(packed);
}

function flattenRich({ json, parts }) {
  const text = new TextEncoder().encode(json);
  const head = new DataView(new ArrayBuffer(9 + 4 * parts.length));
  head.setUint8(0, RICH);
  [text.length, parts.length, ...parts.map((part) => part.length)].forEach((n, index) => head.setUint32(1 + 4 * index, n));
  return new Flat(new Uint8Array(head.buffer), text, ...parts);
}

/** The value of pieces that came in that order, of `length` bytes together. */
export function unflatten(pieces, length) {
  const bytes = pieces.length === 1 ? pieces[0] : new Uint8Array(length);
  if (pieces.length > 1) pieces.reduce((at, piece) => (bytes.set(piece, at), at + piece.length), 0);
  const text = (part) => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(part);
  switch (bytes[0]) {
    case TEXT:
      return text(bytes.subarray(1));
    case JSON_TEXT:
      return JSON.parse(text(bytes.subarray(1)));
    case BYTES:
      return bytes.slice(1).buffer;
    case RICH: {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      const count = view.getUint32(5);
      if (count > PARTS) throw new Refused("too many parts");
      let at = 9 + 4 * count;
      const next = (size) => {
        if (at + size > bytes.length) throw new Refused("shorter than it says");
        return bytes.subarray(at, (at += size));
      };
      const json = text(next(view.getUint32(1)));
      return unpack(json, Array.from({ length: count }, (_, index) => next(view.getUint32(9 + 4 * index))));
    }
    default:
      throw new Refused("unknown kind");
  }
}
