// The demo, as visitors meet it: a thread and its link, names, chat, several threads at once, hostile guests, a lost
// server, and no mouse.

import assert from "node:assert/strict";
import { PAIRS } from "./support.mjs";
import { scene } from "./visitor.mjs";

for (const kinds of PAIRS) {
  scene("one starts a thread and shares its link, the other comes, and they talk", kinds, async ({ enter }) => {
    const alice = await enter("Alice");
    await alice.see("html[data-view=start]");
    await alice.call("Alice");
    await alice.click("#start [data-role=new-thread]");
    await alice.see("html[data-view=thread]");
    await alice.see("[data-role=alone]");
    const link = await alice.link();
    assert.match(link, /^http:\/\/127\.0\.0\.1:\d+\/#[a-z0-9]{26}$/);

    const bob = await enter("Bob", { hash: link });
    await bob.see("html[data-view=thread]");
    await alice.see("[data-role=notice][data-kind=join]");
    await bob.call("Bob");
    await alice.notice("name", "is now Bob");
    await alice.meet("Bob");
    await bob.meet("Alice");
    await alice.see("[data-role=thread-summary]", "it.textContent === 'You and 1 other · direct'");

    await alice.say("hello Bob");
    await bob.hear("hello Bob");
    await alice.see("[data-role=message][data-own=true]", "it.dataset.state === 'delivered'");
    await bob.say("read https://example.org/a?b=1#c, and www");
    await alice.hear("read https://example.org/a?b=1#c, and www");
    await bob.see("[data-role=message][data-own=true]", "it.dataset.state === 'delivered'");
    const [anchor] = await alice.run(() => [...document.querySelectorAll("[data-role=text] a")].map((a) => [a.href, a.rel, a.target, a.textContent]));
    assert.deepEqual(anchor, ["https://example.org/a?b=1#c", "noopener noreferrer nofollow", "_blank", "https://example.org/a?b=1#c"]);

    // Leaving says so; closing the page too.
    await bob.click("[data-role=leave]");
    await bob.see("dialog#ask", "it.open");
    await bob.click("[data-role=yes]");
    await bob.see("html[data-view=start]");
    await alice.see("[data-role=notice][data-kind=leave]", "it.dataset.reason === 'left' && it.textContent.includes('Bob')");
    await alice.see("[data-role=nobody]");
    await alice.say("anybody?");
    await alice.see("[data-role=message][data-own=true]", "it.dataset.state === 'unheard'");
    await bob.page.goto(link);
    await bob.page.reload();
    await bob.meet("Alice");
    await alice.click("[data-role=retry]");
    await bob.hear("anybody?");
    await bob.page.goto("about:blank");
    await alice.see("[data-role=notice][data-kind=leave]", "it.dataset.reason === 'left'");
    await alice.see("[data-role=thread-summary]", "it.textContent === 'Only you are here'");
  });
}

scene("several threads at once, with what is unread in each", ["chromium", "firefox"], async ({ enter }) => {
  const alice = await enter("Alice", { hash: "#first" });
  const bob = await enter("Bob", { hash: "#first" });
  await alice.see("[data-role=person][data-state=live]");
  for (const visitor of [alice, bob]) {
    await visitor.click("[data-role=join-open]");
    await visitor.page.keyboard.type("second");
    await visitor.page.keyboard.press("Enter");
    await visitor.see("[data-role=thread-title]", "it.textContent === 'second'");
  }
  for (const visitor of [alice, bob]) await visitor.see("[data-role=person][data-state=live]");
  // Alice stays in the second one; Bob talks in the first.
  await bob.click("[data-role=thread][data-id=first] a");
  await bob.see("[data-role=thread-title]", "it.textContent === 'first'");
  await bob.say("one");
  await bob.say("two");
  await alice.see("[data-role=thread][data-id=first]", "it.dataset.unread === '2'");
  await alice.see("title", "it.textContent.startsWith('(2) ')");
  assert.equal(await alice.run(() => document.querySelectorAll("[data-role=message]").length), 0);
  await alice.click("[data-role=thread][data-id=first] a");
  await alice.hear("two");
  await alice.see("[data-role=thread][data-id=first]", "it.dataset.unread === '0'");
  // A reload brings both back.
  await alice.page.reload();
  await alice.see("html[data-client=online]");
  await alice.see("[data-role=thread]", "all.map((row) => row.dataset.id).join() === 'first,second'");
  await bob.see("[data-role=thread-summary]", "it.textContent === 'You and 1 other · direct'");
  await bob.say("welcome back");
  await alice.hear("welcome back");
  // Leaving one is leaving that one.
  await alice.click("[data-role=thread][data-id=second] button");
  await alice.see("[data-role=thread]", "all.length === 1");
  await bob.click("[data-role=thread][data-id=second] a");
  await bob.see("[data-role=thread-summary]", "it.textContent === 'Only you are here'");
});

for (const kind of ["chromium", "firefox"]) {
  scene("hostile names and messages do no harm", [kind, "chromium"], async ({ enter, guest }) => {
    const evil = `<img src=x onerror="globalThis.harmed=1">`;
    const alice = await enter("Alice", { hash: `#${encodeURIComponent(evil)}` });
    await alice.see("[data-role=thread-title]", `it.textContent === ${JSON.stringify(evil)}`);
    const mallory = await guest("mallory");
    const messages = [
      evil,
      `<script>globalThis.harmed=1</script>`,
      `javascript:globalThis.harmed=1 data:text/html,<script>harmed=1</script> file:///etc/passwd`,
      `https://example.org/"onmouseover="harmed=1" https://user:pass@evil.example/`,
      `\u202e gro.elpmaxe \u0000 \ufeff`,
      "x".repeat(2_000_000),
      "\n".repeat(5_000),
    ];
    await mallory.run(async (id, evil, messages) => {
      await online("mallory", { userData: { name: evil } });
      await join(id, { userData: { name: `\u202e${evil}`, ...JSON.parse('{"__proto__": {"harmed": 1}}') } });
      await reach([...thread.members.values()][0].peer, "live");
      for (const message of messages) await thread.send(message);
      for (const data of [null, 5n, new Map([[evil, evil]]), { toString: evil }, new Blob([evil], { type: "text/html" })]) await thread.send(data);
      // Names that change all the time, and that are no names at all.
      for (const userData of [null, 7, [], { name: { toString: 1 } }, { name: "" }, { name: "\u200b\u200d" }, { name: "y".repeat(3_000) }, { name: "<b>bold</b>" }]) {
        thread.setUserData(userData);
      }
      await thread.send("the end");
    }, evil, evil, messages);
    await alice.hear("the end");
    await alice.see("[data-role=person] .name", "it.textContent === '<b>bold</b>'");
    const state = await alice.run(() => ({
      harmed: globalThis.harmed,
      polluted: {}.harmed,
      elements: document.querySelectorAll("#messages :is(img, script, iframe, b), #people-list :is(img, b), #thread-title img").length,
      links: [...document.querySelectorAll("#messages a")].map((link) => link.href),
      shown: [...document.querySelectorAll("[data-role=text]")].map((text) => text.textContent.slice(0, 60)),
      longest: Math.max(...[...document.querySelectorAll("[data-role=text]")].map((text) => text.textContent.length)),
    }));
    assert.equal(state.harmed, undefined);
    assert.equal(state.polluted, undefined);
    assert.equal(state.elements, 0);
    assert.deepEqual(state.links, ["https://example.org/", "https://user:pass@evil.example/"]);
    assert.ok(state.shown.includes(evil.slice(0, 60)), state.shown.join("\n"));
    assert.ok(state.longest < 5_000, `${state.longest} characters at once`);
    // The page still works.
    await alice.say("still here");
    await alice.see("[data-role=message][data-own=true]", "it.dataset.state === 'delivered'");
  });

  scene("everything can be done with the keyboard", [kind], async ({ enter }) => {
    const alice = await enter("Alice");
    const press = (key) => alice.page.keyboard.press(key);
    const shift = async (key) => {
      await alice.page.keyboard.down("Shift");
      await press(key);
      await alice.page.keyboard.up("Shift");
    };
    // In the direction where it is: behind the last element lies the browser's own interface.
    const tabTo = async (selector, step = press) => {
      for (let steps = 0; steps < 40; steps += 1) {
        if (await alice.run((selector) => document.activeElement.matches(selector), selector)) return;
        await step("Tab");
      }
      throw new Error(`Tab never comes to ${selector}`);
    };
    await tabTo("#start [data-role=new-thread]");
    await press("Enter");
    await alice.see("html[data-view=thread]");
    await alice.see("textarea[name=message]", "document.activeElement === it");
    await alice.page.keyboard.type("two");
    await shift("Enter");
    await alice.page.keyboard.type("lines");
    await press("Enter");
    await alice.see("[data-role=message][data-own=true] [data-role=text]", "it.textContent === 'two\\nlines'");
    await tabTo("[data-role=invite]", shift);
    await press("Enter");
    await alice.see("dialog#share", "it.open && it.contains(document.activeElement)");
    await press("Escape");
    await alice.see("[data-role=invite]", "document.activeElement === it && !document.querySelector('dialog#share').open");
    await tabTo("[data-role=edit-name]", shift);
    await press("Enter");
    await alice.see("dialog#name", "it.open");
    await alice.page.keyboard.type("Ada");
    await press("Enter");
    await alice.see("[data-role=me] .name", "it.textContent === 'Ada'");
    await tabTo("[data-role=leave]");
    await press("Enter");
    await alice.see("dialog#ask", "it.open && document.activeElement.dataset.role === 'yes'");
    await press("Enter");
    await alice.see("html[data-view=start]", "document.activeElement.id === 'start-title'");
  });
}

scene("a lost server is told, and chat goes on", ["chromium", "firefox"], async ({ enter, server }) => {
  const alice = await enter("Alice", { hash: "#lobby" });
  const bob = await enter("Bob", { hash: "#lobby" });
  for (const visitor of [alice, bob]) await visitor.see("[data-role=person][data-state=live]");
  await server.kill();
  for (const visitor of [alice, bob]) await visitor.see("[data-role=banner][data-kind=recovering]");
  await alice.say("directly");
  await bob.hear("directly");
  await server.restart();
  for (const visitor of [alice, bob]) {
    await visitor.see("html[data-client=online]");
    await visitor.see("#banners", "it.children.length === 0");
    await visitor.see("[data-role=person]", "all.length === 1 && it.dataset.state === 'live'");
  }
  await bob.say("and back");
  await alice.hear("and back");
  for (const visitor of [alice, bob]) assert.equal(await visitor.run(() => document.querySelectorAll("[data-role=notice][data-kind=leave]").length), 0);
}, { faults: /connection to '?ws:|can’t establish a connection/i });

scene("on a phone, lists slide over the chat", ["chromium", "chromium"], async ({ enter }) => {
  const viewport = { width: 390, height: 780, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
  const alice = await enter("Alice", { hash: "#lobby", viewport });
  await enter("Bob", { hash: "#lobby" });
  await alice.see("[data-role=thread-summary]", "it.textContent === 'You and 1 other · direct'");
  await alice.click("#people-button");
  await alice.see("dialog#people-sheet", "it.open && it.querySelector('[data-role=person]') !== null");
  await alice.page.keyboard.press("Escape");
  await alice.see("dialog#people-sheet", "!it.open");
  await alice.click("#threads-button");
  await alice.see("dialog#threads-sheet", "it.open && it.querySelector('[data-role=thread]') !== null");
  await alice.page.keyboard.press("Escape");
  const widths = await alice.run(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(widths[0] <= widths[1], `the page is ${widths[0]} wide on a screen of ${widths[1]}`);
});

for (const kind of ["chromium", "firefox"]) {
  scene("the connection check says what works, and can be copied", [kind], async ({ enter, server }) => {
    const alice = await enter("Alice", { hash: "#lobby" });
    await alice.click("[data-role=check-open]");
    await alice.see("dialog#check", "it.open && it.contains(document.activeElement)");
    await alice.see("dialog#check", "it.dataset.state === 'ok'");
    await alice.see("[data-role=check]", "all.length === 10 && all.every((row) => ['passed', 'skipped'].includes(row.dataset.status))");
    await alice.see("[data-role=check][data-name=dataChannel]", "it.dataset.status === 'passed' && it.innerText.includes('Passed')");
    await alice.see("[data-role=check][data-name=stun]", "it.dataset.status === 'skipped' && it.innerText.includes('No STUN server')");
    await alice.click("[data-role=check-copy]");
    await alice.see("[data-role=check-copy]", "it.innerText !== 'Copy report'");
    // With the devices, which the tests' browsers feign.
    await alice.click("[data-role=check-media]");
    await alice.see("[data-role=check][data-name=camera]", "it.innerText.includes('The camera can be opened.') && document.querySelector('dialog#check').dataset.state === 'ok'");
    await alice.page.keyboard.press("Escape");
    await alice.see("dialog#check", "!it.open");
    // Where something fails, it is offered, and names it.
    await server.kill();
    await alice.see("[data-role=banner][data-kind=recovering]");
    await alice.click("[data-role=banner] [data-role=check-open]");
    await alice.see("dialog#check", "it.open && it.dataset.state === 'failed'");
    await alice.see("[data-role=check][data-name=webSocket]", "it.dataset.status === 'failed' && it.querySelector('.remedy').textContent.includes('address')");
    await alice.see("[data-role=check-result]", "it.textContent.startsWith('The server')");
    await server.restart();
    await alice.see("html[data-client=online]");
    await alice.click("[data-role=check-again]");
    await alice.see("dialog#check", "it.dataset.state === 'ok'");
  }, { faults: /connection to '?ws:|can’t establish a connection/i });
}
