// How far a transfer is: a bar of yarn, and the same in words. It is made once and then only changed, as often as the SDK
// tells, which is ten times a second at most.
// @ts-check

import { h } from "./dom.js";
import { rateText, shareText, timeText } from "./units.js";

/** @typedef {import("../js/index.js").Progress} Progress */

export class TransferBar {
  /** @param {string} label */
  constructor(label) {
    this.bar = h("progress", { max: 1, value: 0, "aria-label": label });
    this.bar.dataset.role = "offer-progress";
    this.words = h("p", { className: "offer-words" });
    this.words.dataset.role = "offer-words";
    this.element = h("div", { className: "offer-progress" }, this.bar, this.words);
  }

  /**
   * @param {Progress} progress
   * @param {(string | Node)[]} [instead]  of rate and time left, where nothing moves
   */
  show({ bytes, total, rate, eta }, instead) {
    this.bar.value = total === 0 ? 0 : bytes / total;
    const amount = shareText(bytes, total);
    if (instead !== undefined) {
      this.say([...instead, ` ${amount}`]);
      return;
    }
    const parts = [amount, rate > 0 ? rateText(rate) : "", eta === null || rate === 0 ? "" : `${timeText(eta)}\u00a0left`];
    this.say([parts.filter((part) => part !== "").join(" · ")]);
  }

  /** @param {(string | Node)[]} words */
  say(words) {
    const text = words.map((part) => (typeof part === "string" ? part : part.textContent)).join("");
    // A selection in it, or a screen reader that reads it, is not disturbed without need.
    if (this.words.textContent !== text) this.words.replaceChildren(...words);
  }
}
