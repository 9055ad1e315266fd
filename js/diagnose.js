// `client.diagnose()`: says why a link can't be made. Each check tries one thing for itself, beside the client's own
// session and links, within a time limit, and closes whatever it opened. Loaded when it is asked for, so it imports
// nothing that knows a state of its own: the client hands in what it is about.

import { report as reportUncaught } from "./runtime.js";

const SUBPROTOCOL = "peerloom.v1";
const DEFAULT_TIMEOUT = 5_000;
/** The visitor may have to answer the browser's question first. */
const ANSWER_TIMEOUT = 30_000;

// ---- verdicts ----

const passed = (cause, detail = "") => ({ status: "passed", cause, remedy: "", detail });
const failed = (cause, remedy, detail = "") => ({ status: "failed", cause, remedy, detail });
const skipped = (cause, remedy = "", detail = "") => ({ status: "skipped", cause, remedy, detail });

const NO_WEBRTC = skipped(
  "This browser has no WebRTC, or something has turned it off.",
  "Use a current browser, and look for an extension or a policy that turns WebRTC off.",
);
const NO_NETWORK = failed("This device has no network.", "Connect it to a network, and run the check again.");
const RELAY_ONLY = skipped('Not looked for, because `privacy` is "relay": this page shows nobody its own addresses.');

/** Whatever failed on the way to another machine: without a network, that is why. */
const unreached = (...reasons) => (navigator.onLine === false ? NO_NETWORK : failed(...reasons));

const seconds = (limit) => `${limit / 1000} s`;
const hasWebrtc = () => typeof RTCPeerConnection === "function";

// ---- the client and its server ----

async function signalling({ client, failure, keep, late, limit }) {
  if (client.state === "connecting") {
    const settled = new Promise((resolve) => keep(client.on("state", (state) => state !== "connecting" && resolve())));
    await Promise.race([settled, late]);
  }
  switch (client.state) {
    case "online":
      return passed("The server has admitted this client.");
    case "connecting":
      return unreached(`The server has not admitted this client within ${seconds(limit)}.`, "See the check of the WebSocket.");
    case "recovering":
      return unreached(
        "The session with the server is interrupted.",
        "Wait, the client comes back by itself; if it does not, see the check of the WebSocket.",
      );
    case "closed": {
      const error = failure();
      return error
        ? failed(`The client is closed because of \`${error.code}\`.`, error.remedy, error.message)
        : failed("The client is closed.", "Make a new client: a closed one stays closed.");
    }
    default: {
      const error = failure();
      return error
        ? failed(`Opening the client failed with \`${error.code}\`.`, error.remedy, error.message)
        : skipped("The client has not been opened.", "Call `await client.open()`, and run the check again.");
    }
  }
}

async function webSocket({ server, keep, late, limit }) {
  if (typeof WebSocket !== "function") return failed("This browser has no WebSocket.", "Use a current browser.");
  let address;
  try {
    address = server();
  } catch (error) {
    return failed("The client's `server` is no address.", error.remedy, error.message);
  }
  const outcome = await connectionTo(address, keep, late);
  switch (outcome) {
    case "open":
      return passed("The server answers, and speaks this version of the protocol.");
    case "incompatible":
      return failed(
        "Something answers at the server's address, but does not speak this version of the protocol.",
        "Check that the address is that of a peerloom-server of the same major version.",
      );
    case "insecure":
      return failed("This page came over https, and the server's address is ws:.", "Give the client a wss: address.");
    case "forbidden":
      return failed(
        "The page's Content-Security-Policy forbids this connection.",
        `Add ${new URL(address).origin} to its connect-src.`,
      );
    case "late":
      return unreached(
        `The server has not answered within ${seconds(limit)}.`,
        "Check the server's address, and that no firewall or proxy keeps WebSockets back.",
      );
    default:
      return unreached(
        "No WebSocket to the server can be opened.",
        "Check the server's address, that it runs, that it takes this page's origin, and that the network lets WebSockets through.",
      );
  }
}

