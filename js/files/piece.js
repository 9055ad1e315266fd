// One piece on its way: hashed, and made smaller where that pays. All of it is the browser's own code; the worker runs it
// off the page's thread.

// Gecko is late to collect buffers: a receiver of 100 MiB grew by 34 MiB with this, and by 90 without. In Chromium it has the
// opposite effect, because Blink goes on holding what V8 no longer counts: 1.1 GiB for 1 GiB, and 0.1 without.
const frees = /Gecko\//.test(navigator.userAgent);

/** Gives the memory of bytes back that nobody looks at any more, at once: collecting garbage would be late. */
export function free(bytes) {
  if (frees) bytes?.buffer?.transfer?.(0);
}

/** SHA-256 (FIPS 180-4), as 32 bytes. */
export async function hash(bytes) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

/** Pieces between two reminders that there is garbage. */
const PIECES = 8;
/** Bytes of a reminder. Nobody touches them, so that they cost nothing. */
const REMINDER = 64 * 1024 * 1024;
let pieces = 0;

/**
 * A piece leaves things behind that hold some hundred kilobytes outside of the heap, which browsers hardly count when they
 * decide whether to collect garbage. What they do count is the length of buffers. With 1 GiB of text, both senders' browsers
 * grew by 105 and 247 MiB without, and by 65 and 9 with.
 */
export function remind() {
  pieces += 1;
  if (pieces % PIECES !== 0) return;
  try {
    new ArrayBuffer(REMINDER);
  } catch {
    // There is so little that the browser collects by itself.
  }
}

/** Pushes `bytes` through a stream that transforms them; `undefined` if that makes more than `most` bytes. */
async function through(transform, bytes, most) {
  remind();
  const writer = transform.writable.getWriter();
  // What goes wrong is told by the reading end.
  writer.write(bytes).catch(() => {});
  writer.close().catch(() => {});
  const out = new Uint8Array(most);
  let length = 0;
  const reader = transform.readable.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return trimmed(out, length);
    if (length + value.length > most) {
      reader.cancel().catch(() => {});
      free(out);
      return undefined;
    }
    out.set(value, length);
    length += value.length;
    free(value);
  }
}

/** What is much shorter than the buffer that it is in gets one of its own size. */
function trimmed(bytes, length) {
  if (length > bytes.length / 2) return bytes.subarray(0, length);
  const own = bytes.slice(0, length);
  free(bytes);
  return own;
}

const canDeflate = typeof CompressionStream === "function" && typeof DecompressionStream === "function";
/** What has to be saved, as a part of the whole, for its inflation to be worth the while. */
const WORTH = 0.9;

/** Reads, hashes, and with `squeeze` deflates a piece, if that makes it smaller by a tenth at least. */
export async function pack(source, squeeze) {
  const bytes = new Uint8Array(source instanceof Blob ? await source.arrayBuffer() : source);
  const [hashed, small] = await Promise.all([
    hash(bytes),
    squeeze && canDeflate ? through(new CompressionStream("deflate-raw"), bytes, Math.floor(bytes.length * WORTH)) : undefined,
  ]);
  const { length } = bytes;
  if (small) free(bytes);
  return { hash: hashed, bytes: small ?? bytes, deflated: small !== undefined, length };
}

/** As `unpack`, into a Blob, which the browser may keep on disk. */
export async function unpackBlob(...given) {
  const whole = await unpack(...given);
  return whole && new Blob([whole]);
}

/** The bytes of a piece that came, if they are what they should be. */
export async function unpack(bytes, deflated, length, expected) {
  let whole = bytes;
  if (deflated) {
    try {
      whole = await through(new DecompressionStream("deflate-raw"), bytes, length);
    } catch {
      return undefined; // not compressed at all
    }
  }
  if (whole?.length !== length) return undefined;
  if (deflated) free(bytes);
  const found = await hash(whole);
  return found.every((byte, index) => byte === expected[index]) ? whole : undefined;
}
