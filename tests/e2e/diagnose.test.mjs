// `client.diagnose()`: what it says of a network that works and of each way in which one doesn't, that nothing makes it
// hang, and that nothing stays open.

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Actor, launch, scene as sceneOf, stop } from "./support.mjs";

const NAMES = ["signalling", "webSocket", "hostCandidates", "reflexiveCandidates", "stun", "turnUdp", "turnTcp", "dataChannel", "camera", "microphone"];
const HOST = "127.0.0.1";
const REFUSED = /connection to '?ws:|can’t establish a connection|ERR_CONNECTION_REFUSED/i;

const scene = (title, options, play) => {
  for (const kind of ["chromium", "firefox"]) sceneOf(title, { kinds: [kind], names: ["ada"], ...options }, ([ada], server) => play(ada, server));
};

/** Diagnoses `client`, in its page, and checks what holds for every diagnosis. */
async function diagnose(actor, options = {}) {
  const { diagnosis, progress, open } = await actor.run(async (options) => {
    const progress = [];
    const before = connections().open;
    const diagnosis = await client.diagnose({ ...options, onProgress: (check) => progress.push(check) });
    note(diagnosis.text);
    return { diagnosis, progress, open: connections().open - before };
  }, options);
  assert.deepEqual(diagnosis.checks.map(({ name }) => name), NAMES);
  assert.deepEqual(progress.map(({ name }) => name).sort(), [...NAMES].sort(), "each is told once");
  for (const check of progress) assert.deepEqual(check, diagnosis.checks.find(({ name }) => name === check.name));
  for (const { name, status, cause, remedy, detail, milliseconds } of diagnosis.checks) {
    assert.match(status, /^(passed|failed|skipped)$/);
    assert.match(cause, /^[^\n]+\.$/, `${name} has a cause`);
    if (status === "passed") assert.equal(remedy, "", `${name} needs no remedy`);
    if (status === "failed") assert.match(remedy, /^[^\n]+\.$/, `${name} has a remedy`);
    assert.equal(typeof detail, "string");
    assert.ok(Number.isInteger(milliseconds) && milliseconds >= 0);
    assert.ok(diagnosis.text.includes(cause) && diagnosis.text.includes(remedy), `the text has ${name}`);
  }
  assert.equal(diagnosis.ok, diagnosis.checks.every(({ status }) => status !== "failed"));
  assert.match(diagnosis.summary, /^[^\n]+\.$/);
  assert.match(diagnosis.version, /^\d+\.\d+\.\d+/);
  assert.ok(diagnosis.text.includes(diagnosis.browser) && diagnosis.text.includes(diagnosis.when));
  assert.equal(open, 0, "no connection stays open");
  return { ...diagnosis, by: Object.fromEntries(diagnosis.checks.map((check) => [check.name, check])) };
}

const statuses = ({ checks }) => Object.fromEntries(checks.map(({ name, status }) => [name, status]));

scene("where all is well, nothing fails, and nobody is asked", {}, async (ada, server) => {
  await ada.run(async () => {
    // Chromium's own prompt would not be seen here.
    globalThis.asked = 0;
    const { getUserMedia } = MediaDevices.prototype;
    MediaDevices.prototype.getUserMedia = function (...args) {
      asked += 1;
      return getUserMedia.apply(this, args);
    };
    await online("ada");
  });
  const report = await diagnose(ada);
  const { camera, microphone, ...rest } = statuses(report);
  assert.deepEqual(rest, {
    signalling: "passed",
    webSocket: "passed",
    hostCandidates: "passed",
    reflexiveCandidates: "skipped",
    stun: "skipped",
    turnUdp: "skipped",
    turnTcp: "skipped",
    dataChannel: "passed",
  });
  for (const status of [camera, microphone]) assert.match(status, /^(passed|skipped)$/);
  assert.equal(report.ok, true);
  assert.equal(report.by.stun.cause, "No STUN server is configured.");
  assert.match(report.by.stun.remedy, /iceServers/);
  assert.match(report.by.dataChannel.detail, /^round trip \d/);
  assert.equal(report.server, `ws://${server.address}/peerloom`);
  assert.equal(report.page, `http://${server.address}`);
  assert.equal(report.state, "online");
  assert.equal(await ada.run(() => asked), 0);
  // With the devices opened, and closed again.
  const tried = await ada.run(() => {
    globalThis.tracks = [];
    const { getUserMedia } = MediaDevices.prototype;
    MediaDevices.prototype.getUserMedia = async function (...args) {
      const stream = await getUserMedia.apply(this, args);
      tracks.push(...stream.getTracks());
      return stream;
    };
  }).then(() => diagnose(ada, { media: true }));
  assert.equal(tried.by.camera.status, "passed", tried.text);
  assert.equal(tried.by.microphone.status, "passed", tried.text);
  assert.deepEqual(await ada.run(() => tracks.map(({ kind, readyState }) => `${kind} ${readyState}`).sort()), ["audio ended", "video ended"]);
});

