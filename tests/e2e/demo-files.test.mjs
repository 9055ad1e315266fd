// Files in the demo: picked, dropped, pasted; accepted, verified, saved; declined, paused, cancelled, withdrawn; after a
// reload, without room, from guests who mean harm, and with the keyboard alone.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { PAIRS } from "./support.mjs";
import { scene } from "./visitor.mjs";

const folder = await mkdtemp(join(tmpdir(), "peerloom-demo-"));
after(() => rm(folder, { recursive: true }));

/** A file on this machine. */
async function file(path, content) {
  const whole = join(folder, path);
  await mkdir(join(whole, ".."), { recursive: true });
  await writeFile(whole, content);
  return whole;
}

const digest = (bytes) => createHash("sha256").update(bytes).digest("hex");
const INCOMING = "[data-role=offer][data-own=false]";
const OWN = "[data-role=offer][data-own=true]";

async function pick(visitor, ...paths) {
  const input = await visitor.page.$("input[name=files]");
  await input.uploadFile(...paths);
}

/** Waits until the last card of somebody's offer is in that state. */
const card = (visitor, state, holds = "true") => visitor.see(INCOMING, `it.dataset.state === ${JSON.stringify(state)} && (${holds})`);
const ownCard = (visitor, holds) => visitor.see(OWN, holds);

/** A button of the last card that has it. */
async function press(visitor, role, where = INCOMING) {
  await visitor.see(`${where} [data-role=${role}]`, "all.some((button) => button.checkVisibility())");
  await visitor.run((selector) => {
    const button = [...document.querySelectorAll(selector)].filter((button) => button.checkVisibility()).at(-1);
    button.scrollIntoView({ block: "nearest" });
    button.click();
  }, `${where} [data-role=${role}]`);
}

/** What the visitor's browser was given to save, once there is so much of it. */
async function saved(visitor, count) {
  await visitor.see("html", `globalThis.saved.length >= ${count}`);
  return visitor.run(async () => {
    const hash = async (blob) => {
      const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", await blob.arrayBuffer()));
      return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    };
    return Promise.all(globalThis.saved.map(async ({ name, blob }) => ({ name, type: blob.type, size: blob.size, hash: await hash(blob) })));
  });
}

/** A guest without the demo, in a thread with the visitor. */
async function member(guest, name) {
  const actor = await guest(name);
  await actor.run(async (name) => {
    await online(name, { userData: { name } });
    await join("lobby");
    globalThis.offers = [];
    thread.on("offer", (offer) => offers.push(offer));
    globalThis.offered = () => until(thread, "offer", () => offers.length > 0).then(() => offers.at(-1));
  }, name);
  return actor;
}

/** What the guest offers: noise, with so many bytes a second at most. */
const offering = (actor, name, size, limit) =>
  actor.run(async (name, size, limit) => {
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size; at += 65_536) crypto.getRandomValues(bytes.subarray(at, Math.min(size, at + 65_536)));
    globalThis.offer = await thread.offer(new File([bytes], name), { limit });
  }, name, size, limit);