/** How an attempt to open a WebSocket ends. */
async function connectionTo(address, keep, late) {
  const forbidden = violation(address, keep);
  let socket;
  try {
    socket = new WebSocket(address, SUBPROTOCOL);
  } catch (error) {
    if (address.startsWith("ws:") && globalThis.location?.protocol === "https:") return "insecure";
    // Firefox throws first, and names the policy later.
    const unnamed = new Promise((_, reject) => setTimeout(() => reject(error), 100));
    return Promise.race([forbidden, unnamed]);
  }
  keep(() => socket.close());
  const ended = new Promise((resolve) => {
    socket.onopen = () => resolve(socket.protocol === SUBPROTOCOL ? "open" : "incompatible");
    socket.onclose = () => resolve("closed");
  });
  return Promise.race([ended, forbidden, late.then(() => "late")]);
}

/** Resolves with "forbidden" when the page's policy forbids connecting to that address. */
function violation(address, keep) {
  const { host } = new URL(address);
  return new Promise((resolve) => {
    const listen = ({ blockedURI }) => blockedURI.includes(host) && resolve("forbidden");
    globalThis.document?.addEventListener("securitypolicyviolation", listen);
    keep(() => globalThis.document?.removeEventListener("securitypolicyviolation", listen));
  });
}

// ---- ICE ----

/** What ICE finds with this configuration until it has `enough`, or all, or the time is over. */
async function gather(configuration, { keep, late }, enough = () => false) {
  const found = { candidates: [], errors: [], isComplete: false };
  const connection = new RTCPeerConnection(configuration);
  keep(() => connection.close());
  const ended = new Promise((resolve) => {
    connection.onicecandidate = ({ candidate }) => {
      if (candidate === null) {
        found.isComplete = true;
        resolve();
      } else if (candidate.candidate !== "") {
        found.candidates.push(parse(candidate.candidate));
        if (enough(found.candidates.at(-1))) resolve();
      }
    };
    connection.onicecandidateerror = (error) => found.errors.push(error);
  });
  connection.createDataChannel("diagnose");
  await connection.setLocalDescription(await connection.createOffer());
  await Promise.race([ended, late]);
  return found;
}

/** The parts of a candidate's line (RFC 8839, 5.1) that count here. */
function parse(line) {
  const [, , protocol = "", , address = ""] = line.split(" ");
  return { type: line.match(/ typ (\w+)/)?.[1], protocol: protocol.toLowerCase(), address };
}

const isReflexive = ({ type }) => type === "srflx" || type === "prflx";
const isRelay = ({ type }) => type === "relay";

/**
 * Browsers drop a reflexive candidate that equals the host candidate, as on a device without NAT. The STUN server has
 * answered all the same where the search came to its end, began from somewhere, and nothing went wrong.
 */
const isOpenToAll = ({ candidates, errors, isComplete }) =>
  isComplete && errors.length === 0 && candidates.some(({ type, protocol }) => type === "host" && protocol === "udp");

async function hostCandidates(io) {
  if (io.isRelayOnly) return RELAY_ONLY;
  if (!hasWebrtc()) return NO_WEBRTC;
  const { candidates } = await gather({}, io);
  const hosts = candidates.filter(({ type }) => type === "host");
  if (hosts.length === 0) {
    return unreached(
      "The browser gives WebRTC no address of this device.",
      "Look for an extension, a VPN or a browser policy that restricts WebRTC.",
    );
  }
  const count = (protocol) => hosts.filter((host) => host.protocol === protocol).length;
  const hidden = hosts.some(({ address }) => address.endsWith(".local")) ? ", hidden behind mDNS names" : "";
  return passed("The browser gives WebRTC this device's own addresses.", `${count("udp")} UDP, ${count("tcp")} TCP${hidden}`);
}

async function reflexiveCandidates(io) {
  if (io.isRelayOnly) return RELAY_ONLY;
  if (!hasWebrtc()) return NO_WEBRTC;
  if (io.servers.length === 0) return notConfigured("STUN or TURN server", io);
  // Both kinds tell, but a TURN server only those whom it knows.
  const stun = io.servers.filter(({ kind }) => kind === "stun");
  const asked = (stun.length > 0 ? stun : io.servers).map(({ server }) => server);
  const found = await gather({ iceServers: asked }, io, isReflexive);
  if (found.candidates.some(isReflexive)) return passed("This device has learned its public address.");
  if (isOpenToAll(found)) return passed("This device's own address is its public one: there is no NAT in between.");
  return unreached(
    "This device could not learn its public address.",
    "See the check of the STUN servers; where UDP is blocked, only a TURN server over TCP or TLS helps.",
  );
}

