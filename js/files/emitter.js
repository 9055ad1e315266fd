// Events of offers and transfers, with the same three methods that every object of the library has.

import { report } from "../runtime.js";
import { failure } from "./kit.js";

export class Emitter {
  #names;
  #listeners = [];

  constructor(names) {
    this.#names = names;
  }

  #add(name, listener, once) {
    this.#check(name);
    if (typeof listener !== "function") throw failure("invalid_option", "a listener must be a function");
    this.#listeners = [...this.#listeners, { name, listener, once }];
    return () => this.off(name, listener);
  }

  #check(name) {
    if (this.#names.includes(name)) return;
    throw failure("invalid_option", `there is no event "${String(name)}" here; there are ${this.#names.join(", ")}`);
  }

  on(name, listener) {
    return this.#add(name, listener, false);
  }

  once(name, listener) {
    return this.#add(name, listener, true);
  }

  off(name, listener) {
    this.#check(name);
    this.#listeners = this.#listeners.filter((entry) => entry.name !== name || (listener && entry.listener !== listener));
  }

  /** Calls those who listen now and still do when it is their turn. What they throw is the page's own error. */
  static emit(emitter, name, argument) {
    for (const entry of emitter.#listeners) {
      if (entry.name !== name || !emitter.#listeners.includes(entry)) continue;
      if (entry.once) emitter.#listeners = emitter.#listeners.filter((other) => other !== entry);
      try {
        entry.listener(argument);
      } catch (error) {
        report(error);
      }
    }
  }
}