for (const kinds of PAIRS) {
  scene("files are picked, accepted, verified, shown and saved; or declined", kinds, async ({ enter }) => {
    const alice = await enter("Alice", { hash: "#lobby" });
    const bob = await enter("Bob", { hash: "#lobby" });
    await alice.call("Alice");
    await bob.meet("Alice");
    const noise = randomBytes(700_000);
    await pick(alice, await file("report.bin", noise));
    await card(bob, "offered", `it.innerText.includes('report.bin') && it.innerText.includes('700') && it.querySelector('.byline').innerText.includes('Alice')`);
    await ownCard(alice, "it.dataset.state === 'open' && it.innerText.includes('report.bin')");
    await bob.see("#announcer", "it.textContent.includes('Alice offers report.bin')");
    await press(bob, "accept");
    await card(bob, "done", "it.innerText.includes('Verified')");
    await bob.see("#announcer", "it.textContent.includes('report.bin has arrived and is verified')");
    await alice.see(`${OWN} [data-role=receiver]`, "it.dataset.state === 'done' && it.innerText.includes('Has it')");
    const content = { name: "report.bin", type: "application/octet-stream", size: noise.length, hash: digest(noise) };
    assert.deepEqual(await saved(bob, 1), [content]);
    await press(bob, "save");
    assert.deepEqual(await saved(bob, 2), [content, content]);

    // A picture is shown: a small one with the offer, the whole when it is here.
    const picture = await alice.run(async () => {
      const canvas = new OffscreenCanvas(640, 400);
      canvas.getContext("2d").fillRect(0, 0, 320, 200);
      const blob = await canvas.convertToBlob({ type: "image/png" });
      return [...new Uint8Array(await blob.arrayBuffer())];
    });
    await pick(alice, await file("picture.png", Uint8Array.from(picture)));
    await card(bob, "offered", "it.querySelector('.tile img')?.naturalWidth > 0");
    assert.deepEqual(await bob.run(() => document.querySelectorAll("[data-role=offer-picture]").length), 0);
    await press(bob, "accept");
    await card(bob, "done");
    await bob.see("[data-role=offer-picture]", "it.checkVisibility() && it.naturalWidth === 640 && it.alt === 'picture.png'");

    // One that is not wanted.
    await pick(alice, await file("unwanted.txt", "no, thank you"));
    await card(bob, "offered");
    await press(bob, "decline");
    await card(bob, "declined", "it.querySelector('button:not([hidden])')?.checkVisibility() !== true");
    await alice.see(`${OWN} [data-role=receiver]`, "it.dataset.state === 'declined' && it.innerText.includes('Does not want it')");
    assert.equal((await saved(bob, 3)).length, 3);

    // Several at once come as one archive.
    await pick(alice, await file("one.txt", "one"), await file("two.txt", "two"));
    await card(bob, "offered", "it.innerText.includes('2 files')");
    await bob.run(() => (document.querySelector("[data-role=offer-files]").open = true));
    await bob.see("[data-role=offer-files]", "it.innerText.includes('one.txt') && it.innerText.includes('two.txt')");
    await press(bob, "accept");
    await card(bob, "done");
    assert.equal((await saved(bob, 4))[3].name, "2 files.zip");

    // What is withdrawn is gone, also for whoever comes later.
    await pick(alice, await file("oops.txt", "oops"));
    await card(bob, "offered");
    await press(alice, "withdraw", OWN);
    await card(bob, "closed", "it.innerText.includes('has taken this back')");
    await ownCard(alice, "it.dataset.state === 'closed'");
    await bob.page.reload();
    await bob.meet("Alice");
    await bob.see("html[data-client=online]");
    await bob.see(INCOMING, "all.some((row) => row.innerText.includes('report.bin'))");
    assert.equal(await bob.run((selector) => [...document.querySelectorAll(selector)].some((row) => row.innerText.includes("oops")), INCOMING), false);
  });
}

