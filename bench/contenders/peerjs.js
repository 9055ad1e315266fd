// PeerJS as its documentation has it, but with its own server, no public STUN server, and `reliable` (it is unordered
// without), so that it promises what the others promise.

import "/peerjs/peerjs.min.js";

const { Peer } = globalThis.peerjs;

const online = async (options, id) => {
  const peer = new Peer(id, { ...options.server, config: { iceServers: [] } });
  await new Promise((resolve, reject) => {
    peer.on("open", resolve);
    peer.on("error", reject);
  });
  return peer;
};

function makePipe(connection) {
  const pipe = {
    onmessage: undefined,
    text: (text) => connection.send(text),
    async burst(list) {
      for (const value of list) connection.send(value);
    },
    // All of it is read, cut, and handed over at once: that is what `send` does with a Blob.
    sendFile: (file) => connection.send(file),
  };
  connection.on("data", (value) => {
    if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) pipe.onfile(new Blob([value]));
    else pipe.onmessage(value);
  });
  return pipe;
}

export async function wait(options, onPipe) {
  const peer = await online(options, `b-${options.room}`);
  peer.on("connection", (connection) => onPipe(makePipe(connection)));
}

export async function join(options, text) {
  const peer = await online(options, `a-${options.room}`);
  const connection = peer.connect(`b-${options.room}`, { reliable: true, serialization: options.serialization });
  const pipe = makePipe(connection);
  await new Promise((resolve, reject) => {
    connection.on("open", resolve);
    connection.on("error", reject);
  });
  connection.send(text);
  return pipe;
}
