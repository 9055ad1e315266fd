// What the browser's processes use, as Linux tells it in /proc; where there is none, nothing is known.

import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";

/** Clock ticks a second that /proc counts in: 100 on every Linux (proc_pid_stat(5), `USER_HZ`). */
const TICKS = 100;
const MIB = 2 ** 20;

/** What a file of a process says; empty if it is gone. */
function told(id, name) {
  try {
    return readFileSync(`/proc/${id}/${name}`, "utf8");
  } catch {
    return "";
  }
}

/** A process's parent, and the seconds that it has run, as itself and in the kernel. */
function stat(id) {
  const text = told(id, "stat");
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return text && { parent: Number(fields[1]), seconds: (Number(fields[11]) + Number(fields[12])) / TICKS };
}

/** Bytes in memory now, and at most since `forget`. */
function memory(id) {
  const text = told(id, "status");
  const bytes = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? 0) * 1024;
  return { present: bytes("VmRSS"), peak: bytes("VmHWM") };
}

/** The peak is what it is now (proc_pid_clear_refs(5)). */
function forget(id) {
  try {
    writeFileSync(`/proc/${id}/clear_refs`, "5");
  } catch {
    // It is gone.
  }
}

export class Processes {
  static supported = existsSync("/proc/self/clear_refs");
  #root;

  constructor(root) {
    this.#root = root;
  }

  /** All of them, by id. */
  #all() {
    const stats = new Map();
    for (const name of readdirSync("/proc")) {
      const found = /^\d+$/.test(name) && stat(name);
      if (found) stats.set(Number(name), found);
    }
    const mine = new Map();
    const isMine = (id) => id === this.#root || (stats.has(id) && isMine(stats.get(id).parent));
    for (const [id, found] of stats) if (isMine(id)) mine.set(id, found);
    return mine;
  }

  /** Seconds that all of them have run. */
  seconds() {
    let sum = 0;
    for (const { seconds } of this.#all().values()) sum += seconds;
    return sum;
  }

  /** The process of a page: the one that runs while the page is busy. */
  async of(page) {
    const before = this.#all();
    await page.evaluate(() => {
      const end = performance.now() + 300;
      while (performance.now() < end);
    });
    let most = { seconds: 0 };
    for (const [id, { seconds }] of this.#all()) {
      const ran = seconds - (before.get(id)?.seconds ?? seconds);
      if (ran > most.seconds) most = { id, seconds: ran };
    }
    return most.id;
  }

  /**
   * Begins to watch their memory (resident, with what they share). What it returns gives MiB at the peak above what was there
   * at first: of the processes in `named`, by name, and of all others together.
   */
  watch(named) {
    const first = new Map();
    for (const id of this.#all().keys()) {
      forget(id);
      first.set(id, memory(id).present);
    }
    return () => {
      const names = new Map(Object.entries(named).map(([name, id]) => [id, name]));
      const grown = { others: 0 };
      for (const id of this.#all().keys()) {
        const name = names.get(id) ?? "others";
        grown[name] = (grown[name] ?? 0) + (memory(id).peak - (first.get(id) ?? 0)) / MIB;
      }
      return grown;
    };
  }
}