scene("before it is opened, and after it is closed", {}, async (ada) => {
  await ada.run(() => void (globalThis.client = new sdk.Client({ id: "ada" })));
  const before = await diagnose(ada);
  assert.equal(before.by.signalling.status, "skipped");
  assert.equal(before.by.webSocket.status, "passed");
  assert.match(before.by.stun.remedy, /once the client is open/);
  assert.equal(before.state, "idle");
  await ada.run(() => client.open().then(() => client.close()));
  const after = await diagnose(ada);
  assert.equal(after.by.signalling.status, "failed");
  assert.equal(after.by.signalling.cause, "The client is closed.");
  assert.equal(after.by.webSocket.status, "passed");
  assert.equal(after.ok, false);
  // One that could not be opened says why.
  await ada.run(async () => {
    await online("taken");
    globalThis.client = new sdk.Client({ id: "taken" });
    await client.open().catch(() => undefined);
  });
  const refused = await diagnose(ada);
  assert.match(refused.by.signalling.cause, /id_taken/);
  assert.match(refused.by.signalling.remedy, /another id/);
  await ada.run(() => void (globalThis.client = new sdk.Client({ server: "mailto:ada" })));
  const nowhere = await diagnose(ada);
  assert.equal(nowhere.by.webSocket.status, "failed");
  assert.equal(nowhere.server, "");
});

