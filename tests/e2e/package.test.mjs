// The package itself: importing it touches nothing, not even in Node, and the wasm is fetched when it is first needed.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { Actor, inCheckout, Server } from "./support.mjs";

const PACKAGE = process.env.PEERLOOM_PKG ?? inCheckout("pkg");

test("importing needs no browser, and every name is there", () => {
  const script = `
    const sdk = await import(${JSON.stringify(pathToFileURL(`${PACKAGE}/index.js`).href)});
    const client = new sdk.Client({ id: "x", server: "ws://127.0.0.1:9" });
    console.log(JSON.stringify({ names: Object.keys(sdk).sort(), supported: sdk.Client.supported, state: client.state, id: client.id }));
    const error = await client.open().catch((error) => error);
    console.log(JSON.stringify({ code: error.code, is: error instanceof sdk.PeerloomError }));
  `;
  // A global of a browser would throw when it is touched.
  const trap = `
    for (const name of ["window", "document", "location", "navigator", "RTCPeerConnection", "WebSocket", "fetch", "localStorage"]) {
      Object.defineProperty(globalThis, name, { configurable: true, get() { throw new Error("touched " + name); } });
    }
    await import(${JSON.stringify(pathToFileURL(`${PACKAGE}/index.js`).href)});
    console.log("untouched");
  `;
  const run = (code) => {
    const { stdout, stderr, status } = spawnSync(process.execPath, ["--input-type=module", "--eval", code], { encoding: "utf8" });
    assert.equal(status, 0, stderr);
    return stdout.trim().split("\n");
  };
  const [imported, opened] = run(script).map((line) => JSON.parse(line));
  assert.deepEqual(imported.names, ["Client", "Connection", "Peer", "PeerloomError", "Thread", "connect", "init"]);
  const { webAssembly, webSocket, ...browserOnly } = imported.supported;
  assert.equal(webAssembly, true);
  assert.equal(typeof webSocket, "boolean");
  assert.ok(Object.values(browserOnly).every((has) => has === false), JSON.stringify(browserOnly));
  assert.equal(imported.state, "idle");
  assert.equal(imported.id, "x");
  assert.equal(opened.is, true);
  assert.ok(["unsupported", "load_failed"].includes(opened.code), opened.code);
  assert.deepEqual(run(trap), ["untouched"]);
});

test("the manifest names files that are there", () => {
  const manifest = JSON.parse(readFileSync(`${PACKAGE}/package.json`, "utf8"));
  assert.equal(manifest.name, "peerloom");
  const named = [manifest.main, manifest.types, ...Object.values(manifest.exports).flatMap((entry) => Object.values(typeof entry === "string" ? { entry } : entry))];
  for (const path of named) assert.ok(readFileSync(`${PACKAGE}/${path}`).length > 0, path);
});

for (const kind of ["chromium", "firefox"]) {
  test(`a page fetches the wasm when it connects, and once (${kind})`, async () => {
    const server = await Server.start();
    const actor = await Actor.open(kind, "page", `${server.url}healthz`);
    try {
      const asked = [];
      actor.page.on("request", (request) => asked.push(new URL(request.url()).pathname));
      const wasm = () => asked.filter((path) => path.endsWith(".wasm")).length;
      const supported = await actor.run(async () => {
        globalThis.sdk = await import("/pkg/index.js");
        globalThis.client = new sdk.Client();
        client.on("state", () => undefined);
        client.handle("x", () => undefined);
        client.tag("y");
        return sdk.Client.supported;
      });
      assert.deepEqual(supported, { webrtc: true, dataChannels: true, media: true, screen: true, webSocket: true, webAssembly: true });
      assert.ok(asked.includes("/pkg/index.js"));
      assert.equal(wasm(), 0);
      await actor.run(() => Promise.all([client.open(), sdk.init(), sdk.connect()]).then(() => undefined));
      assert.equal(wasm(), 1);
      assert.equal(await actor.run(() => client.state), "online");
      assert.deepEqual(actor.faults, []);
    } finally {
      await actor.close();
      await server.stop();
    }
  });

  test(`wasm that can't be had is an error that says so, and can be tried again (${kind})`, async () => {
    const server = await Server.start();
    const actor = await Actor.open(kind, "page", `${server.url}healthz`);
    try {
      const codes = await actor.run(async () => {
        const { connect, init } = await import("/pkg/index.js");
        const first = await init("/pkg/nothing-here.wasm").catch((error) => error);
        const client = await connect();
        return [first.code, client.state];
      });
      assert.deepEqual(codes, ["load_failed", "online"]);
    } finally {
      await actor.close();
      await server.stop();
    }
  });
}
