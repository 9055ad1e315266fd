// simple-peer as its documentation has it: a stream that is written to, which says when to wait.

import "/simple-peer/simplepeer.min.js";
import { enter } from "./room.js";

/** Bytes of a message. */
const CHUNK = 64 * 1024;

function makePipe(peer) {
  const pipe = { onmessage: undefined, text: (text) => peer.send(text), sendFile };
  let parts = [];
  let missing = 0;
  peer.on("data", (data) => {
    if (missing === 0) {
      const text = String(data);
      missing = Number(text) || 0;
      if (missing === 0) pipe.onmessage(text);
      return;
    }
    parts.push(data);
    missing -= data.length;
    if (missing > 0) return;
    pipe.onfile(new Blob(parts));
    parts = [];
  });
  async function sendFile(file) {
    peer.write(String(file.size));
    for (let at = 0; at < file.size; at += CHUNK) {
      const chunk = new Uint8Array(await file.slice(at, at + CHUNK).arrayBuffer());
      if (!peer.write(chunk)) await new Promise((resolve) => peer.once("drain", resolve));
    }
  }
  return pipe;
}

function online({ server, room }, initiator) {
  const socket = enter(server, room);
  const peer = new globalThis.SimplePeer({ initiator, config: { iceServers: [] } });
  peer.on("signal", (signal) => socket.say(signal));
  peer.on("error", (error) => console.error(error));
  socket.onmessage = ({ data }) => peer.signal(JSON.parse(data));
  return { socket, peer, pipe: makePipe(peer) };
}

export async function wait(options, onPipe) {
  const { socket, pipe } = online(options, false);
  onPipe(pipe);
  await new Promise((resolve) => socket.addEventListener("open", resolve));
}

export async function join(options, text) {
  const { peer, pipe } = online(options, true);
  await new Promise((resolve) => peer.once("connect", resolve));
  peer.send(text);
  return pipe;
}
