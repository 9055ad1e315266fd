// The card of files that somebody offers: take them or not, see them come, hold them, keep them.
// @ts-check

import { filled, h, icon, inNextFrame } from "./dom.js";
import { OfferCard } from "./offer-card.js";
import { TransferBar } from "./transfer-bar.js";
import { shareText } from "./units.js";

/** @typedef {import("./offer.js").Offer} Offer */

export class OfferView {
  /** @param {Offer} offer */
  constructor(offer) {
    this.offer = offer;
    this.card = new OfferCard();
    this.element = this.card.element;
    this.card.describe(offer.sdk);
    this.progress = new TransferBar(`Progress of ${offer.sdk.name}`);
    this.outcome = h("p", { className: "offer-outcome" });
    this.outcome.dataset.role = "offer-outcome";
    this.take = this.button("accept", "primary", () => offer.accept());
    this.hold = this.button("pause", "", () => (offer.isPausedHere ? offer.resume() : offer.pause()));
    this.keep = this.button("save", "", () => void this.save());
    this.stop = this.button("cancel", "quiet", () => offer.cancel());
    this.refuse = this.button("decline", "quiet", () => offer.decline());
    this.stop.append("Cancel");
    this.refuse.append("Decline");
    this.buttons = h("div", { className: "buttons" }, this.take, this.hold, this.keep, this.stop, this.refuse);
    this.element.append(this.progress.element, this.outcome, this.buttons);
    /** What the parts below were drawn for. */
    this.drawn = "";
    this.update = inNextFrame(() => this.draw());
    this.stopListening = offer.onChange(this.update);
    this.draw();
  }

  /** @param {string} role @param {string} className @param {() => void} act */
  button(role, className, act) {
    const button = h("button", { type: "button", className, onclick: act });
    button.dataset.role = role;
    return button;
  }

  draw() {
    const { offer } = this;
    const { sdk, state, isUnderWay } = offer;
    if (isUnderWay && sdk.transfer !== undefined) this.progress.show(sdk.transfer.progress, this.pausedWords());
    const drawn = JSON.stringify([state, offer.isPausedHere, offer.canAccept, offer.trouble, offer.files.length, isUnderWay || offer.begun]);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    this.card.keepingFocus(() => this.arrange());
    const [first] = offer.files;
    if (offer.files.length === 1 && first !== undefined) this.card.show(first);
  }

  /** Which parts there are in this state. */
  arrange() {
    const { offer } = this;
    const { state, isUnderWay, canAccept } = offer;
    const row = this.element.closest("li");
    if (row !== null) row.dataset.state = state;
    this.element.dataset.state = state;
    this.progress.element.hidden = !isUnderWay;
    const words = this.outcomeWords();
    const sign = state === "done" ? icon("check") : state === "failed" ? icon("warning") : null;
    this.outcome.replaceChildren(...(sign === null ? [] : [sign]), h("span", {}, ...words));
    this.outcome.hidden = words.length === 0;
    this.take.hidden = isUnderWay || !canAccept || state === "declined" || state === "done";
    this.take.replaceChildren(...(offer.begun > 0 ? ["Go on"] : state === "offered" ? [icon("save"), "Accept"] : ["Try again"]));
    this.hold.hidden = !isUnderWay || (state === "paused" && !offer.isPausedHere);
    this.hold.replaceChildren(icon(offer.isPausedHere ? "play" : "pause"), offer.isPausedHere ? "Resume" : "Pause");
    this.keep.hidden = state !== "done" || offer.files.length === 0;
    this.keep.replaceChildren(icon("save"), "Save again");
    this.stop.hidden = !isUnderWay;
    this.refuse.hidden = state !== "offered" || !canAccept;
    this.buttons.hidden = [...this.buttons.children].every((button) => button instanceof HTMLElement && button.hidden);
  }

  /** Why nothing moves; nothing if it does. @returns {(string | Node)[] | undefined} */
  pausedWords() {
    const { offer } = this;
    if (offer.isPausedHere) return ["Paused by you."];
    if (offer.state === "paused") return filled("Paused by {name}.", offer.owner);
    if (offer.state !== "waiting") return undefined;
    switch (offer.sdk.from.state) {
      case "offline":
        return filled("{name} is away. It goes on when they are back, or offer the same files again.", offer.owner);
      case "live":
      case "relayed":
        return ["Beginning…"];
      default:
        return filled("Waiting for the link to {name}.", offer.owner);
    }
  }

  /** @returns {(string | Node)[]} */
  outcomeWords() {
    const { offer } = this;
    const { sdk, state } = offer;
    if (state === "done") return [h("b", {}, "Verified"), ` and saved to your downloads${sdk.files.length > 1 ? " as a ZIP file" : ""}`];
    if (state === "declined") return ["You declined this."];
    const words = offer.trouble === "" ? [] : filled(offer.trouble, offer.owner);
    if (offer.begun > 0 && !offer.isUnderWay && offer.canAccept) {
      words.push(`${words.length === 0 ? "" : " "}${shareText(offer.begun, sdk.size)} are here already.`);
    }
    return words;
  }

  async save() {
    this.keep.setAttribute("aria-busy", "true");
    try {
      await this.offer.save();
      this.keep.replaceChildren(icon("check"), "Saved");
    } catch {
      this.keep.replaceChildren(icon("warning"), "Could not be saved");
    } finally {
      this.keep.removeAttribute("aria-busy");
    }
  }

  release() {
    this.stopListening();
    this.card.release();
  }
}
