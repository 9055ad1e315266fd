// The servers of a run, all on loopback: the pages, the hand-written signalling, PeerJS's and Peerloom's.

import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { PeerServer } from "peer";
import { WebSocketServer } from "ws";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const HOST = "127.0.0.1";
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };

const listening = (server) => new Promise((resolve, reject) => {
  server.once("listening", () => resolve(server.address().port));
  server.once("error", reject);
});

/** The pages; nothing is cached, so that every page is a first visit. */
export async function pages(pkg) {
  const { resolve } = createRequire(import.meta.url);
  const roots = {
    pkg,
    peerjs: path.dirname(resolve("peerjs")),
    "simple-peer": path.dirname(resolve("simple-peer/package.json")),
  };
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    const [, first, ...rest] = pathname.split("/");
    const file = roots[first] ? path.join(roots[first], ...rest) : path.join(HERE, pathname);
    try {
      const body = await readFile(file);
      response.writeHead(200, {
        "Content-Type": TYPES[path.extname(file)] ?? "application/octet-stream",
        "Cache-Control": "no-store",
        // Isolated pages have a clock of 5 µs instead of 100 µs.
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
      });
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  server.listen(0, HOST);
  const port = await listening(server);
  return { address: `http://${HOST}:${port}`, close: () => server.close() };
}

/** The hand-written signalling: what one socket of a room says, the other hears. */
export async function relay() {
  const server = new WebSocketServer({ host: HOST, port: 0 });
  const rooms = new Map();
  server.on("connection", (socket, { url }) => {
    const room = rooms.get(url) ?? new Set();
    rooms.set(url, room.add(socket));
    socket.on("message", (data) => {
      for (const other of room) if (other !== socket) other.send(String(data));
    });
    socket.on("close", () => {
      room.delete(socket);
      if (room.size === 0) rooms.delete(url);
    });
  });
  const port = await listening(server);
  return { options: `ws://${HOST}:${port}`, close: () => server.close() };
}

/** PeerJS's own server. */
export async function peerServer() {
  const server = await new Promise((resolve, reject) => {
    const app = PeerServer({ host: HOST, port: 0, path: "/" }, resolve);
    app.on("error", reject);
  });
  return { options: { host: HOST, port: server.address().port, path: "/" }, close: () => server.close() };
}

/** Peerloom's server. */
export async function peerloomServer(binary) {
  const child = spawn(binary, ["--dev", "--no-site", "--listen", `${HOST}:0`], { stdio: ["ignore", "pipe", "pipe"] });
  process.once("exit", () => child.kill());
  const port = await new Promise((resolve, reject) => {
    let said = "";
    const hear = (data) => {
      said += data;
      const match = /127\.0\.0\.1:(\d+)/.exec(said);
      if (match && match[1] !== "0") resolve(Number(match[1]));
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`the server ended with ${code}: ${said}`)));
  });
  return { options: `ws://${HOST}:${port}/peerloom`, close: () => child.kill() };
}
