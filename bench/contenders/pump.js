// A file over a data channel, as one writes it by hand: its size, then its bytes, read ahead, cut into chunks, as many as
// the channel takes.

/**
 * Bytes of a chunk, unless the bench is told otherwise. With 16, 64, 128 and 256 KiB the CPU time for a megabyte was the same
 * within 4 %; the fastest single run had 64.
 */
const CHUNK = 64 * 1024;
/** Bytes that are read at once. */
const READ = 1024 * 1024;
/** Bytes in the channel above which sending pauses, and below which it goes on. */
const HIGH = 1024 * 1024;
const LOW = 256 * 1024;

export async function pump(channel, file, chunk = CHUNK) {
  const read = (at) => file.slice(at, at + READ).arrayBuffer();
  const room = () => new Promise((resolve) => channel.addEventListener("bufferedamountlow", resolve, { once: true }));
  channel.bufferedAmountLowThreshold = LOW;
  channel.send(String(file.size));
  let next = read(0);
  for (let at = 0; at < file.size; at += READ) {
    const block = new Uint8Array(await next);
    next = read(at + READ);
    for (let from = 0; from < block.length; from += chunk) {
      if (channel.bufferedAmount > HIGH) await room();
      channel.send(block.subarray(from, from + chunk));
    }
  }
}

/** Takes what `pump` sends: a listener of messages, which calls `onFile` with each file. */
export function collector(onFile) {
  let parts;
  let missing;
  return ({ data }) => {
    if (typeof data === "string") {
      parts = [];
      missing = Number(data);
      return;
    }
    parts.push(data);
    missing -= data.byteLength;
    if (missing > 0) return;
    onFile(new Blob(parts));
    parts = undefined;
  };
}
