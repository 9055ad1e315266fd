// What journeys with files put into a page besides the kit. Handed over as text, so it may use nothing from outside.

import { openAgain } from "./support.mjs";

export const PIECE = 256 * 1024;

function filesKit() {
  /** The same bytes each time, which can't be compressed. */
  globalThis.noise = (length, seed = 1) => {
    const bytes = new Uint8Array(length);
    const words = new Uint32Array(bytes.buffer, 0, length >> 2);
    let state = seed;
    const next = () => ((state ^= state << 13), (state ^= state >>> 17), (state ^= state << 5));
    for (let index = 0; index < words.length; index += 1) words[index] = next();
    for (let index = words.length * 4; index < length; index += 1) bytes[index] = next();
    return bytes;
  };
  globalThis.digest = async (blob) => {
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", await blob.arrayBuffer()));
    return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
  };
  // What goes over channels of their own, also before the page was loaded anew.
  globalThis.wire = Number(sessionStorage.getItem("wire") ?? 0);
  addEventListener("pagehide", () => sessionStorage.setItem("wire", String(wire)));
  globalThis.lanes = [];
  const { send } = RTCDataChannel.prototype;
  RTCDataChannel.prototype.send = function (data) {
    if (this.label !== "peerloom") {
      wire += data.byteLength;
      if (!lanes.includes(this)) lanes.push(this);
    }
    return send.call(this, data);
  };
  globalThis.offers = [];
  client.on("offer", (offer) => {
    note("offer", offer.name, offer.size);
    offers.push(offer);
  });
  /** The offer of that number, as soon as it is there. */
  globalThis.offered = async (number = 0) => {
    while (!offers[number]) await next(client, "offer");
    return offers[number];
  };
  globalThis.watched = (transfer) => {
    globalThis.transfer = transfer;
    transfer.on("state", (state) => note("transfer", state, transfer.error?.code ?? ""));
    return transfer;
  };
  /** Resolves once so much of it is there. */
  globalThis.reached = (transfer, bytes) => until(transfer, "progress", () => transfer.progress.bytes >= bytes);
  globalThis.failure = async (transfer) => {
    const error = await transfer.done.then(() => ({ code: "none" }), (error) => error);
    return { state: transfer.state, code: error.code, peers: error.peers ?? [], same: transfer.error === error };
  };
}

/** Online, with this in their pages. */
export async function meet(actors) {
  for (const actor of actors) {
    await actor.run((id) => online(id).then(() => undefined), actor.name);
    await actor.run(filesKit);
  }
}

/** The page is loaded anew, and comes back under its name. */
export async function comeBack(actor, server) {
  await openAgain(actor, server);
  await meet([actor]);
}
