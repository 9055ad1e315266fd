// How large what a page downloads is, for `import "peerloom"`: the modules that `index.js` reaches, and the wasm.

import { readFile } from "node:fs/promises";
import path from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

async function reached(file, found = new Set()) {
  if (found.has(file)) return found;
  found.add(file);
  const text = await readFile(file, "utf8");
  for (const [, name] of text.matchAll(/(?:from|import)\s*["'](\.[^"']+)["']/g)) {
    await reached(path.join(path.dirname(file), name), found);
  }
  return found;
}

export async function packageSize(pkg) {
  const files = [...(await reached(path.join(pkg, "index.js"))), path.join(pkg, "peerloom_bg.wasm")];
  const sizes = await Promise.all(
    files.map(async (file) => {
      const data = await readFile(file);
      const brotli = brotliCompressSync(data, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } });
      return { name: path.basename(file), raw: data.length, gzip: gzipSync(data, { level: 9 }).length, brotli: brotli.length };
    }),
  );
  const sum = (name, list) => ({
    name,
    raw: list.reduce((all, one) => all + one.raw, 0),
    gzip: list.reduce((all, one) => all + one.gzip, 0),
    brotli: list.reduce((all, one) => all + one.brotli, 0),
  });
  const scripts = sizes.filter(({ name }) => name.endsWith(".js"));
  const wasm = sizes.filter(({ name }) => name.endsWith(".wasm"));
  return { files: sizes, sums: [sum("JavaScript", scripts), sum("wasm", wasm), sum("together", sizes)] };
}
