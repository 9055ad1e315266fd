// Files between the two pages, the same for every contender: `files.mjs` calls these functions. The contender's pipe has
//   sendFile(file)    sends it, as a user of that library would
//   onfile            called with the Blob that has arrived
// and its `text` goes beside a file where the contender has a way for that.

import { hear, now, pipe } from "./page.js";

/** Milliseconds in which a file arrives, or never. */
const PATIENCE = 150_000;

let arrival;

/** Readies the waiting side for a file. */
function expectFile() {
  arrival = new Promise((resolve) => {
    pipe.onfile = (file) => resolve({ file, at: now() });
    setTimeout(() => resolve({}), PATIENCE);
  });
}

/** When all of it was there. */
async function fileEnd() {
  return (await arrival).at;
}

/** The hash of what came, which is let go of; `undefined` if nothing did. */
async function takeFile() {
  const { file } = await arrival;
  arrival = undefined;
  if (!file) return undefined;
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", await file.arrayBuffer()));
  const root = await navigator.storage.getDirectory();
  for await (const name of root.keys()) await root.removeEntry(name, { recursive: true });
  return hash.toHex?.() ?? Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Sends the file that was put into the page; when that began. */
async function sendFile() {
  const [file] = document.querySelector("input").files;
  const at = now();
  await pipe.sendFile(file);
  return at;
}

let finish;

/** Says something, waits for the answer, takes a breath, and so on. */
function startChat(breath) {
  const times = [];
  let goesOn = true;
  const over = (async () => {
    while (goesOn) {
      const began = performance.now();
      await new Promise((resolve) => {
        hear(resolve);
        pipe.text("x".repeat(64));
      });
      times.push(performance.now() - began);
      await new Promise((resolve) => setTimeout(resolve, breath));
    }
    hear(() => {});
  })();
  finish = async () => {
    goesOn = false;
    await over;
    return times;
  };
}

/** How long each answer took, in milliseconds. */
const endChat = () => finish();

Object.assign(globalThis.bench, { expectFile, fileEnd, takeFile, sendFile, startChat, endChat });