function notConfigured(what, { isAdmitted, hasOwnServers }) {
  const cause = `No ${what} is configured.`;
  if (isAdmitted || hasOwnServers) {
    return skipped(cause, "Give the client `iceServers`, or start the server with `--ice-servers`, for links across networks.");
  }
  return skipped(cause, "Run the check again once the client is open, in case the server hands some out.");
}

/** A check of every server of that kind. */
const serverCheck = (kind, noun, over, ask) => async (io) => {
  if (kind === "stun" && io.isRelayOnly) return RELAY_ONLY;
  if (!hasWebrtc()) return NO_WEBRTC;
  const list = io.servers.filter((server) => server.kind === kind);
  if (list.length === 0) return notConfigured(noun + over, io);
  const answers = await Promise.all(
    list.map(async (server) => {
      const begun = performance.now();
      const answer = await ask(server, io);
      return { ...answer, url: server.url, milliseconds: Math.round(performance.now() - begun) };
    }),
  );
  const detail = answers.map(({ url, problem, milliseconds }) => `${url} ${problem ?? `answers after ${milliseconds} ms`}`).join("; ");
  const bad = answers.filter(({ problem }) => problem !== undefined);
  const isOne = list.length === 1;
  if (bad.length === 0) return passed(isOne ? `The ${noun} answers${over}.` : `All ${list.length} ${noun}s answer${over}.`, detail);
  const [{ url, problem, remedy }] = bad;
  const which = isOne ? `The ${noun}` : `${bad.length} of ${list.length} ${noun}s failed${over}:`;
  return unreached(`${which} ${url} ${problem}.`, remedy, isOne ? "" : detail);
};

const askStun = (server, io) => ask(server, "all", io, isReflexive, isOpenToAll);
const askTurn = (server, io) => ask(server, "relay", io, isRelay, () => false);

/** Nothing if the server gives a candidate that fits, else the problem, to be read after its address, and the remedy. */
async function ask({ kind, server }, iceTransportPolicy, io, fits, fitsAtEnd) {
  const protocol = kind === "turnTcp" ? "TCP" : "UDP";
  const otherwise = `Check its address, that it runs, and that the network lets ${protocol} through to it.`;
  let found;
  try {
    found = await gather({ iceServers: [server], iceTransportPolicy }, io, fits);
  } catch (error) {
    return { problem: "is refused by the browser", remedy: `Correct it in \`iceServers\`; the browser says: ${error.message}` };
  }
  if (found.candidates.some(fits) || fitsAtEnd(found)) return {};
  const [error] = found.errors;
  if (error !== undefined) return explain(error, otherwise);
  return found.isComplete
    ? { problem: "gives no candidate", remedy: otherwise }
    : { problem: `has not answered within ${seconds(io.limit)}`, remedy: otherwise };
}

/** Codes of STUN (RFC 8489, 14.8) and TURN (RFC 8656, 19), and 701 for what never answered (W3C WebRTC, 4.8.2). */
function explain({ errorCode, errorText }, otherwise) {
  switch (errorCode) {
    case 701:
      return { problem: /lookup/i.test(errorText) ? "has a name that can't be resolved" : "can't be reached", remedy: otherwise };
    case 401:
    case 403:
    case 431:
    case 441:
      return {
        problem: `refuses the credentials (${errorCode})`,
        remedy: "Give a valid username and credential; those that were made for a limited time may be over.",
      };
    case 486:
    case 508:
      return { problem: `has no relay to spare (${errorCode})`, remedy: "Ask its operator for a higher quota or more capacity." };
    default:
      return { problem: `answers with an error (${errorCode})`, remedy: `Ask its operator; it says: ${errorText || "nothing more"}.` };
  }
}

/** One entry for each address, with the kind of check that it is for. */
function flatten(iceServers) {
  const list = Array.isArray(iceServers) ? iceServers : [];
  return list.flatMap((server) =>
    [server?.urls ?? []].flat().map((address) => {
      const url = String(address);
      return { url, kind: kindOf(url), server: { ...server, urls: url } };
    }),
  );
}

/** RFC 7065: `turn` is UDP and `turns` TLS over TCP, unless the address names the transport. */
function kindOf(url) {
  if (!/^turns?:/i.test(url)) return "stun";
  const transport = url.match(/[?&]transport=(\w+)/i)?.[1]?.toLowerCase() ?? (/^turns:/i.test(url) ? "tcp" : "udp");
  return transport === "udp" ? "turnUdp" : "turnTcp";
}

