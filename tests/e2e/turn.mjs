// A TURN server for tests, coturn, on loopback addresses of its own, so that what it says is told from what the pages' own
// addresses would say.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { launch, stop } from "./support.mjs";

const LISTENS = "127.0.0.2";
/** The only address that a page behind it may show. */
export const RELAY = "127.0.0.3";

async function freePort() {
  const socket = createSocket("udp4").bind(0, LISTENS);
  await once(socket, "listening");
  const { port } = socket.address();
  await new Promise((resolve) => socket.close(resolve));
  return port;
}

/** Whether something answers a STUN binding request (RFC 8489, section 6) there. */
async function answers(port) {
  const request = Buffer.concat([Buffer.from("000100002112a442", "hex"), randomBytes(12)]);
  const socket = createSocket("udp4");
  try {
    const answer = once(socket, "message", { signal: AbortSignal.timeout(200) });
    socket.on("error", () => {});
    socket.send(request, port, LISTENS);
    await answer;
    return true;
  } catch {
    return false;
  } finally {
    socket.close();
  }
}

/** Starts it; `iceServers` are for the pages. */
export async function startTurn() {
  const port = await freePort();
  const child = launch("turnserver", [
    "-n",
    "--no-cli",
    "--no-tls",
    "--no-dtls",
    "--lt-cred-mech",
    "--realm=test",
    "--user=page:secret",
    "--allow-loopback-peers",
    `--listening-ip=${LISTENS}`,
    `--listening-port=${port}`,
    `--relay-ip=${RELAY}`,
    "--log-file=stdout",
    "--pidfile=",
  ]);
  let log = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (log = (log + data).slice(-5_000)));
  let ended = false;
  child.ended.then((how) => {
    ended = true;
    log += `\n${how?.message ?? how}`;
  });
  while (!(await answers(port))) assert(!ended, `turnserver did not start; is coturn installed?\n${log}`);
  return {
    iceServers: [{ urls: `turn:${LISTENS}:${port}?transport=udp`, username: "page", credential: "secret" }],
    stop: () => stop(child),
  };
}
