// Where files go by default: the browser's own downloads, one file as itself, several as an archive, whole and under safe
// names; and folders and files that the page has handles of.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, watch } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import zlib from "node:zlib";
import { meet } from "./files-kit.mjs";
import { PAIRS, scene } from "./support.mjs";

const place = mkdtempSync(join(tmpdir(), "peerloom-downloads-"));
process.on("exit", () => rmSync(place, { recursive: true, force: true }));

/** The content of a download, once it is complete. */
async function downloaded(name, size) {
  const watcher = watch(place);
  try {
    for (;;) {
      const complete = readdirSync(place).includes(name) && readFileSync(join(place, name)).length === size(name);
      if (complete) return readFileSync(join(place, name));
      await once(watcher, "change");
    }
  } finally {
    watcher.close();
  }
}

/** The files of an archive, by the directory at its end. */
function unpacked(zip) {
  const end = zip.lastIndexOf(Buffer.from([0x50, 0x4b, 5, 6]));
  const files = new Map();
  let at = zip.readUInt32LE(end + 16);
  for (let count = zip.readUInt16LE(end + 10); count > 0; count -= 1) {
    assert.equal(zip.readUInt32LE(at), 0x02014b50);
    const [sum, size, nameLength, extra, comment, local] = [zip.readUInt32LE(at + 16), zip.readUInt32LE(at + 24), zip.readUInt16LE(at + 28), zip.readUInt16LE(at + 30), zip.readUInt16LE(at + 32), zip.readUInt32LE(at + 42)];
    const name = zip.toString("utf8", at + 46, at + 46 + nameLength);
    const begin = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
    const content = zip.subarray(begin, begin + size);
    assert.equal(zlib.crc32?.(content) ?? sum, sum, name);
    files.set(name, content);
    at += 46 + nameLength + extra + comment;
  }
  return files;
}

const APART = {
  chromium: true,
  firefox: { extraPrefsFirefox: { "browser.download.folderList": 2, "browser.download.dir": place, "browser.download.useDownloadDir": true, "browser.helperApps.neverAsk.saveToDisk": "application/octet-stream,application/zip" } },
};

for (const kinds of PAIRS) {
  scene("accepted without more, files go to the downloads", { kinds, apart: [false, APART[kinds[1]]] }, async ([alice, bob]) => {
    if (bob.kind === "chromium") {
      const devtools = await bob.browser.target().createCDPSession();
      await devtools.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: place, browserContextId: bob.context.id });
    }
    await meet([alice, bob]);
    const tag = kinds.join("-");
    await alice.run((tag) => client.peer("bob").offer(new File([noise(300_001, 5)], `../ev\u202eil ${tag}.html`, { type: "text/html" })).then(() => undefined), tag);
    const type = await bob.run(() => offered().then((offer) => offer.accept().done).then((file) => file.type));
    assert.equal(type, "application/octet-stream", "never something that a browser would run");
    const one = await downloaded(`evil ${tag}.html`, () => 300_001);
    const expected = await alice.run(() => Array.from(noise(300_001, 5).subarray(0, 1000)));
    assert.deepEqual([...one.subarray(0, 1000)], expected);

    const total = await alice.run(async (tag) => {
      const file = (path, size) => Object.defineProperty(new File([noise(size, 7)], "x", { lastModified: 1_600_000_000_000 }), "webkitRelativePath", { value: path });
      const offer = await client.peer("bob").offer([file(`trip ${tag}/a`, 270_000), file(`trip ${tag}/b/c.txt`, 0), file(`trip ${tag}/b/ü.txt`, 3)]);
      return offer.size;
    }, tag);
    assert.equal(total, 270_003);
    await bob.run(() => offered(1).then((offer) => offer.accept().done).then(() => undefined));
    const name = `trip ${tag}.zip`;
    const names = [`trip ${tag}/a`, `trip ${tag}/b/c.txt`, `trip ${tag}/b/ü.txt`];
    // A local head is 30 bytes, an entry of the directory 46, its end 22.
    const size = total + 22 + names.reduce((sum, path) => sum + 76 + 2 * Buffer.byteLength(path), 0);
    const files = unpacked(await downloaded(name, () => size));
    assert.deepEqual([...files].map(([path, content]) => [path, content.length]), [[names[0], 270_000], [names[1], 0], [names[2], 3]]);
  });

  scene("files and folders that the page has handles of are written to", { kinds }, async ([alice, bob]) => {
    await meet([alice, bob]);
    await alice.run(() => client.peer("bob").offer([new File([noise(270_000)], "a.bin"), new File([noise(5)], "a.bin"), new File([], "none")]).then(() => undefined));
    const seen = await bob.run(async () => {
      // The origin's own folder has handles like those that a person picks.
      const root = await navigator.storage.getDirectory();
      const folder = await root.getDirectoryHandle("picked", { create: true });
      await folder.getFileHandle("none", { create: true });
      await (await offered()).accept({ to: folder }).done;
      const sizes = [];
      for await (const [name, handle] of folder.entries()) sizes.push([name, (await handle.getFile()).size]);
      return sizes.sort();
    });
    assert.deepEqual(seen, [["a (2).bin", 5], ["a.bin", 270_000], ["none (2)", 0], ["none", 0]]);
    await alice.run(() => client.peer("bob").offer(new File([noise(1000)], "one.bin")).then(() => undefined));
    const size = await bob.run(async () => {
      const root = await navigator.storage.getDirectory();
      const handle = await root.getFileHandle("one", { create: true });
      await (await offered(1)).accept({ to: handle }).done;
      return (await handle.getFile()).size;
    });
    assert.equal(size, 1000);
  });
}