for (const kind of ["chromium", "firefox"]) {
  scene("files are dropped and pasted", [kind, "chromium"], async ({ enter }) => {
    const alice = await enter("Alice", { hash: "#lobby" });
    const bob = await enter("Bob", { hash: "#lobby" });
    await bob.see("[data-role=person][data-state=live]");
    if (kind === "chromium") {
      // As from the desktop: a folder, with one in it.
      await file("Garden/plan.txt", "roses");
      await file("Garden/sketches/north.txt", "a fence");
      const session = await alice.page.createCDPSession();
      const data = { items: [], files: [join(folder, "Garden")], dragOperationsMask: 1 };
      const drag = (type) => session.send("Input.dispatchDragEvent", { type, x: 600, y: 300, data });
      await drag("dragEnter");
      await drag("dragOver");
      await alice.see("[data-role=drop-target]", "!it.hidden && it.innerText.includes('lobby')");
      await drag("drop");
      await card(bob, "offered", "it.innerText.includes('Garden') && it.innerText.includes('2 files')");
    } else {
      const drag = (type) =>
        alice.run((type) => {
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File(["roses"], "plan.txt"));
          dataTransfer.items.add(new File(["a fence"], "north.txt"));
          document.querySelector("#transcript").dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
        }, type);
      await drag("dragenter");
      await alice.see("[data-role=drop-target]", "!it.hidden && it.innerText.includes('lobby')");
      await drag("dragleave");
      await alice.see("[data-role=drop-target]", "it.hidden");
      await drag("dragover");
      await drag("drop");
      await card(bob, "offered", "it.innerText.includes('2 files')");
    }
    await alice.see("[data-role=drop-target]", "it.hidden");
    await press(bob, "accept");
    await card(bob, "done");
    assert.match((await saved(bob, 1))[0].name, /^(Garden|2 files)\.zip$/);

    const paste = (parts) =>
      alice.run((parts) => {
        const clipboardData = new DataTransfer();
        for (const [content, name, type] of parts.files) clipboardData.items.add(new File([content], name, { type }));
        if (parts.text) clipboardData.setData("text/plain", parts.text);
        const event = new ClipboardEvent("paste", { bubbles: true, cancelable: true });
        Object.defineProperty(event, "clipboardData", { value: clipboardData }); // which not every browser takes from a script
        document.querySelector("textarea[name=message]").dispatchEvent(event);
        return event.defaultPrevented;
      }, parts);
    assert.equal(await paste({ files: [["not really", "image.png", "image/png"]] }), true);
    await card(bob, "offered", "/Picture \\d{4}-\\d\\d-\\d\\d \\d\\d\\.\\d\\d\\.\\d\\d\\.png/.test(it.innerText)");
    assert.equal(await paste({ files: [["letter", "letter.odt", ""]], text: "letter.odt" }), true);
    await card(bob, "offered", "it.innerText.includes('letter.odt')");
    // Text that has a picture of itself beside it is text.
    assert.equal(await paste({ files: [["picture", "image.png", "image/png"]], text: "a paragraph" }), false);
    assert.equal(await alice.run((own) => document.querySelectorAll(own).length, OWN), 3);

    // Without a thread, nothing is offered, and the page stays where it is.
    await alice.click("[data-role=home]");
    const refused = await alice.run(() => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File(["x"], "x.txt"));
      const events = ["dragover", "drop"].map((type) => new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
      return events.map((event) => (document.body.dispatchEvent(event), event.defaultPrevented));
    });
    assert.deepEqual(refused, [true, true]);
  });

  scene("a transfer is paused, resumed, cancelled, and gone on with", [kind, "chromium"], async ({ enter, guest }) => {
    const bob = await enter("Bob", { hash: "#lobby" });
    const alice = await member(guest, "alice");
    await bob.meet("alice");
    await offering(alice, "long.bin", 6_000_000, 2_000_000);
    await card(bob, "offered");
    await press(bob, "accept");
    await card(bob, "active", "it.querySelector('progress').value > 0.1 && /of\\s6\\sMB.*B\\/s.*left/.test(it.querySelector('[data-role=offer-words]').textContent)");
    assert.match(await bob.run(() => document.querySelector("progress[data-role=offer-progress]").getAttribute("aria-label")), /long\.bin/);
    await press(bob, "pause");
    await card(bob, "paused", "it.innerText.includes('Paused by you')");
    await alice.run(() => until(offer.transfers[0], "state", () => offer.transfers[0].state === "paused"));
    await press(bob, "pause");
    await card(bob, "active");
    await alice.run(() => offer.transfers[0].pause());
    await card(bob, "paused", "it.innerText.includes('Paused by') && it.innerText.includes('alice')");
    await alice.run(() => offer.transfers[0].resume());
    await card(bob, "active");
    await press(bob, "cancel");
    await card(bob, "cancelled", "it.innerText.includes('You cancelled this') && it.innerText.includes('here already')");
    await alice.run(() => until(offer.transfers[0], "state", () => offer.transfers[0].state === "cancelled"));
    await bob.see(`${INCOMING} [data-role=accept]`, "it.innerText === 'Go on'");
    const before = await bob.run(() => document.querySelector("progress[data-role=offer-progress]").value);
    await press(bob, "accept");
    await card(bob, "active", `it.querySelector('progress').value >= ${before}`);
    await card(bob, "done");
    const [{ size }] = await saved(bob, 1);
    assert.equal(size, 6_000_000);
    // The other side can cancel, too, and then there is nothing to go on with.
    await offering(alice, "other.bin", 6_000_000, 1_000_000);
    await card(bob, "offered");
    await press(bob, "accept");
    await card(bob, "active");
    await alice.run(() => offer.transfers[0].cancel());
    await card(bob, "cancelled", "it.innerText.includes('alice cancelled this') && !it.querySelector('[data-role=accept]').checkVisibility()");
  });

  scene("a reload in the middle loses nothing", [kind, "chromium"], async ({ enter, guest }) => {
    const bob = await enter("Bob", { hash: "#lobby" });
    bob.page.on("dialog", (dialog) => dialog.accept());
    const alice = await member(guest, "alice");
    await bob.meet("alice");
    await offering(alice, "long.bin", 8_000_000, 2_000_000);
    await card(bob, "offered");
    await press(bob, "accept");
    await card(bob, "active", "it.querySelector('progress').value > 0.3");
    await bob.page.reload();
    await card(bob, "active", "it.querySelector('progress').value > 0.25");
    await card(bob, "done");
    const [{ name, size }] = await saved(bob, 1);
    assert.deepEqual([name, size], ["long.bin", 8_000_000]);
    // Cancelled, then loaded anew: it waits to be asked.
    await offering(alice, "longer.bin", 9_000_000, 2_000_000);
    await card(bob, "offered");
    await press(bob, "accept");
    await card(bob, "active", "it.querySelector('progress').value > 0.3");
    await press(bob, "cancel");
    await card(bob, "cancelled");
    await bob.page.reload();
    await bob.see(INCOMING, "all.some((row) => row.innerText.includes('longer.bin') && row.dataset.state === 'offered' && row.innerText.includes('here already') && row.querySelector('[data-role=accept]').innerText === 'Go on')");
  });

  scene("either side may load its page anew in the middle", [kind, "chromium"], async ({ enter }) => {
    const bob = await enter("Bob", { hash: "#lobby" });
    const alice = await enter("Alice", { hash: "#lobby" });
    alice.page.on("dialog", (dialog) => dialog.accept());
    await alice.call("Alice");
    await bob.meet("Alice");
    // Who gets it is somebody else to the server then, but not to whoever offers it.
    await pick(alice, await file("first.bin", randomBytes(40_000_000)));
    await card(bob, "offered");
    await press(bob, "accept");
    await card(bob, "active", "it.querySelector('progress').value > 0");
    await press(bob, "pause");
    await card(bob, "paused");
    await bob.page.reload();
    await card(bob, "done");
    await alice.see(`${OWN} [data-role=receiver]`, "all.length === 2 && it.dataset.state === 'done' && all.filter((row) => row.checkVisibility()).length === 1");
    // Who offers it has to pick it again.
    const long = await file("long.bin", randomBytes(40_000_000));
    await pick(alice, long);
    await card(bob, "offered");
    await press(bob, "accept");
    await card(bob, "active", "it.querySelector('progress').value > 0");
    await press(bob, "pause");
    await card(bob, "paused");
    await alice.page.reload();
    await card(bob, "waiting", "it.innerText.includes('Paused by you')");
    await bob.meet("Alice");
    await pick(alice, long);
    await bob.see(INCOMING, "all.length === 3 && it.dataset.state === 'offered' && it.innerText.includes('here already')");
    await bob.see(INCOMING, "all.at(-2).dataset.state === 'cancelled' && all.at(-2).innerText.includes('offers this again below')");
    await press(bob, "accept");
    await card(bob, "done");
    const [first, second] = await saved(bob, 2);
    assert.deepEqual([first.name, first.size, second.name, second.size], ["first.bin", 40_000_000, "long.bin", 40_000_000]);
  });

  scene("what goes wrong is said, with what to do", [kind, "chromium"], async ({ enter, guest }) => {
    const bob = await enter("Bob", { hash: "#lobby" });
    const alice = await member(guest, "alice");
    await bob.meet("alice");
    // No room, then some.
    await bob.run(() => {
      globalThis.full = true;
      const { estimate } = StorageManager.prototype;
      StorageManager.prototype.estimate = async function () {
        return full ? { quota: 1, usage: 1 } : estimate.call(this);
      };
    });
    await offering(alice, "big.bin", 500_000);
    await card(bob, "offered");
    await press(bob, "accept");
    await card(bob, "failed", "it.innerText.includes('no room left on this device')");
    await bob.see("#announcer", "it.textContent.includes('no room left')");
    await bob.run(() => (globalThis.full = false));
    await press(bob, "accept");
    await card(bob, "done");
    // A file that can't be read any more.
    await alice.run(async () => {
      const read = () => Promise.reject(new Error("it is gone"));
      globalThis.offer = await thread.offer({ name: "gone.bin", size: 400_000, read });
    });
    await card(bob, "offered");
    await press(bob, "accept");
    await card(bob, "failed", "it.innerText.includes('changed or moved') && it.innerText.includes('alice')");
    // Somebody who leaves.
    await offering(alice, "never.bin", 400_000);
    await card(bob, "offered");
    await alice.run(() => client.close());
    await card(bob, "closed", "it.innerText.includes('alice left')");
  });

  scene("one's own offer shows who takes it, and is withdrawn", [kind, "chromium", "firefox"], async ({ enter, guest }) => {
    const alice = await enter("Alice", { hash: "#lobby" });
    await pick(alice, await file("early.bin", randomBytes(4_000_000)));
    await ownCard(alice, "it.innerText.includes('Nobody else is here yet')");
    const bob = await member(guest, "bob");
    const carol = await member(guest, "carol");
    await alice.meet("carol");
    for (const [actor, limit] of [[bob, undefined], [carol, 500_000]]) {
      await actor.run(async (limit) => {
        const offer = await offered();
        globalThis.transfer = offer.accept({ to: "blob", limit });
      }, limit);
    }
    await bob.run(() => transfer.done.then(() => undefined));
    await alice.see("[data-role=receiver][data-id=bob]", "it.dataset.state === 'done'");
    await alice.see("[data-role=receiver][data-id=carol]", "it.dataset.state === 'active' && it.querySelector('progress').value > 0.1");
    await press(alice, "pause", OWN);
    await carol.run(() => reach(transfer, "paused"));
    await alice.see("[data-role=receiver][data-id=carol]", "it.dataset.state === 'paused' && it.innerText.includes('Paused by you')");
    await press(alice, "pause", OWN);
    await carol.run(() => reach(transfer, "active"));
    await press(alice, "withdraw", OWN);
    await ownCard(alice, "it.dataset.state === 'closed'");
    await carol.run(() => until(transfer, "state", () => transfer.state === "failed"));
    await alice.see("[data-role=receiver][data-id=carol]", "it.innerText.includes('took it back')");
  });

  scene("offers can be answered with the keyboard, and harm nobody", [kind, "chromium"], async ({ enter, guest }) => {
    const viewport = { width: 390, height: 780 };
    const bob = await enter("Bob", { hash: "#lobby", viewport });
    const mallory = await member(guest, "mallory");
    await bob.see("[data-role=thread-summary]", "it.textContent === 'You and 1 other · direct'");
    const evil = `<img src=x onerror="globalThis.harmed=1">`;
    await mallory.run(async (evil) => {
      const svg = new File([`<svg xmlns="http://www.w3.org/2000/svg"><script>harmed=1</script></svg>`], "picture.svg", { type: "image/svg+xml" });
      await thread.offer(svg);
      await thread.offer(new File(["no picture"], "picture.png", { type: "image/png" }), { thumbnail: new Blob(["nor this"], { type: "image/png" }) });
      await thread.offer(new File(["x"], `${evil}\u202egpj.exe`), { note: `${evil} https://example.org/ \u202e` });
      await thread.offer(Array.from({ length: 300 }, (_, index) => new File(["x"], `${"w".repeat(200)}${index}`)));
      await thread.offer(new File(["y"], "keyboard.txt"));
    }, evil);
    await bob.see(INCOMING, "all.length === 5");
    await bob.run(() => {
      for (const details of document.querySelectorAll("details")) details.open = true;
    });
    await bob.see("[data-role=offer-files] li", "all.length === 51");
    const tabTo = async (role) => {
      for (let steps = 0; steps < 60; steps += 1) {
        const there = await bob.run((role) => document.activeElement?.dataset.role === role && document.activeElement.closest("li").innerText.includes("keyboard.txt"), role);
        if (there) return;
        await bob.page.keyboard.press("Tab");
      }
      throw new Error(`Tab never comes to ${role}`);
    };
    await bob.page.focus("#transcript");
    await tabTo("accept");
    await bob.page.keyboard.press("Enter");
    await card(bob, "done");
    await bob.see("[data-role=save]", "document.activeElement === it");
    // The way to offer something is before the field.
    await bob.page.focus("textarea[name=message]");
    await bob.page.keyboard.down("Shift");
    await bob.page.keyboard.press("Tab");
    await bob.page.keyboard.up("Shift");
    await bob.see("[data-role=attach]", "document.activeElement === it");
    await bob.run(() => {
      const input = document.querySelector("input[name=files]");
      // Where it would open the browser's own window, which is out of the test's reach.
      input.addEventListener("click", (event) => {
        event.preventDefault();
        globalThis.asked = input.multiple;
      });
    });
    await bob.page.keyboard.press("Enter");
    await bob.see("html", "globalThis.asked === true");
    // All that can be shown of the others.
    await bob.run(() => {
      for (const button of document.querySelectorAll("[data-role=accept]")) if (button.checkVisibility()) button.click();
    });
    await bob.see(INCOMING, "all.every((row) => row.dataset.state === 'done')");
    const state = await bob.run(() => ({
      harmed: globalThis.harmed,
      elements: document.querySelectorAll("#messages :is(script, iframe, object, embed, img[src^='x'])").length,
      pictures: [...document.querySelectorAll("#messages img")].filter((image) => image.naturalWidth > 0).length,
      names: [...document.querySelectorAll("[data-role=offer-name]")].map((name) => name.textContent),
      width: document.documentElement.scrollWidth,
      cards: Math.max(...[...document.querySelectorAll(".offer")].map((card) => card.getBoundingClientRect().right)),
    }));
    assert.equal(state.harmed, undefined);
    assert.equal(state.elements, 0);
    assert.equal(state.pictures, 0);
    assert.ok(state.names.every((name) => !/[\u202a-\u202e\u2066-\u2069<>]/.test(name) || !name.includes("\u202e")), state.names.join("\n"));
    assert.ok(state.width <= 390 && state.cards <= 390, `${state.width} and ${state.cards} wide`);
  });
}
