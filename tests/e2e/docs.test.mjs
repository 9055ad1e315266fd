// Every snippet of the README and of docs/ runs as it is printed: JavaScript as a module of a page, HTML as the page of a
// folder that the server serves, with the files behind `<!-- file: NAME -->` beside it, in both browsers. What stands behind `<!-- node -->` is a program for Node that meets another run of
// itself. What stands behind `<!-- no-run -->` is for yet another place (a bundler's configuration, say), and only has to
// be well-formed.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { Actor, Server, TEST_MS, inCheckout, launch, stop } from "./support.mjs";

const FILES = ["README.md", ...readdirSync(inCheckout("docs")).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`)];

/** The fenced blocks of a page of documentation. */
function snippets(file) {
  const lines = readFileSync(inCheckout(file), "utf8").split("\n");
  const found = [];
  for (let index = 0; index < lines.length; index += 1) {
    const fence = lines[index].match(/^```(js|html)\b/);
    if (!fence) continue;
    const before = lines.slice(Math.max(0, index - 2), index).join("\n");
    const end = lines.indexOf("```", index + 1);
    found.push({
      language: fence[1],
      where: `${file}:${index + 1}`,
      file: before.match(/<!-- file: (\S+) -->/)?.[1],
      place: before.includes("<!-- file:") ? "folder" : before.includes("<!-- no-run -->") ? "elsewhere" : before.includes("<!-- node -->") ? "node" : "page",
      source: lines.slice(index + 1, end).join("\n"),
    });
    index = end;
  }
  return found;
}

const ALL = FILES.flatMap(snippets);
let server;
before(async () => (server = await Server.start()));
after(() => server?.stop());

test("there are snippets to run, a page among them", () => {
  assert(ALL.some(({ language, place }) => language === "js" && place === "page"), "no JavaScript");
  assert(ALL.some(({ language, place }) => language === "html" && place === "page"), "no HTML");
  assert(ALL.some(({ place }) => place === "node"), "no program");
});

for (const { where, source, language } of ALL.filter(({ place }) => place === "elsewhere")) {
  test(`${where} is well-formed`, { skip: language !== "js" && "not JavaScript" }, () => {
    execFileSync(process.execPath, ["--input-type=module", "--check", "-"], { input: source });
  });
}

/** A program of the documentation, under that id, and what it prints. */
function program(source, id) {
  const args = ["--input-type=module", "-", `ws://${server.address}/peerloom`, id, "documented"];
  const child = launch(process.execPath, args, { cwd: inCheckout("."), stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.end(source);
  const printed = [];
  child.stderr.on("data", (data) => printed.push(`stderr: ${data}`));
  const lines = createInterface({ input: child.stdout });
  lines.on("line", (line) => printed.push(line));
  const prints = async (text) => {
    while (!printed.includes(text)) {
      const more = new Promise((resolve) => lines.once("line", () => resolve(true)));
      if (!(await Promise.race([more, child.ended.then(() => false)]))) assert.fail(`ended: ${printed.join("; ")}`);
    }
  };
  return { child, prints, printed };
}

for (const { where, source } of ALL.filter(({ place }) => place === "node")) {
  test(`${where} meets another one`, { timeout: TEST_MS }, async () => {
    const both = [program(source, "ada"), program(source, "ben")];
    const [ada, ben] = both;
    try {
      await Promise.all([ada.prints("ben: hello ada, I am ben"), ben.prints("ada: hello ben, I am ada")]);
      await server.kill();
      await server.restart();
      const cleo = program(source, "cleo");
      both.push(cleo);
      await Promise.all([ada.prints("cleo: hello ada, I am cleo"), cleo.prints("ben: hello cleo, I am ben")]);
      for (const { child } of both) assert.equal(await stop(child).then(() => child.exitCode), 0, "it says goodbye");
      assert.deepEqual(ada.printed, ["ben: hello ada, I am ben", "cleo: hello ada, I am cleo"]);
    } finally {
      for (const { child } of both) await stop(child, "SIGKILL");
    }
  });
}

/** A page of the documentation is a chat: opened twice, what is written in one is read in the other. */
async function chats(kind, file, html) {
  const folder = mkdtempSync(join(tmpdir(), "peerloom-page-"));
  const actors = [];
  let site;
  try {
    writeFileSync(join(folder, "index.html"), html);
    for (const beside of ALL.filter((other) => other.place === "folder" && other.where.startsWith(`${file}:`))) {
      writeFileSync(join(folder, beside.file), beside.source);
    }
    // With the server's own policy, which a page must get along with.
    site = await Server.start(["--site", folder]);
    for (const name of ["reader", "second reader"]) actors.push(await Actor.open(kind, name, site.url));
    const [one, other] = actors;
    await Promise.race(actors.map((actor) => actor.see("li", `/ is here$/.test(it.textContent)`)));
    await one.run(() => {
      const line = document.querySelector("input");
      line.value = "hello";
      line.dispatchEvent(new Event("change"));
    });
    await other.see("li", `/: hello$/.test(it.textContent)`);
    for (const { faults } of actors) assert.deepEqual(faults, []);
  } finally {
    for (const actor of actors) await actor.close();
    await site?.stop();
    rmSync(folder, { recursive: true });
  }
}

for (const kind of ["chromium", "firefox"]) {
  for (const { where, source, language } of ALL.filter(({ place }) => place === "page")) {
    test(`${where} runs (${kind})`, { timeout: TEST_MS }, async () => {
      if (language === "html") return chats(kind, where.split(":")[0], source);
      const actor = await Actor.open(kind, "reader", `${server.url}healthz`);
      try {
        // Where a bundler or an import map would find the package, the test does.
        const resolved = source.replaceAll(/(from|import)(\s*\(?)"peerloom"/g, `$1$2"${server.url}pkg/index.js"`);
        await actor.run(async (text) => {
          const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
          await import(url);
        }, resolved);
        assert.deepEqual(actor.faults, []);
      } finally {
        await actor.close();
      }
    });
  }
}
