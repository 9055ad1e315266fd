// Why files did not arrive, and what to do about it: one sentence or two for each way in which an offer or a transfer can
// end, with "{name}" where the other side's name goes.
// @ts-check

import { explain } from "./explain.js";

/** @typedef {import("../js/index.js").PeerloomError} PeerloomError */

/** For whoever wanted the files. @type {Record<string, string>} */
const ARRIVING = {
  storage_full: "There is no room left on this device. Make some, then try again: what has arrived is kept.",
  storage_failed:
    "This browser could not keep the files. Private windows take small ones only: try again, or open the link in an ordinary window.",
  peer_left: "{name} is gone. What has arrived is kept: ask for the same files again, and it goes on from there.",
  offer_closed: "{name} has taken this back. Ask for it again if you still want it.",
  declined: "{name} does not give this to you. Ask them if you think that you should have it.",
  file_corrupt: "What came was damaged twice, so it was thrown away. Ask {name} to send it another way.",
  file_changed: "The files were changed or moved at {name}’s side. Ask them to offer them again.",
  protocol_violation: "This page and {name}’s do not understand each other. Load both again, then offer the files again.",
};

/** For whoever offered them; it stands beside the other side's name. @type {Record<string, string>} */
const LEAVING = {
  storage_full: "No room left on their device. They can make some and try again.",
  storage_failed: "Their browser could not keep the files. They can try again.",
  peer_left: "Left before it was complete.",
  offer_closed: "You took it back.",
  declined: "Does not want it.",
  file_corrupt: "Got damaged data twice. Send it another way.",
  file_changed: "The files were changed or moved on this device. Offer them again.",
  protocol_violation: "Their page and this one do not understand each other. Load both again.",
};

/** For whoever could have had it. @type {Record<string, string>} */
const CLOSED = {
  expired: "This offer has run out. Ask {name} to make it again.",
  peer_left: "{name} left, so this can’t be had any more.",
  offer_closed: "{name} has taken this back.",
};

/** For whoever could not even offer them. @type {Record<string, string>} */
const KEPT_BACK = {
  invalid_option: "There are no files in it.",
  too_large: "These are too many files to offer at once. Pack them into one, such as a ZIP file, and offer that.",
  file_changed: "The files can’t be read. They may have been moved, or this browser may not be allowed to open them.",
};

/** The other side's doing, as opposed to this page's. @param {PeerloomError | undefined} error */
const isTheirs = (error) => (error?.peers?.length ?? 0) > 0;

/** @param {PeerloomError | undefined} error */
export function whyNotArrived(error) {
  if (error?.code === "cancelled") return isTheirs(error) ? "{name} cancelled this. Ask them if you still want it." : "You cancelled this.";
  return ARRIVING[error?.code ?? ""] ?? explain(error);
}

/** @param {PeerloomError | undefined} error */
export function whyNotSent(error) {
  if (error?.code === "cancelled") return isTheirs(error) ? "Cancelled it." : "You cancelled this.";
  return LEAVING[error?.code ?? ""] ?? explain(error);
}

/** @param {unknown} error */
export function whyNotOffered(error) {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return KEPT_BACK[code] ?? explain(error);
}

/** @param {string} reason  as the offer's `close` has it */
export const whyClosed = (reason) => CLOSED[reason] ?? "This can’t be had any more. Ask {name} to offer it again.";

/** What somebody answered who does not take it: a word of the SDK's, or their page's own. @param {string} reason */
export function whyNotTaken(reason) {
  if (reason === "declined") return "Does not want it.";
  if (reason === "left") return "Left.";
  return "Could not be asked. They may have to load their page again.";
}

/** As text, where no element can set the name apart. @param {string} sentence @param {string} name */
export const spoken = (sentence, name) => sentence.split("{name}").join(name);
