// Files: `peer.offer`, `thread.offer`, and the offers of others. Loaded when it is first needed, so it imports nothing that
// knows a state of its own: index.js hands in the class of errors and the wasm's machines.

import { kit } from "./files/kit.js";
import { hasWorker } from "./files/labour.js";
import { make, Registry } from "./files/offer.js";
import { tidy } from "./files/sink.js";

export { Registry };

export function setUp(given) {
  Object.assign(kit, given);
  tidy();
  // When it is needed, the network may be gone.
  hasWorker();
}

/** Offers to one peer. */
export function offerToPeer(peer, what, options) {
  return make(what, options, undefined, (to) => {
    to(peer);
    return () => {};
  });
}

/** Offers to the members of a thread, and to those who join while it stands. */
export function offerToThread(thread, what, options) {
  return make(what, options, thread, (to, without) => {
    for (const { peer } of thread.members.values()) to(peer);
    const ends = [thread.on("join", ({ peer }) => to(peer)), thread.on("leave", ({ member }) => without(member.peer))];
    return () => ends.forEach((end) => end());
  });
}
