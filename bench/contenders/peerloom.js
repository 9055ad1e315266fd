import { connect, init as ready } from "/pkg/index.js";

export { ready };

function makePipe(peer) {
  const pipe = {
    onmessage: undefined,
    text: (text) => { peer.send(text); },
    awaited: (text) => peer.send(text),
    async burst(list) {
      for (const value of list) peer.send(value);
    },
    sendFile: (file) => peer.offer(file),
  };
  peer.on("message", ({ data }) => pipe.onmessage(data));
  return pipe;
}

export async function wait({ server, room, to }, onPipe) {
  const client = await connect({ id: `b-${room}`, server });
  const pipe = makePipe(client.peer(`a-${room}`));
  client.on("offer", async (offer) => pipe.onfile(await offer.accept({ to }).done));
  onPipe(pipe);
}

export async function join({ server, room }, text) {
  const client = await connect({ id: `a-${room}`, server });
  const peer = client.peer(`b-${room}`);
  const pipe = makePipe(peer);
  await peer.send(text);
  return pipe;
}
