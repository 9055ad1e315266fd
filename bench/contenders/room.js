// Hand-written signalling: what one page in a room says, the other one hears.

export function enter(server, room) {
  const socket = new WebSocket(`${server}/${room}`);
  let waiting = [];
  socket.onopen = () => {
    for (const text of waiting) socket.send(text);
    waiting = undefined;
  };
  socket.say = (message) => {
    const text = JSON.stringify(message);
    if (waiting) waiting.push(text);
    else socket.send(text);
  };
  return socket;
}