// ---- a link within the page ----

async function dataChannel({ keep, late, limit }) {
  if (!hasWebrtc()) return { ...NO_WEBRTC, status: "failed" };
  const [here, there] = [new RTCPeerConnection(), new RTCPeerConnection()];
  for (const connection of [here, there]) keep(() => connection.close());
  connectCandidates(here, there);
  const channel = here.createDataChannel("diagnose");
  there.ondatachannel = ({ channel: other }) => (other.onmessage = ({ data }) => other.send(data));
  const opened = new Promise((resolve) => (channel.onopen = () => resolve(true)));
  const returned = new Promise((resolve) => (channel.onmessage = () => resolve(true)));
  const broken = new Promise((resolve) => {
    here.onconnectionstatechange = () => here.connectionState === "failed" && resolve(false);
  });
  await here.setLocalDescription(await here.createOffer());
  await there.setRemoteDescription(here.localDescription);
  await there.setLocalDescription(await there.createAnswer());
  await here.setRemoteDescription(there.localDescription);
  const ended = Promise.race([broken, late.then(() => false)]);
  if (!(await Promise.race([opened, ended]))) {
    return unreached(
      `Two connections within this page could not reach each other within ${seconds(limit)}.`,
      "Look for an extension, a VPN, security software or a browser policy that restricts WebRTC.",
    );
  }
  const sent = performance.now();
  channel.send("there and back");
  if (!(await Promise.race([returned, ended]))) {
    return failed("A data channel within this page opened, and carried nothing.", "Update the browser, or use another one.");
  }
  return passed("A message went over a data channel within this page, there and back.", `round trip ${(performance.now() - sent).toFixed(1)} ms`);
}

function connectCandidates(here, there) {
  for (const [from, to] of [[here, there], [there, here]]) {
    // What comes before the other side has the description waits for it.
    const waiting = [];
    const give = (candidate) => to.addIceCandidate(candidate).catch(() => {});
    to.onsignalingstatechange = () => to.remoteDescription && waiting.splice(0).forEach(give);
    from.onicecandidate = ({ candidate }) => {
      if (!candidate) return;
      if (to.remoteDescription) give(candidate);
      else waiting.push(candidate);
    };
  }
}

// ---- camera and microphone ----

/**
 * Not asked for, a device is only looked at: the browser asks the visitor nothing, and nothing counts as failed, because
 * a page may well need none.
 */
const deviceCheck = (name, kind, constraints) => async ({ media, keep, late, limit }) => {
  const devices = globalThis.navigator?.mediaDevices;
  if (typeof devices?.getUserMedia !== "function") {
    return globalThis.isSecureContext === false
      ? skipped(`A ${name} needs a secure page, and this one is not.`, "Serve the page over https.")
      : skipped(`This browser gives pages no ${name}.`, "Use a current browser.");
  }
  if (!media) return look(devices, name, kind);
  let problem;
  const asked = devices.getUserMedia(constraints).then(
    (stream) => {
      keep(() => stream.getTracks().forEach((track) => track.stop()));
      return stream;
    },
    (error) => void (problem = error),
  );
  const stream = await Promise.race([asked, late]);
  if (stream) return passed(`The ${name} can be opened.`, stream.getTracks()[0]?.label ?? "");
  if (problem) return refusal(problem, name);
  return failed(`The ${name} did not open within ${seconds(limit)}.`, "Answer the browser's question, or close what else uses it.");
};

async function look(devices, name, kind) {
  const remedy = "Run the check with `media: true` to try it.";
  // Browsers differ in which permissions can be asked about.
  const query = async () => (await navigator.permissions.query({ name })).state;
  const [state, list] = await Promise.all([query().catch(() => "unknown"), devices.enumerateDevices?.() ?? []]);
  if (!list.some((device) => device.kind === kind)) return skipped(`Not asked for, and the browser knows of no ${name}.`, remedy);
  if (state === "denied") return skipped(`Not asked for, and this page is denied the ${name}.`, ALLOW(name));
  if (state === "granted") return passed(`There is a ${name}, and this page is allowed to use it.`, "not opened");
  return skipped(`Not asked for; there is a ${name}, and the browser would ask first.`, remedy);
}

