// Who does the work on pieces: the worker, or, where a page can have none, this thread.

import * as piece from "./piece.js";
import * as source from "./source.js";

const HERE = { ...piece, ...source };
const TRIES = 3;

let worker;
let started;
/** How often it came to an error, which a page's policy can be the reason for: that does not change. */
let failures = 0;
let number = 0;
const waiting = new Map();

/** The worker's address is the library's; a page of another origin has to go through one of its own. */
function make() {
  const address = new URL("./files-worker.js", import.meta.url);
  if (address.origin === globalThis.location?.origin) return new Worker(address, { type: "module" });
  const own = URL.createObjectURL(new Blob([`import ${JSON.stringify(String(address))}`], { type: "text/javascript" }));
  return new Worker(own, { type: "module" });
}

function start() {
  started ??= new Promise((resolve) => {
    try {
      worker = make();
    } catch {
      resolve(false);
      return;
    }
    worker.addEventListener("message", ({ data: [answered, result, error] }) => {
      const { resolve, reject } = waiting.get(answered) ?? {};
      waiting.delete(answered);
      if (error) reject?.(new DOMException(error.message, error.name));
      else resolve?.(result);
    });
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      worker = undefined;
      // The next one to need it tries again: the network may have been gone.
      failures += 1;
      if (failures < TRIES) started = undefined;
      resolve(false);
      for (const { reject } of waiting.values()) reject(new DOMException("the worker ended", "AbortError"));
      waiting.clear();
    });
    ask("hash", [new Uint8Array(1)], []).then(() => resolve(true), () => resolve(false));
  });
  return started;
}

function ask(operation, given, transfer) {
  return new Promise((resolve, reject) => {
    number += 1;
    waiting.set(number, { resolve, reject });
    worker.postMessage([number, operation, ...given], transfer);
  });
}

/** Whether there is a worker, which alone can write in place. */
export function hasWorker() {
  return start();
}

/** Has something done; `given` is handed over, and with it the buffers in `transfer`. */
export async function labour(operation, given, transfer = []) {
  if (await start()) return ask(operation, given, transfer);
  return HERE[operation](...given);
}