scene("without a server, that is what it says", { faults: REFUSED }, async (ada, server) => {
  await ada.run(() => online("ada").then(() => undefined));
  await server.kill();
  await ada.run(() => reach(client, "recovering"));
  const report = await diagnose(ada);
  assert.equal(report.by.webSocket.status, "failed");
  assert.match(report.by.webSocket.remedy, /Check the server's address/);
  assert.equal(report.by.signalling.status, "failed");
  assert.equal(report.by.dataChannel.status, "passed");
  assert.match(report.summary, /server can't be reached/);
  await server.restart();
  await ada.run(() => reach(client, "online"));
  assert.equal((await diagnose(ada)).by.webSocket.status, "passed");
});

scene("a server that never answers takes no longer than the limit", { faults: /WebSocket|connection to/i }, async (ada) => {
  const silent = createServer().listen(0, HOST);
  const sockets = [];
  silent.on("connection", (socket) => sockets.push(socket.on("error", () => undefined)));
  await once(silent, "listening");
  try {
    await ada.run((server) => void (globalThis.client = new sdk.Client({ server })), `ws://${HOST}:${silent.address().port}`);
    const report = await diagnose(ada, { timeout: 700 });
    assert.equal(report.by.webSocket.status, "failed");
    assert.equal(report.by.webSocket.cause, "The server has not answered within 0.7 s.");
    assert.ok(report.milliseconds < 5_000, `${report.milliseconds} ms`);
  } finally {
    silent.close();
    for (const socket of sockets) socket.destroy();
  }
});

scene("without WebRTC, that is what it says", { webrtc: [false] }, async (ada) => {
  await ada.run(() => online("ada", { iceServers: [{ urls: "stun:127.0.0.1:1" }] }).then(() => undefined));
  const report = await diagnose(ada);
  assert.equal(report.by.dataChannel.status, "failed");
  for (const name of ["hostCandidates", "reflexiveCandidates", "stun", "turnUdp", "turnTcp"]) assert.equal(report.by[name].status, "skipped", name);
  assert.match(report.by.dataChannel.cause, /no WebRTC/);
  assert.match(report.summary, /through the server/);
});

scene("with privacy nothing is asked that would show an address", {}, async (ada) => {
  await ada.run(() => online("ada", { privacy: "relay", iceServers: [{ urls: "stun:127.0.0.1:1" }] }).then(() => undefined));
  const report = await diagnose(ada);
  for (const name of ["hostCandidates", "reflexiveCandidates", "stun"]) {
    assert.equal(report.by[name].status, "skipped", name);
    assert.match(report.by[name].cause, /`privacy`/);
  }
  assert.match(report.summary, /TURN/);
});

scene("bad options are refused, and aborting ends it", {}, async (ada) => {
  const outcome = await ada.run(async () => {
    await online("ada");
    const refusals = [];
    for (const options of [7, { media: "yes" }, { timeout: 0 }, { timeout: "5" }, { signal: {} }, { onProgress: 1 }]) {
      refusals.push(await refusal(() => client.diagnose(options)));
    }
    const before = await refusal(() => client.diagnose({ signal: AbortSignal.abort() }));
    const controller = new AbortController();
    const iceServers = [{ urls: "stun:127.0.0.1:34999" }]; // where nobody answers
    const other = new sdk.Client({ iceServers });
    const during = await refusal(() => other.diagnose({ signal: controller.signal, onProgress: () => controller.abort() }));
    return { refusals, before, during, open: connections().open };
  });
  for (const { is, code, detail } of outcome.refusals) assert.deepEqual([is, code], [true, "invalid_option"], detail);
  for (const { is, code } of [outcome.before, outcome.during]) assert.deepEqual([is, code], [true, "aborted"]);
  assert.equal(outcome.open, 0);
});

scene("a device that is denied, or never answered about", {}, async (ada) => {
  const denied = await ada.run(() => {
    globalThis.client = new sdk.Client();
    MediaDevices.prototype.getUserMedia = () => Promise.reject(new DOMException("Permission denied by system", "NotAllowedError"));
  }).then(() => diagnose(ada, { media: true }));
  for (const name of ["camera", "microphone"]) {
    assert.equal(denied.by[name].status, "failed");
    assert.match(denied.by[name].cause, /operating system denies/);
    assert.match(denied.by[name].remedy, /system's settings/);
  }
  // The visitor allows it when the check has long been aborted: nothing is left open.
  const ended = await ada.run(async () => {
    const controller = new AbortController();
    let allow;
    const track = { stop: () => (track.stopped = true) };
    const answered = new Promise((resolve) => (allow = resolve));
    MediaDevices.prototype.getUserMedia = () => (setTimeout(() => controller.abort()), answered);
    const { code } = await refusal(() => client.diagnose({ media: true, signal: controller.signal }));
    allow({ getTracks: () => [track] });
    await answered;
    await Promise.resolve();
    return { code, stopped: track.stopped };
  });
  assert.deepEqual(ended, { code: "aborted", stopped: true });
});

scene("a policy that forbids the server is named", { faults: /Content.Security.Policy|violates|refused/i }, async (ada, server) => {
  const guarded = await Actor.open(ada.kind, "guarded", server.url);
  try {
    const check = await guarded.run(async () => {
      const { Client } = await import("/pkg/index.js");
      const { checks } = await new Client({ server: "ws://127.0.0.1:9999" }).diagnose();
      return checks.find(({ name }) => name === "webSocket");
    });
    assert.equal(check.status, "failed");
    assert.match(check.cause, /Content-Security-Policy/);
    assert.match(check.remedy, /ws:\/\/127\.0\.0\.1:9999/);
  } finally {
    await guarded.close();
  }
});

// ---- STUN and TURN ------------------------------------------------------------------------------------------------

/** A STUN server (RFC 8489) that sees everybody behind a NAT, which a machine alone does not have. */
async function natted() {
  const COOKIE = 0x2112a442;
  const socket = createSocket("udp4");
  socket.on("message", (request, from) => {
    if (request.length < 20 || request.readUInt16BE(0) !== 0x0001) return;
    const reply = Buffer.alloc(32);
    reply.writeUInt16BE(0x0101, 0); // a binding's success
    reply.writeUInt16BE(12, 2);
    request.copy(reply, 4, 4, 20);
    reply.writeUInt16BE(0x0020, 20); // XOR-MAPPED-ADDRESS
    reply.writeUInt16BE(8, 22);
    reply.writeUInt16BE(0x0001, 24);
    reply.writeUInt16BE(from.port ^ (COOKIE >>> 16), 26);
    reply.writeUInt32BE((0xcb007107 ^ COOKIE) >>> 0, 28); // 203.0.113.7
    socket.send(reply, from.port, from.address);
  });
  socket.bind(0, HOST);
  await once(socket, "listening");
  return socket;
}

scene("STUN servers: one that answers, and one that doesn't", {}, async (ada) => {
  const good = await natted();
  const silent = createSocket("udp4").bind(0, HOST);
  await once(silent, "listening");
  const [answers, never] = [good, silent].map((socket) => `stun:${HOST}:${socket.address().port}`);
  try {
    await ada.run((urls) => online("ada", { iceServers: [{ urls }] }).then(() => undefined), answers);
    const well = await diagnose(ada);
    assert.equal(well.by.stun.status, "passed", well.text);
    assert.equal(well.by.stun.cause, "The STUN server answers.");
    assert.equal(well.by.reflexiveCandidates.cause, "This device has learned its public address.");
    assert.equal(well.summary, "Direct links can be made.");
    assert.doesNotMatch(well.text, /203\.0\.113\.7/, "and keeps it to itself");

    await ada.run((urls) => void (globalThis.client = new sdk.Client({ iceServers: [{ urls }] })), [answers, never]);
    const half = await diagnose(ada, { timeout: 1500 });
    assert.equal(half.by.stun.status, "failed");
    assert.equal(half.by.stun.cause, `1 of 2 STUN servers failed: ${never} has not answered within 1.5 s.`);
    assert.match(half.by.stun.detail, new RegExp(`${answers} answers after`));
    assert.equal(half.by.reflexiveCandidates.status, "passed");

    await ada.run(() => void (globalThis.client = new sdk.Client({ iceServers: [{ urls: "stun:nowhere.invalid" }, { urls: "stun:" }] })));
    const wrong = await diagnose(ada, { timeout: 3000 });
    assert.equal(wrong.by.stun.status, "failed");
    assert.match(wrong.by.stun.detail, /stun:nowhere\.invalid (has a name that can't be resolved|can't be reached)/);
    assert.match(wrong.by.stun.detail, /stun: is refused by the browser/);
  } finally {
    good.close();
    silent.close();
  }
});

const USER = { username: "ada-of-london", credential: "lovelace-0815" };

/** A port that nobody else has, most likely for as long as it takes to use it. */
async function freePort() {
  const socket = createSocket("udp4").bind(0, HOST);
  await once(socket, "listening");
  const { port } = socket.address();
  socket.close();
  return port;
}

/** coturn, for this one user, once it answers. */
async function turnServer(port) {
  const place = join(tmpdir(), `peerloom-turn-${port}`);
  const child = launch("turnserver", [
    "-n", "--no-cli", "--no-tls", "--no-dtls", "--lt-cred-mech", "--realm=peerloom.test", `--user=${USER.username}:${USER.credential}`,
    `--listening-ip=${HOST}`, `--relay-ip=${HOST}`, `--listening-port=${port}`, "--log-file=stdout", `--pidfile=${place}.pid`, `--userdb=${place}.db`,
  ]);
  for (const output of [child.stdout, child.stderr]) output.resume();
  const socket = createSocket("udp4");
  socket.on("error", () => undefined); // refused until it listens
  const request = Buffer.concat([Buffer.from("000100002112a442", "hex"), Buffer.alloc(12, 7)]);
  const again = setInterval(() => socket.send(request, port, HOST), 50);
  const answers = await Promise.race([once(socket, "message").then(() => true), child.ended.then(() => false)]);
  clearInterval(again);
  socket.close();
  assert(answers, "turnserver (Debian's package coturn) does not start");
  return child;
}

const port = await freePort();

scene("a STUN and TURN server: with it, with wrong credentials, without it", { server: ["--ice-servers", JSON.stringify([
  { urls: `stun:${HOST}:${port}` },
  { urls: [`turn:${HOST}:${port}`, `turn:${HOST}:${port}?transport=tcp`], ...USER },
])], faults: REFUSED }, async (ada) => {
  const turn = await turnServer(port);
  try {
    // Handed out by the server.
    await ada.run(() => online("ada").then(() => undefined));
    const well = await diagnose(ada);
    for (const name of ["stun", "turnUdp", "turnTcp", "reflexiveCandidates"]) assert.equal(well.by[name].status, "passed", well.text);
    assert.equal(well.by.turnUdp.cause, "The TURN server answers over UDP.");
    assert.equal(well.summary, "Direct links can be made.");
    assert.match(well.by.turnTcp.detail, /transport=tcp answers after \d+ ms/);

    const wrong = { username: "somebody-else", credential: "guessed-wrong" };
    await ada.run((server) => {
      globalThis.client = new sdk.Client({ token: "a-secret-token", privacy: "relay", iceServers: [server] });
    }, { urls: [`turn:${HOST}:${port}`, `turn:${HOST}:${port}?transport=tcp`], ...wrong });
    const refused = await diagnose(ada);
    for (const name of ["turnUdp", "turnTcp"]) {
      assert.equal(refused.by[name].status, "failed");
      assert.match(refused.by[name].cause, /refuses the credentials/);
      assert.match(refused.by[name].remedy, /valid username and credential/);
    }
    for (const report of [well, refused]) {
      for (const secret of [...Object.values(USER), ...Object.values(wrong), "a-secret-token"]) {
        assert.ok(!JSON.stringify(report).includes(secret), `the report has ${secret}`);
      }
    }
  } finally {
    await stop(turn);
  }
  await ada.run(() => client.close());
  await ada.run(() => online("ada-again").then(() => undefined));
  const gone = await diagnose(ada, { timeout: 1500 });
  for (const name of ["stun", "turnUdp", "turnTcp"]) {
    assert.equal(gone.by[name].status, "failed", name);
    assert.match(gone.by[name].remedy, /Check its address/);
  }
});