const ALLOW = (name) => `Allow the ${name} in the browser's settings for this site.`;

/** W3C Media Capture and Streams, 10.2: why `getUserMedia` rejects. */
function refusal({ name: reason, message }, name) {
  switch (reason) {
    case "NotAllowedError":
      return /system/i.test(message)
        ? failed(`The operating system denies the browser the ${name}.`, `Allow the ${name} for this browser in the system's settings.`, message)
        : failed(`This page is denied the ${name}, by the visitor or by a policy.`, ALLOW(name), message);
    case "NotFoundError":
    case "OverconstrainedError":
      return failed(`The browser knows of no ${name}.`, `Connect a ${name}, or turn it on in the system's settings.`, message);
    case "NotReadableError":
    case "AbortError":
      return failed(`The ${name} can't be started.`, "Close other programs and pages that use it, or connect it again.", message);
    default:
      return failed(`The browser refuses the ${name}.`, ALLOW(name), `${reason}: ${message}`);
  }
}

// ---- the whole ----

const CHECKS = {
  signalling,
  webSocket,
  hostCandidates,
  reflexiveCandidates,
  stun: serverCheck("stun", "STUN server", "", askStun),
  turnUdp: serverCheck("turnUdp", "TURN server", " over UDP", askTurn),
  turnTcp: serverCheck("turnTcp", "TURN server", " over TCP or TLS", askTurn),
  dataChannel,
  camera: deviceCheck("camera", "videoinput", { video: true }),
  microphone: deviceCheck("microphone", "audioinput", { audio: true }),
};

/**
 * @param {object} subject  what it is about, from the client:
 *   `client`, `server()` (its address), `iceServers`, `isAdmitted` (the server had the chance to hand out its own),
 *   `isRelayOnly`, `token`, `failure()` (why it is closed), and the class of errors
 */
export async function diagnose({ PeerloomError, iceServers, token, ...subject }, options) {
  const { media, timeout, signal, onProgress } = validated(options, PeerloomError);
  let abort;
  const aborted = new Promise((_, reject) => (abort = () => reject(new PeerloomError("aborted"))));
  if (signal?.aborted) abort();
  signal?.addEventListener("abort", abort);
  const begun = performance.now();
  const when = new Date().toISOString();
  const servers = flatten(iceServers);
  const { shown, secrets } = split(subject.server);
  const hide = hider([token, ...secrets, ...servers.flatMap(({ server }) => [server.username, server.credential])]);
  const about = { ...subject, servers, hasOwnServers: servers.length > 0, media };
  const runs = Object.entries(CHECKS).map(async ([name, work]) => {
    const isDevice = media && (work === CHECKS.camera || work === CHECKS.microphone);
    const check = await run(name, work, about, isDevice ? Math.max(timeout, ANSWER_TIMEOUT) : timeout, aborted, hide);
    tell(onProgress, check);
    return check;
  });
  await Promise.allSettled(runs);
  signal?.removeEventListener("abort", abort);
  const checks = await Promise.all(runs);
  const report = {
    ok: checks.every(({ status }) => status !== "failed"),
    summary: conclude(checks, subject.isRelayOnly),
    checks,
    when,
    milliseconds: Math.round(performance.now() - begun),
    version: VERSION,
    browser: globalThis.navigator?.userAgent ?? "",
    page: globalThis.location?.origin ?? "",
    server: shown,
    state: subject.client.state,
  };
  return { ...report, text: write(report) };
}

/** One check, within its time limit. What it opened is closed at its end, and what opens later still is too. */
async function run(name, work, about, limit, aborted, hide) {
  const begun = performance.now();
  const closers = [];
  let isOver = false;
  const keep = (close) => (isOver ? close() : closers.push(close));
  let timer;
  const late = new Promise((resolve) => (timer = setTimeout(resolve, limit)));
  // A moment later, so that a check can first say what it knows.
  const stuck = late
    .then(() => new Promise((resolve) => setTimeout(resolve)))
    .then(() => failed(`There was no answer within ${seconds(limit)}.`, "Run the check again, with more time."));
  let verdict;
  try {
    verdict = await Promise.race([work({ ...about, keep, late, limit }).catch(thrown), stuck, aborted]);
  } finally {
    isOver = true;
    clearTimeout(timer);
    for (const close of closers) close();
  }
  const { status, cause, remedy, detail } = verdict;
  return { name, status, cause: hide(cause), remedy: hide(remedy), detail: hide(detail), milliseconds: Math.round(performance.now() - begun) };
}

