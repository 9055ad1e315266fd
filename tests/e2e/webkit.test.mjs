// A browser without RTCPeerConnection: WebKitGTK has WebAssembly and WebSocket and nothing of WebRTC. The demo says so in
// plain words, and the chat goes through the server. WebKit is driven over its WebDriver, which puppeteer does not speak.

import assert from "node:assert/strict";
import { createServer } from "node:net";
import { test } from "node:test";
import { Actor, Server, TEST_MS, launch, need, stop } from "./support.mjs";

const DRIVER = need(process.env.PEERLOOM_WEBKIT_DRIVER ?? "/usr/bin/WebKitWebDriver", "WebKitGTK's WebDriver");
const BROWSER = need(
  process.env.PEERLOOM_WEBKIT ?? "/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser",
  "WebKitGTK's MiniBrowser",
);
const PATIENCE_MS = 60_000;

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** One WebKit window, over the WebDriver protocol (W3C WebDriver). */
class WebKit {
  #driver;
  #base;
  #session;

  static async open(url) {
    const webkit = new WebKit();
    const port = await freePort();
    webkit.#base = `http://127.0.0.1:${port}`;
    webkit.#driver = launch(DRIVER, [`--port=${port}`]);
    await webkit.#up();
    const options = { binary: BROWSER, args: ["--automation"] };
    const created = await webkit.#ask("POST", "/session", {
      capabilities: { alwaysMatch: { "webkitgtk:browserOptions": options } },
    });
    webkit.#session = `/session/${created.sessionId}`;
    await webkit.#ask("POST", `${webkit.#session}/url`, { url });
    return webkit;
  }

  /** The driver prints nothing when it is ready, so it is asked until it answers. */
  async #up() {
    for (const end = Date.now() + PATIENCE_MS; ; ) {
      try {
        return await this.#ask("GET", "/status");
      } catch (error) {
        if (Date.now() > end) throw error;
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
  }

  async #ask(method, path, body) {
    const response = await fetch(this.#base + path, { method, body: body && JSON.stringify(body) });
    const { value } = await response.json();
    if (!response.ok) throw new Error(`WebKit: ${value?.error}: ${value?.message}`);
    return value;
  }

  /** Runs the text of a function's body in the page. */
  run(script) {
    return this.#ask("POST", `${this.#session}/execute/sync`, { script, args: [] });
  }

  /** Waits until an expression holds in the page. */
  async until(expression) {
    const script = `
      const done = arguments[arguments.length - 1];
      const look = () => { if (${expression}) done(true); else requestAnimationFrame(look); };
      look();`;
    await this.#ask("POST", `${this.#session}/timeouts`, { script: PATIENCE_MS });
    try {
      await this.#ask("POST", `${this.#session}/execute/async`, { script, args: [] });
    } catch (error) {
      const text = await this.run("return document.body.innerText").catch(() => "");
      throw new Error(`WebKit never saw ${expression}: ${error.message}\n${text}`);
    }
  }

  async type(selector, text) {
    const element = await this.#ask("POST", `${this.#session}/element`, { using: "css selector", value: selector });
    await this.#ask("POST", `${this.#session}/element/${Object.values(element)[0]}/value`, { text });
  }

  async close() {
    if (this.#session) await this.#ask("DELETE", this.#session);
    await stop(this.#driver);
  }
}

const says = (text) => `[...document.querySelectorAll("[data-role=text]")].some((it) => it.textContent === ${JSON.stringify(text)})`;

test("without WebRTC the demo says so, and the chat goes through the server", { timeout: TEST_MS }, async () => {
  const server = await Server.start();
  let webkit;
  let chromium;
  try {
    webkit = await WebKit.open(`${server.url}#meadow`);
    await webkit.until(`document.documentElement.dataset.client === "online"`);
    await webkit.until(`document.querySelector("[data-role=banner][data-kind=no-webrtc]")`);
    const banner = await webkit.run(`return document.querySelector("[data-kind=no-webrtc]").textContent`);
    assert.match(banner, /server/i, "the notice says what happens instead");

    chromium = await Actor.open("chromium", "Mara", `${server.url}#meadow`);
    await chromium.see("[data-role=person][data-state=relayed]");
    await webkit.until(`document.querySelector("[data-role=person][data-state=relayed]")`);

    await webkit.type("[data-role=composer] textarea", "Hello from WebKit\uE007");
    await chromium.see("[data-role=text]", `it.textContent === "Hello from WebKit"`);
    await webkit.until(`document.querySelector("[data-role=message][data-own][data-state=delivered]")`);

    await chromium.page.type("[data-role=composer] textarea", "Hello from Chromium");
    await chromium.page.keyboard.press("Enter");
    await webkit.until(says("Hello from Chromium"));
    await chromium.see("[data-role=message][data-own][data-state=delivered]");

    await chromium.close();
    const left = chromium;
    chromium = undefined;
    await webkit.until(`document.querySelector("[data-role=notice][data-kind=leave][data-reason=left]")`);
    assert.deepEqual(left.faults, []);
  } finally {
    await chromium?.close();
    await webkit?.close();
    await server.stop();
  }
});
