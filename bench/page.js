// What both pages of a run do, the same for every contender: `run.mjs` calls these functions one after another. A
// contender is a module with `wait` and `join`; either gives a pipe:
//   text(string)          sends one small message at once
//   burst(objects)        sends them all, as a user of that library would
//   awaited(string)       optional: sends one, and resolves when the other side has it
//   onmessage             called with each value that arrives
// and may have `ready`, for what a page can do ahead.

const SENTINEL = "first";

export let pipe;
let answer = () => {};
const clock = new BroadcastChannel("clock");
export const now = () => performance.timeOrigin + performance.now();

/** Who is told of what comes to the page that asked. */
export const hear = (listener) => {
  answer = listener;
};

clock.onmessage = ({ data }) => {
  if (data.to === role && data.asked !== undefined) clock.postMessage({ to: data.from, answered: now(), of: data.asked });
  else if (data.to === role) clock.answered?.(data);
};
let role;
let contender;

/** Loads the contender's code, as a page does long before it connects. */
async function prepare(as, name, options) {
  role = as;
  const module = await import(`./contenders/${name}.js`);
  contender = { ...module, options };
  if (options.ready) await module.ready();
}

/** How far the other page's clock is ahead of this one's, in milliseconds: the best of many questions. */
async function clockOffset(other) {
  let best = { round: Infinity, offset: 0 };
  for (let i = 0; i < 60; i += 1) {
    const asked = now();
    const data = await new Promise((resolve) => {
      clock.answered = resolve;
      clock.postMessage({ to: other, from: role, asked });
    });
    const round = now() - asked;
    if (round < best.round) best = { round, offset: data.answered - (asked + round / 2) };
  }
  return best;
}

/** Goes online and answers whoever comes: strings are sent back, objects are counted and compared. */
async function wait() {
  const first = Promise.withResolvers();
  globalThis.firstArrival = first.promise;
  await contender.wait(contender.options, (incoming) => {
    pipe = incoming;
    pipe.onmessage = (value) => {
      if (value === SENTINEL) first.resolve(now());
      pipe.onmessage = serve;
      serve(value);
    };
  });
}

let burst;

function serve(value) {
  if (typeof value === "string") {
    if (value !== SENTINEL) pipe.text(value);
    return;
  }
  const { expected } = burst;
  const { arrived } = burst;
  if (value.n !== arrived) burst.misplaced += 1;
  const model = expected[value.n];
  if (model === undefined || model.x !== value.x || model.text !== value.text || model.user !== value.user) burst.wrong += 1;
  burst.arrived += 1;
  if (burst.arrived === expected.length) burst.done(now());
}

/** Readies the waiting side for a burst. */
function expectBurst(count, seed) {
  const done = Promise.withResolvers();
  burst = { expected: messages(count, seed), arrived: 0, misplaced: 0, wrong: 0, done: done.resolve, finished: done.promise };
}

/** When its last message came, or what was missing after a while without any. */
async function burstEnd() {
  const stuck = Promise.withResolvers();
  let before = -1;
  const watch = setInterval(() => {
    if (burst.arrived === before) stuck.resolve(undefined);
    before = burst.arrived;
  }, 5000);
  const at = await Promise.race([burst.finished, stuck.promise]);
  clearInterval(watch);
  const { arrived, misplaced, wrong } = burst;
  return { at, arrived, misplaced, wrong };
}

/** From the call to `connect` until the message is on its way; when it was called. */
async function join() {
  const at = now();
  pipe = await contender.join(contender.options, SENTINEL);
  pipe.onmessage = (value) => answer(value);
  return at;
}

/** Round trips one after another, each begun by the answer to the last; milliseconds. */
async function roundTrips(count, warmup) {
  const text = "x".repeat(64);
  const times = new Float64Array(count);
  const { promise, resolve, reject } = Promise.withResolvers();
  let index = -warmup;
  let began = 0;
  answer = (value) => {
    const at = performance.now();
    if (value !== text) reject(new Error("another text came back"));
    if (index >= 0) times[index] = at - began;
    index += 1;
    if (index === count) {
      resolve();
      return;
    }
    began = performance.now();
    pipe.text(text);
  };
  began = performance.now();
  pipe.text(text);
  await promise;
  answer = () => {};
  return Array.from(times);
}

/** Sends that are awaited one after another; milliseconds. */
async function awaitedSends(count) {
  if (!pipe.awaited) return undefined;
  const times = [];
  for (let i = 0; i < count; i += 1) {
    const began = performance.now();
    // Not sent back: the first message is answered by nobody.
    await pipe.awaited(SENTINEL);
    times.push(performance.now() - began);
  }
  return times;
}

/** Sends a burst; when its first message was sent. */
async function sendBurst(count, seed) {
  const list = messages(count, seed);
  const at = now();
  await pipe.burst(list);
  return at;
}

const WORDS = "a bird came down the walk he did not know I saw he bit an angle worm in halves and ate the fellow raw".split(" ");
const USERS = ["alice", "bob", "carol", "dave", "eve"];

/** Messages of exactly 100 bytes of JSON, all different. */
function messages(count, seed) {
  let state = seed;
  const random = (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  return Array.from({ length: count }, (_, n) => {
    const message = { n, user: USERS[random(USERS.length)], x: random(1e6), y: random(1e6), text: "" };
    const room = 100 - JSON.stringify(message).length;
    while (message.text.length < room) message.text += `${WORDS[random(WORDS.length)]} `;
    message.text = message.text.slice(0, room);
    return message;
  });
}

Object.assign(globalThis, { bench: { prepare, clockOffset, wait, join, roundTrips, awaitedSends, expectBurst, burstEnd, sendBurst } });