const thrown = ({ name, message }) => failed("The browser refuses this check.", "See the detail for what it says.", `${name}: ${message}`);

/** What the page's own function throws is the page's own error. */
function tell(onProgress, check) {
  try {
    onProgress?.({ ...check });
  } catch (error) {
    reportUncaught(error);
  }
}

function validated(options, PeerloomError) {
  const given = options ?? {};
  const refuse = (option, why) => new PeerloomError("invalid_option", `\`${option}\` ${why}`);
  if (typeof given !== "object") throw refuse("options", "take an object");
  const { media, timeout, signal, onProgress } = given;
  if (![undefined, null, true, false].includes(media)) throw refuse("media", "takes true or false");
  if (timeout !== undefined && timeout !== null && !(typeof timeout === "number" && timeout >= 1 && timeout <= 86_400_000)) {
    throw refuse("timeout", "takes 1 to 86400000 milliseconds");
  }
  if (signal && typeof signal.addEventListener !== "function") throw refuse("signal", "takes an AbortSignal");
  if (onProgress && typeof onProgress !== "function") throw refuse("onProgress", "takes a function");
  return { media: media ?? false, timeout: timeout ?? DEFAULT_TIMEOUT, signal, onProgress };
}

/** Browsers quote what they were given; a report goes to others. */
function hider(secrets) {
  const hidden = secrets.filter((secret) => typeof secret === "string" && secret.length > 2);
  return (text) => hidden.reduce((rest, secret) => rest.replaceAll(secret, "…"), text);
}

/** The server's address without what may be secret in it, and that. */
function split(server) {
  try {
    const { protocol, host, pathname, search, username, password } = new URL(server());
    return { shown: `${protocol}//${host}${pathname}`, secrets: [search, username, password] };
  } catch {
    return { shown: "", secrets: [] };
  }
}

/** What it all comes to, in one sentence. */
function conclude(checks, isRelayOnly) {
  const named = new Map(checks.map((check) => [check.name, check.status]));
  const is = (status, ...names) => names.some((name) => named.get(name) === status);
  if (is("failed", "webSocket")) return "The server can't be reached, so no new link can be made.";
  if (is("failed", "signalling")) return "The server answers, but this client has no session with it, so no new link can be made.";
  if (is("failed", "dataChannel", "hostCandidates")) return "This browser can make no direct links, so messages go through the server.";
  const hasRelay = is("passed", "turnUdp", "turnTcp");
  if (isRelayOnly && !hasRelay) return "Direct links need a TURN server here and there is none, so messages go through the server.";
  if (is("failed", "stun", "turnUdp", "turnTcp", "reflexiveCandidates")) {
    return hasRelay
      ? "Direct links can be made, but not all STUN and TURN servers work."
      : "Direct links can be made within this network; to other networks, messages may go through the server.";
  }
  if (is("failed", "camera", "microphone")) return "Direct links can be made, but not everything that calls need works.";
  if (is("passed", "stun", "reflexiveCandidates") || hasRelay) return "Direct links can be made.";
  return "Direct links can be made within this network; across networks, a STUN or TURN server would help.";
}

/** For a person to read, and to send on. */
function write({ ok, summary, checks, when, milliseconds, version, browser, page, server, state }) {
  const count = (status) => checks.filter((check) => check.status === status).length;
  const lines = [
    `Connection check: ${ok ? "nothing failed" : `${count("failed")} failed`}, ${count("passed")} passed, ${count("skipped")} skipped`,
    summary,
    "",
    `When:     ${when} (took ${milliseconds} ms)`,
    `Peerloom: ${version}`,
    `Browser:  ${browser}`,
    `Page:     ${page}`,
    `Server:   ${server}`,
    `Client:   ${state}`,
    "",
  ];
  for (const { name, status, cause, remedy, detail, milliseconds } of checks) {
    lines.push(`${status.toUpperCase().padEnd(8)}${name} (${milliseconds} ms): ${cause}`);
    if (remedy) lines.push(`        Remedy: ${remedy}`);
    if (detail) lines.push(`        Detail: ${detail}`);
  }
  return lines.join("\n");
}
