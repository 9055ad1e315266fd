// What one writes by hand: a WebSocket that passes messages on, trickled candidates, one ordered and reliable channel,
// and another one for files.

import { collector, pump } from "./pump.js";
import { enter } from "./room.js";

/** Bytes in the channel above which sending pauses, and below which it goes on. */
const HIGH = 1024 * 1024;
const LOW = 256 * 1024;

function makePipe(channel, options) {
  const pipe = { onmessage: undefined, text: (text) => channel.send(text), burst: options.share ? shared : each };
  channel.bufferedAmountLowThreshold = LOW;
  channel.onmessage = ({ data }) => {
    const first = data[0];
    if (first === "{") pipe.onmessage(JSON.parse(data));
    else if (first === "[") for (const value of JSON.parse(data)) pipe.onmessage(value);
    else pipe.onmessage(data);
  };
  const room = () => new Promise((resolve) => channel.addEventListener("bufferedamountlow", resolve, { once: true }));
  async function each(list) {
    for (const value of list) {
      if (channel.bufferedAmount > HIGH) await room();
      channel.send(JSON.stringify(value));
    }
  }
  async function shared(list) {
    let frame = [];
    let size = 0;
    const flush = () => {
      channel.send(`[${frame.join(",")}]`);
      frame = [];
      size = 0;
    };
    for (const value of list) {
      const text = JSON.stringify(value);
      frame.push(text);
      size += text.length + 1;
      if (size > 16 * 1024) {
        if (channel.bufferedAmount > HIGH) await room();
        flush();
      }
    }
    if (size > 0) flush();
  }
  return pipe;
}

function negotiate(socket, connection) {
  connection.onicecandidate = ({ candidate }) => {
    if (candidate) socket.say({ candidate });
  };
  socket.onmessage = async ({ data }) => {
    const { description, candidate } = JSON.parse(data);
    if (candidate) {
      await connection.addIceCandidate(candidate);
      return;
    }
    await connection.setRemoteDescription(description);
    if (description.type === "offer") {
      await connection.setLocalDescription();
      socket.say({ description: connection.localDescription });
    }
  };
}

const opened = (channel) => new Promise((resolve) => { channel.onopen = resolve; });

export async function wait(options, onPipe) {
  const socket = enter(options.server, options.room);
  const connection = new RTCPeerConnection();
  negotiate(socket, connection);
  let pipe;
  connection.ondatachannel = ({ channel }) => {
    if (channel.label === "file") {
      channel.binaryType = "arraybuffer";
      channel.onmessage = collector((file) => pipe.onfile(file));
    } else {
      pipe = makePipe(channel, options);
      onPipe(pipe);
    }
  };
  await new Promise((resolve) => socket.addEventListener("open", resolve));
}

export async function join(options, text) {
  // The offer is made while the socket opens.
  const socket = enter(options.server, options.room);
  const connection = new RTCPeerConnection();
  negotiate(socket, connection);
  const channel = connection.createDataChannel("bench");
  const pipe = makePipe(channel, options);
  await connection.setLocalDescription();
  socket.say({ description: connection.localDescription });
  await opened(channel);
  channel.send(text);
  let files;
  pipe.sendFile = async (file) => {
    if (!files) await opened((files = connection.createDataChannel("file")));
    await pump(files, file, options.chunk);
  };
  return pipe;
}
