// Somebody at the demo, and scenes for several of them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Actor, openSdk, Server, TEST_MS } from "./support.mjs";

/** Somebody at the demo. */
export class Visitor extends Actor {
  static async open(kind, name, url, options) {
    const before = () => {
      globalThis.violations = [];
      document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => violations.push(`${violatedDirective} ${blockedURI}`));
      // What is handed to the browser's downloads is looked at, and goes no further.
      globalThis.saved = [];
      const blobs = new Map();
      const { createObjectURL } = URL;
      URL.createObjectURL = (blob) => {
        const address = createObjectURL.call(URL, blob);
        blobs.set(address, blob);
        return address;
      };
      const { click } = HTMLAnchorElement.prototype;
      HTMLAnchorElement.prototype.click = function () {
        if (this.download) saved.push({ name: this.download, blob: blobs.get(this.href) });
        else click.call(this);
      };
    };
    const visitor = await super.open(kind, name, url, { before, viewport: { width: 1280, height: 860 }, ...options });
    await visitor.see("html[data-client=online]");
    return visitor;
  }

  /** The one of those elements that a visitor sees, to click on. */
  async click(selector) {
    for (const element of await this.page.$$(selector)) {
      if (await element.isVisible()) return element.click();
    }
    throw new Error(`${this.name} sees no ${selector} to click on`);
  }

  async call(name) {
    await this.click("[data-role=edit-name]");
    await this.see("dialog#name", "it.open");
    await this.page.keyboard.type(name); // what was there is selected
    await this.page.keyboard.press("Enter");
    await this.see("dialog#name", "!it.open");
  }

  async say(text) {
    await this.page.focus("textarea[name=message]");
    await this.page.keyboard.type(text);
    await this.page.keyboard.press("Enter");
    await this.see("[data-role=message][data-own=true]", `it.innerText.includes(${JSON.stringify(text)})`);
  }

  hear(text) {
    return this.see("[data-role=message][data-own=false] [data-role=text]", `it.textContent === ${JSON.stringify(text)}`);
  }

  /** Somebody of that name is in the list, and linked like that. */
  meet(name, state = "live") {
    return this.see("[data-role=person]", `all.some((row) => row.dataset.state === ${JSON.stringify(state)} && row.querySelector(".name").textContent === ${JSON.stringify(name)})`);
  }

  notice(kind, text) {
    return this.see(`[data-role=notice][data-kind=${kind}]`, `it.textContent.includes(${JSON.stringify(text)})`);
  }

  async link() {
    await this.click("[data-role=invite]");
    await this.see("dialog#share", "it.open && it.querySelector('svg.qr') !== null");
    const link = await this.run(() => document.querySelector("dialog#share input[name=link]").value);
    await this.page.keyboard.press("Escape");
    await this.see("dialog#share", "!it.open");
    return link;
  }
}

/** Runs a scene at the demo; `cast` makes the visitors, and `faults` are those that the scene itself brings about. */
export function scene(title, kinds, play, { faults } = {}) {
  test(`${title} (${kinds.join(", ")})`, { timeout: TEST_MS }, async () => {
    const server = await Server.start(["--grace", "3000"]);
    const visitors = [];
    const enter = async (name, { hash = "", ...options } = {}) => {
      const visitor = await Visitor.open(kinds[visitors.length] ?? kinds[0], name, hash.startsWith("http") ? hash : server.url + hash, options);
      visitors.push(visitor);
      return visitor;
    };
    const guest = async (name) => {
      const visitor = await openSdk(kinds[visitors.length] ?? kinds[0], name, server);
      visitors.push(visitor);
      return visitor;
    };
    try {
      await play({ enter, guest, server });
      for (const visitor of visitors) {
        assert.deepEqual(visitor.faults.filter((fault) => !faults?.test(fault)), [], `${visitor.name}'s page had faults`);
        assert.deepEqual(await visitor.run(() => globalThis.violations ?? []), [], `${visitor.name}'s page broke its policy`);
      }
    } finally {
      for (const visitor of visitors) await visitor.close();
      await server.stop();
    }
  });
}
