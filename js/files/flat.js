// A message of a connection that carries files: what stands before, and bytes, which are copied once, by the wasm.

export class Flat {
  #parts;

  constructor(...parts) {
    this.#parts = parts.filter((part) => part.length > 0);
    this.length = parts.reduce((sum, part) => sum + part.length, 0);
  }

  take(most) {
    const [first, ...rest] = this.#parts;
    const size = Math.min(most, this.length);
    this.length -= size;
    if (first.length > size) {
      this.#parts[0] = first.subarray(size);
      return first.subarray(0, size);
    }
    this.#parts = rest;
    if (first.length === size) return first;
    const bytes = new Uint8Array(size);
    bytes.set(first);
    bytes.set(rest[0].subarray(0, size - first.length), first.length);
    this.#parts[0] = rest[0].subarray(size - first.length);
    return bytes;
  }
}
