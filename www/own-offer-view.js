// The card of files that one offers oneself: who takes them, how far each is, and a way to take them back.
// @ts-check

import { avatar, h, icon, inNextFrame, isolated } from "./dom.js";
import { OfferCard } from "./offer-card.js";
import { TransferBar } from "./transfer-bar.js";

/** @typedef {import("./own-offer.js").OwnOffer} OwnOffer */
/** @typedef {OwnOffer extends { receivers: Map<string, infer One> } ? One : never} Receiver */

export class OwnOfferView {
  /** @param {OwnOffer} offer @param {() => boolean} isAlone  nobody else is in the thread */
  constructor(offer, isAlone) {
    this.offer = offer;
    this.isAlone = isAlone;
    this.card = new OfferCard();
    this.element = this.card.element;
    this.outcome = h("p", { className: "offer-outcome" });
    this.outcome.dataset.role = "offer-outcome";
    this.list = h("ul", { className: "receivers" });
    this.take = h("button", { type: "button", className: "quiet", onclick: () => offer.withdraw() }, "Withdraw");
    this.take.dataset.role = "withdraw";
    this.buttons = h("div", { className: "buttons" }, this.take);
    this.element.append(this.outcome, this.list, this.buttons);
    /** @type {Map<string, ReceiverRow>} */
    this.rows = new Map();
    this.isDescribed = false;
    this.update = inNextFrame(() => this.draw());
    this.stopListening = offer.onChange(this.update);
    this.draw();
  }

  draw() {
    this.card.keepingFocus(() => this.arrange());
  }

  arrange() {
    const { offer } = this;
    const { state, sdk, receivers } = offer;
    if (sdk !== undefined && !this.isDescribed) {
      this.isDescribed = true;
      this.card.describe(sdk);
    }
    const row = this.element.closest("li");
    if (row !== null) row.dataset.state = state;
    this.element.dataset.state = state;
    if (sdk === undefined) this.card.name.textContent = state === "failed" ? "Not offered" : "Your files";
    const words = this.words();
    if (this.outcome.textContent !== words) this.outcome.replaceChildren(...(state === "failed" ? [icon("warning"), h("span", {}, words)] : [words]));
    this.outcome.hidden = words === "";
    for (const receiver of receivers.values()) {
      let known = this.rows.get(receiver.id);
      if (known === undefined) {
        known = new ReceiverRow(receiver, offer);
        this.rows.set(receiver.id, known);
        this.list.append(known.element);
      }
      known.draw();
    }
    this.list.hidden = this.rows.size === 0;
    this.buttons.hidden = state !== "open" && state !== "preparing";
  }

  words() {
    const { state, problem, closed, receivers, underWay } = this.offer;
    if (state === "preparing") return "Getting ready…";
    if (state === "failed") return problem;
    if (state === "closed") return closed === "expired" ? "This offer has run out." : "You took this back.";
    if (receivers.size > 0) return underWay > 0 ? "Keep this page open until they have it." : "";
    return this.isAlone() ? "Nobody else is here yet. Whoever comes can have it, as long as this page is open." : "Offered. Nothing is sent until somebody accepts.";
  }

  release() {
    this.stopListening();
    this.card.release();
  }
}

/** One who takes it, or does not. */
class ReceiverRow {
  /** @param {Receiver} receiver @param {OwnOffer} offer */
  constructor(receiver, offer) {
    this.receiver = receiver;
    this.progress = new TransferBar(`Progress for ${receiver.name}`);
    this.state = h("p", { className: "receiver-state" });
    this.hold = h("button", { type: "button", className: "icon-button", onclick: () => offer.pause(receiver.id, !receiver.isPausedHere) });
    this.hold.dataset.role = "pause";
    const label = `Cancel for ${receiver.name}`;
    this.stop = h("button", { type: "button", className: "icon-button", "aria-label": label, title: label, onclick: () => offer.cancel(receiver.id) }, icon("close"));
    this.stop.dataset.role = "cancel";
    this.about = h("div", { className: "about" }, isolated(receiver.name, "name"), this.state, this.progress.element);
    this.element = h("li", { className: "receiver" }, avatar(receiver.id, receiver.name), this.about, this.hold, this.stop);
    this.element.dataset.role = "receiver";
    this.element.dataset.id = receiver.id;
    this.drawn = "";
  }

  draw() {
    const { receiver } = this;
    const { state, isUnderWay, isPausedHere, isAway, isReplaced, transfer, trouble } = receiver;
    if (isUnderWay && transfer !== undefined) this.progress.show(transfer.progress, this.pausedWords());
    const drawn = JSON.stringify([state, isPausedHere, isAway, isReplaced, trouble]);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    this.element.dataset.state = state;
    this.element.hidden = isAway && isReplaced;
    this.progress.element.hidden = !isUnderWay;
    this.state.hidden = isUnderWay;
    this.state.replaceChildren(...(state === "done" ? [icon("check"), h("b", {}, "Has it"), ", verified"] : [trouble]));
    this.stop.hidden = !isUnderWay;
    this.hold.hidden = !isUnderWay || (state === "paused" && !isPausedHere);
    const label = `${isPausedHere ? "Resume" : "Pause"} for ${receiver.name}`;
    this.hold.replaceChildren(icon(isPausedHere ? "play" : "pause"));
    this.hold.setAttribute("aria-label", label);
    this.hold.title = label;
  }

  /** Why nothing moves; nothing if it does. */
  pausedWords() {
    const { receiver } = this;
    if (receiver.isAway) return ["Away."];
    if (receiver.isPausedHere) return ["Paused by you."];
    if (receiver.state === "paused") return ["Paused there."];
    if (receiver.state !== "waiting") return undefined;
    return ["Waiting for the link."];
  }
}
