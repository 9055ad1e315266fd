// One archive of files that are there already: stored, not compressed, as a Blob of the files themselves, so that nothing
// is copied or held in memory. PKWARE's APPNOTE 6.3.10, with the 64-bit extensions where they are needed.

const TABLE = new Uint32Array(256).map((_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

async function checksum(file) {
  let value = 0xffffffff;
  const reader = file.stream().getReader();
  for (;;) {
    const { done, value: bytes } = await reader.read();
    if (done) return (value ^ 0xffffffff) >>> 0;
    for (let index = 0; index < bytes.length; index += 1) value = (value >>> 8) ^ TABLE[(value ^ bytes[index]) & 255];
  }
}

/** Little-endian numbers: `[bytes, value]`. */
function numbers(...fields) {
  const view = new DataView(new ArrayBuffer(fields.reduce((sum, [size]) => sum + size, 0)));
  fields.reduce((at, [size, value]) => {
    if (size === 2) view.setUint16(at, value, true);
    else if (size === 4) view.setUint32(at, value, true);
    else view.setBigUint64(at, BigInt(value), true);
    return at + size;
  }, 0);
  return view.buffer;
}

/** Date and time as DOS has them: two seconds are the smallest step. */
function stamp(modified) {
  const date = new Date(modified);
  const year = Math.min(Math.max(date.getFullYear(), 1980), 2107);
  return [
    [2, (date.getHours() << 11) | (date.getMinutes() << 5) | (date.getSeconds() >> 1)],
    [2, ((year - 1980) << 9) | ((date.getMonth() + 1) << 5) | date.getDate()],
  ];
}

const BIG = 0xffffffff;

/** `files`: `{ path, modified, blob }`. */
export async function archive(files) {
  const parts = [];
  const directory = [];
  let at = 0;
  for (const { path, modified, blob } of files) {
    const name = new TextEncoder().encode(path);
    const sum = await checksum(blob);
    const big = blob.size >= BIG || at >= BIG;
    // Version needed, names in UTF-8, stored.
    const common = [[2, 45], [2, 0x0800], [2, 0], ...stamp(modified), [4, sum], [4, big ? BIG : blob.size], [4, big ? BIG : blob.size]];
    const sizes = [[8, blob.size], [8, blob.size]];
    const extra = big ? numbers([2, 1], [2, 16], ...sizes) : new ArrayBuffer(0);
    const head = numbers([4, 0x04034b50], ...common, [2, name.length], [2, extra.byteLength]);
    parts.push(head, name, extra, blob);
    const more = big ? numbers([2, 1], [2, 24], ...sizes, [8, at]) : new ArrayBuffer(0);
    directory.push(
      numbers([4, 0x02014b50], [2, 45], ...common, [2, name.length], [2, more.byteLength], [2, 0], [2, 0], [2, 0], [4, 0], [4, big ? BIG : at]),
      name,
      more,
    );
    at += head.byteLength + name.length + extra.byteLength + blob.size;
  }
  const length = directory.reduce((sum, part) => sum + part.byteLength, 0);
  const count = files.length;
  const end = [
    numbers([4, 0x06064b50], [8, 44], [2, 45], [2, 45], [4, 0], [4, 0], [8, count], [8, count], [8, length], [8, at]),
    numbers([4, 0x07064b50], [4, 0], [8, at + length], [4, 1]),
    numbers([4, 0x06054b50], [2, 0], [2, 0], [2, Math.min(count, 0xffff)], [2, Math.min(count, 0xffff)], [4, Math.min(length, BIG)], [4, Math.min(at, BIG)], [2, 0]),
  ];
  const isBig = at >= BIG || length >= BIG || count >= 0xffff;
  return new Blob([...parts, ...directory, ...(isBig ? end : end.slice(2))], { type: "application/zip" });
}
