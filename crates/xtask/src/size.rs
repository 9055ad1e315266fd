//! How large the package is on the wire: every wasm and JavaScript file of it, raw, gzipped and with brotli.

use crate::shell::{self, Result, command};
use std::path::Path;

/// Node has both compressors, so nothing else is needed.
const SCRIPT: &str = r#"
const fs = require("fs"), path = require("path"), zlib = require("zlib");
const root = process.argv[1];
const files = fs.readdirSync(root, { recursive: true }).filter((name) => /\.(wasm|js|mjs)$/.test(name)).sort();
const brotli = (data) => zlib.brotliCompressSync(data, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 11 } });
const line = (name, sizes) => console.log(name.padEnd(32) + sizes.map((size) => String(size).padStart(10)).join(""));
line("", ["raw", "gzip", "brotli"]);
const core = [0, 0, 0];
for (const name of files) {
  const data = fs.readFileSync(path.join(root, name));
  const sizes = [data.length, zlib.gzipSync(data, { level: 9 }).length, brotli(data).length];
  if (/^(index\.js|peerloom\.js|peerloom_bg\.wasm)$/.test(name)) sizes.forEach((size, i) => (core[i] += size));
  line(name, sizes);
}
line("what `import \"peerloom\"` loads", core);
"#;

/// Prints the table.
pub fn report(pkg: &Path) -> Result<()> {
    shell::run(command("node").args(["-e", SCRIPT, "--"]).arg(pkg))
}
