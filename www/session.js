// This page's client: connecting, and connecting again where the SDK has given up; joining threads with it. It knows
// nothing of the document; `onChange` tells when its state or problem is another one.
// @ts-check

import { explain } from "./explain.js";
import { OpenThread } from "./thread.js";

/** @typedef {import("../js/index.js").Client} Client */
/** @typedef {import("../js/index.js").ClientState} ClientState */
/** @typedef {typeof import("../js/index.js")} Sdk */

/** Seconds between tries to connect at all; the SDK itself looks after a session that it once had. */
const PATIENCE = [2, 5, 10, 20, 30];

export class Session {
  /**
   * @param {Sdk} sdk
   * @param {{ name: () => string, open: Map<string, OpenThread>, onChange: () => void, onError: (text: string) => void }} host
   */
  constructor(sdk, host) {
    this.sdk = sdk;
    this.host = host;
    /** @type {Client | null} */
    this.client = null;
    /** @type {ClientState | "failed"} */
    this.state = "idle";
    this.problem = "";
    this.tries = 0;
    this.timer = 0;
    /** @type {(() => void)[]} */
    this.waiting = [];
    addEventListener("online", () => this.state === "failed" && void this.connect());
  }

  get id() {
    return this.client?.id ?? "";
  }

  get userData() {
    return { name: this.host.name() };
  }

  async connect() {
    clearTimeout(this.timer);
    if (this.state === "connecting") return;
    const old = this.client;
    this.client = null; // so that what `close` still says is not taken for news
    void old?.close().catch(() => undefined);
    this.become("connecting");
    const client = new this.sdk.Client({ userData: this.userData });
    this.client = client;
    client.on("state", (state) => {
      if (this.client !== client || this.state === "failed") return;
      // `open` below reports its own failure, with a reason.
      if (state === "closed" && this.state === "connecting") return;
      this.become(state);
    });
    client.on("error", (error) => this.client === client && this.host.onError(explain(error)));
    try {
      await client.open();
    } catch (error) {
      if (this.client !== client) return;
      this.problem = explain(error);
      this.become("failed");
      const seconds = PATIENCE[Math.min(this.tries, PATIENCE.length - 1)] ?? 30;
      this.tries += 1;
      this.timer = setTimeout(() => void this.connect(), retryAfter(error) ?? seconds * 1000);
      return;
    }
    if (this.client !== client) return;
    this.tries = 0;
    this.problem = "";
    this.become(client.state);
    // The name may have been changed while this was under way.
    this.rename();
    for (const model of this.host.open.values()) void this.join(model);
    for (const go of this.waiting.splice(0)) go();
  }

  /** @param {ClientState | "failed"} state */
  become(state) {
    this.state = state;
    this.host.onChange();
  }

  get ready() {
    return this.client !== null && (this.state === "online" || this.state === "recovering");
  }

  /** Resolves once there is a client to work with. @returns {Promise<Client>} */
  async whenReady() {
    while (!this.ready) {
      if (this.state === "closed") void this.connect();
      await new Promise((resolve) => this.waiting.push(() => resolve(undefined)));
    }
    return /** @type {Client} */ (this.client);
  }

  /** @param {OpenThread} model */
  async join(model) {
    model.joining();
    if (this.state === "closed") void this.connect();
    const { client } = this;
    if (client === null || !this.ready) return; // `connect` comes back to it
    try {
      const thread = await client.thread(model.id, { userData: this.userData });
      if (this.client !== client) return;
      if (this.host.open.get(model.id) === model) model.attach(thread);
      else if (!this.host.open.has(model.id)) await thread.leave();
    } catch (error) {
      if (this.client === client) model.fail(explain(error));
    }
  }

  /** A new thread that nobody can guess. */
  async create() {
    const client = await this.whenReady();
    const thread = await client.thread(undefined, { userData: this.userData });
    const model = new OpenThread(thread.id);
    model.attach(thread);
    return model;
  }

  /** In every state: that is what it is for. @param {import("../js/index.js").DiagnoseOptions} options */
  diagnose(options) {
    return (this.client ?? new this.sdk.Client()).diagnose(options);
  }

  rename() {
    const { client, userData } = this;
    if (client === null || !this.ready) return;
    if (JSON.stringify(client.userData) !== JSON.stringify(userData)) client.setUserData(userData);
    for (const model of this.host.open.values()) model.thread?.setUserData(userData);
  }

  /** Says goodbye, so that others see "left" and need not wait until we time out. */
  close() {
    clearTimeout(this.timer);
    const { client } = this;
    this.client = null;
    void client?.close().catch(() => undefined);
  }
}

/** @param {unknown} error */
function retryAfter(error) {
  const after = error instanceof Error && "retryAfter" in error ? error.retryAfter : undefined;
  return typeof after === "number" && Number.isFinite(after) ? Math.max(500, after) : undefined;
}
