// The demo's beginning: loads the SDK, connects, and shows the thread that the address's hash names, or the start screen
// without one. All other threads stay joined in the meantime. Everything that is remembered is in store.js.
//
// What tests can hold on to (all are attributes, stable against restyling):
//   html[data-view]                         "loading" | "start" | "thread" | "fatal"
//   html[data-client]                       the client's state, or "failed" if it could not connect
//   [data-role=new-thread]                  starts a thread and goes there; [data-role=join-form] with input[name=thread]
//   [data-role=thread][data-id][data-unread] an open thread in the list (its <a> shows it, its <button> leaves it)
//   [data-role=thread-title], [data-role=thread-summary]
//   [data-role=composer] textarea[name=message], Enter sends
//   [data-role=message][data-own][data-author][data-state] [data-role=text]
//                                           data-state of one's own: "sending" | "delivered" | "unheard" | "failed"
//   [data-role=retry], [data-role=trouble]  in a message that did not arrive
//   [data-role=offer][data-own][data-author][data-state] files: data-state of somebody's is "offered", "declined", "closed", or
//                                           the transfer's state; of one's own "preparing" | "open" | "closed" | "failed".
//                                           In it [data-role=offer-name], [data-role=offer-meta], [data-role=note],
//                                           [data-role=offer-files], [data-role=offer-picture], [data-role=offer-progress],
//                                           [data-role=offer-words], [data-role=offer-outcome], buttons [data-role=accept],
//                                           decline, pause, cancel, save, withdraw, and for each who answers one's own
//                                           [data-role=receiver][data-id][data-state]
//   [data-role=attach] opens input[name=files]; [data-role=drop-target] is in sight while files are dragged
//   [data-role=notice][data-kind][data-reason]  kind "join" | "leave" | "name" | "note"; reason as in the SDK's `leave`
//   [data-role=person][data-id][data-state] [data-role=link-state]; oneself is [data-role=me]
//   [data-role=invite] opens dialog#share; [data-role=invitation] has input[name=link], [data-role=copy-link] and svg.qr
//   [data-role=leave]; [data-role=yes] agrees in dialog#ask
//   [data-role=edit-name] opens dialog#name with [data-role=name-form] input[name=name]
//   [data-role=check-open] opens dialog#check[data-state] ("running" | "ok" | "failed") with [data-role=check-result], one
//                                           [data-role=check][data-name][data-status] for each check ("waiting" | "passed" |
//                                           "failed" | "skipped"), [data-role=check-media], [data-role=check-again],
//                                           [data-role=check-copy]
//   [data-role=banner][data-kind]           "connecting" | "recovering" | "offline" | "failed" | "closed" | "no-webrtc" | "error"
//   [data-role=fatal], [data-role=alone], [data-role=nobody], [data-role=name-hint], [data-role=join-failed], [data-role=jump]
// @ts-check

import { Attach } from "./attach.js";
import { braid } from "./braid.js";
import { ConnectionCheck } from "./connection-check.js";
import { ask, dialog, Panel } from "./dialogs.js";
import { announce, avatar, h, icon, inNextFrame, isolated, need, unseen } from "./dom.js";
import { explain } from "./explain.js";
import { cleanName, dye, hashOf, threadFrom, threadOfHash, threadTitle } from "./names.js";
import { Session } from "./session.js";
import { forgetThread, loadName, openThreads, recentThreads, rememberThread, saveName, saveOpenThreads } from "./store.js";
import { OpenThread } from "./thread.js";
import { ThreadView } from "./thread-view.js";
import { Threads } from "./threads.js";

const SDK = "/pkg/index.js";
/** Connecting usually takes less, and then no banner needs to come and go. */
const QUIET_MS = 900;

const page = document.documentElement;
const me = loadName();
/** @type {Map<string, OpenThread>} */
const open = new Map();
let visible = "";
/** @type {Session | null} */
let session = null;
let webrtc = true;
let webrtcSeen = false;
let connectingSince = performance.now();
let lastError = "";

const view = new ThreadView({
  me: () => ({ id: session?.id ?? "", ...me }),
  editName,
  keepName: () => rename(me.name),
  rejoin: (model) => void session?.join(model),
  leave: (id) => void leave(id),
});
new Attach({ target: () => (page.dataset.view === "thread" ? (open.get(visible) ?? null) : null) });
const threads = new Threads({ open, visible: () => visible, leave: (id) => void leave(id) });
const threadsPanel = new Panel("threads", "threads-button", "(min-width: 56rem)");
const peoplePanel = new Panel("people", "people-button", "(min-width: 72rem)");
const nameDialog = dialog("name");
const joinDialog = dialog("join");
dialog("ask");
/** @type {ConnectionCheck | null} */
let connectionCheck = null;

// ---- threads ------------------------------------------------------------------------------------------------------

/** @param {OpenThread} model */
function add(model) {
  open.set(model.id, model);
  model.onChange((change) => {
    if (change.kind === "unread") {
      threads.update();
      showTitle();
      if (page.dataset.view === "start") showRecent();
      const what = model.items[model.items.length - 1]?.type === "offer" ? "Files offered" : "New message";
      if (model.id !== visible && model.unread === 1) announce(`${what} in ${model.title}`);
    } else if (change.kind === "over") {
      announce(change.text);
    }
  });
  saveOpenThreads(open.keys());
  threads.update();
}

/** Shows what the address says. */
function route() {
  threadsPanel.close();
  peoplePanel.close();
  const wanted = threadOfHash(location.hash);
  if (wanted === "") {
    showStart();
    return;
  }
  let model = open.get(wanted);
  if (model === undefined) {
    model = new OpenThread(wanted);
    const { error } = threadFrom(`#${wanted}`);
    add(model);
    if (error !== undefined) model.fail(error);
    else void session?.join(model);
  }
  visible = wanted;
  need("skip", HTMLElement).textContent = "Skip to the message field";
  page.dataset.view = "thread";
  rememberThread(wanted);
  view.show(model);
  watch();
  threads.update();
  showTitle();
  view.focus();
}

function showStart() {
  visible = "";
  need("skip", HTMLElement).textContent = "Skip the list of threads";
  page.dataset.view = "start";
  view.show(null);
  watch();
  threads.update();
  showTitle();
  showRecent();
}

function watch() {
  for (const model of open.values()) model.watch(model.id === visible && document.visibilityState === "visible");
}

const showTitle = inNextFrame(() => {
  const unread = [...open.values()].reduce((sum, model) => sum + model.unread, 0);
  const title = open.get(visible)?.title;
  document.title = `${unread > 0 ? `(${unread}) ` : ""}${title === undefined ? "" : `${title} · `}Peerloom`;
});

/** @param {HTMLButtonElement} button */
async function startThread(button) {
  if (session === null || button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  try {
    const model = await session.create();
    add(model);
    location.hash = hashOf(model.id);
  } catch (error) {
    showError(explain(error));
  } finally {
    button.removeAttribute("aria-busy");
  }
}

/** @param {string} id */
async function leave(id) {
  const model = open.get(id);
  if (model === undefined) return;
  const said = model.items.some((item) => item.type !== "notice");
  if (said) {
    const { pending } = model;
    const { sent, received } = model.underWay;
    const losses = [
      sent + received > 0 ? "Files are still on their way and would not arrive." : "",
      pending > 0 ? `${pending === 1 ? "A message has" : `${pending} messages have`} not arrived yet and would be lost.` : "",
      "The conversation disappears from this page.",
      sent + received + pending > 0 ? "" : "The link stays good.",
    ];
    const text = losses.filter((loss) => loss !== "").join(" ");
    if (!(await ask({ title: `Leave ${model.title}?`, text, yes: "Leave" }))) return;
  }
  model.leave();
  const { thread } = model;
  open.delete(id);
  saveOpenThreads(open.keys());
  view.composer.forget(id);
  model.detach();
  void thread?.leave().catch((error) => showError(explain(error)));
  announce(`You left ${model.title}`);
  if (id === visible) {
    const next = [...open.keys()].pop();
    // Replaced, so that "back" does not at once lead into the thread that was left.
    history.replaceState(null, "", next === undefined ? location.pathname + location.search : hashOf(next));
    route();
    if (next === undefined) need("start-title", HTMLElement).focus();
  } else {
    threads.update();
    showTitle();
  }
}

function showRecent() {
  // Those still open are for narrow screens, where the list of threads is out of sight.
  const ids = [...new Set([...open.keys(), ...recentThreads()])];
  need("recent", HTMLElement).hidden = ids.length === 0;
  need("recent-list", HTMLElement).replaceChildren(
    ...ids.map((id) => {
      const title = threadTitle(id);
      const forget = h("button", { type: "button", className: "icon-button", "aria-label": `Forget ${title}`, title: "Forget" }, icon("close"));
      forget.addEventListener("click", () => {
        forgetThread(id);
        showRecent();
        need("start-title", HTMLElement).focus();
      });
      const model = open.get(id);
      const link = h(
        "a",
        { href: hashOf(id) },
        h("span", { className: "knot", "aria-hidden": "true" }),
        isolated(title, "name"),
        model !== undefined && h("span", { className: "small" }, model.unread > 0 ? `${model.unread} unread` : "open"),
      );
      return h("li", { className: `${dye(id)}${model === undefined ? "" : " open"}` }, link, model === undefined && forget);
    }),
  );
}

// ---- one's own name -----------------------------------------------------------------------------------------------

function editName() {
  const field = need("name-field", HTMLInputElement);
  field.value = me.name;
  need("name-note", HTMLElement).textContent = "It is remembered in this browser only.";
  nameDialog.showModal();
  field.select();
}

/** @param {string} name */
function rename(name) {
  me.name = name;
  me.chosen = true;
  saveName(name);
  session?.rename();
  showMe();
  view.update();
  view.people.update();
}

function showMe() {
  const word = wordOfState();
  for (const button of document.querySelectorAll("[data-role=edit-name]")) {
    button.replaceChildren(
      avatar(session?.id ?? "", me.name),
      h("span", { className: "about" }, isolated(me.name, "name"), h("span", { className: "state" }, word)),
      icon("pencil"),
      unseen("Change your name"),
    );
  }
}

// ---- the client's state -------------------------------------------------------------------------------------------

function wordOfState() {
  if (!navigator.onLine && session?.state !== "online") return "No network";
  switch (session?.state) {
    case "online":
      return "Online";
    case "recovering":
      return "Reconnecting";
    case "failed":
    case "closed":
      return "Not connected";
    default:
      return "Connecting";
  }
}

function clientChanged() {
  const state = session?.state ?? "idle";
  if (state === "connecting" && page.dataset.client !== "connecting") {
    connectingSince = performance.now();
    setTimeout(showBanners, QUIET_MS + 20);
  }
  if (state === "closed") for (const model of open.values()) model.fail("The connection to the server was closed.");
  page.dataset.client = state;
  showMe();
  showBanners();
  view.update();
  view.people.update();
}

/** @param {string} text */
function showError(text) {
  lastError = text;
  showBanners();
}

/**
 * With `puzzling`, it offers the connection check.
 * @typedef {{ kind: string, text: string, action?: { label: string, run: () => void }, urgent?: boolean, puzzling?: boolean }} Banner
 */

/** @returns {Banner[]} */
function bannersNow() {
  /** @type {Banner[]} */
  const list = [];
  const again = { label: "Try now", run: () => void session?.connect() };
  const state = session?.state;
  if (!navigator.onLine && state !== "online") {
    list.push({ kind: "offline", text: "This device has no network. Your messages are kept until it is back.", puzzling: true });
  } else if (state === "recovering") {
    list.push({ kind: "recovering", text: "Reconnecting… Your messages are kept.", puzzling: true });
  } else if (state === "failed") {
    list.push({ kind: "failed", text: `${session?.problem ?? ""} We keep trying.`.trim(), action: again, urgent: true, puzzling: true });
  } else if (state === "closed") {
    list.push({ kind: "closed", text: "The connection was closed.", action: { ...again, label: "Connect again" }, urgent: true, puzzling: true });
  } else if (state === "connecting" && performance.now() - connectingSince > QUIET_MS) {
    list.push({ kind: "connecting", text: "Connecting…", puzzling: true });
  }
  if (lastError !== "") {
    list.push({ kind: "error", text: lastError, urgent: true, action: { label: "Dismiss", run: () => showError("") } });
  }
  if (!webrtc && !webrtcSeen) {
    const run = () => {
      webrtcSeen = true;
      showBanners();
    };
    list.push({
      kind: "no-webrtc",
      text: "This browser can’t make direct links. Messages go through the server.",
      action: { label: "OK", run },
      puzzling: true,
    });
  }
  return list;
}

function showBanners() {
  const place = need("banners", HTMLElement);
  const wanted = bannersNow();
  const key = (/** @type {Banner} */ { kind, text }) => `${kind} ${text}`;
  // Those that stay are not touched: a screen reader would read them again, and the focus in them would be lost.
  const there = new Map([...place.children].map((element) => [element.getAttribute("data-key") ?? "", element]));
  for (const [at, element] of there) if (!wanted.some((banner) => key(banner) === at)) element.remove();
  wanted.forEach((banner, index) => {
    const element = there.get(key(banner)) ?? drawBanner(banner, key(banner));
    if (place.children[index] !== element) place.insertBefore(element, place.children[index] ?? null);
  });
}

/** @param {Banner} banner @param {string} key */
function drawBanner({ kind, text, action, urgent = false, puzzling = false }, key) {
  const check = h("button", { type: "button", className: "quiet", onclick: () => connectionCheck?.open() }, "What’s wrong?");
  check.dataset.role = "check-open";
  const element = h(
    "div",
    { className: "banner", role: urgent ? "alert" : "status" },
    h("span", { className: "pulse", "aria-hidden": "true" }),
    h("p", {}, text),
    puzzling && check,
    action !== undefined && h("button", { type: "button", className: "quiet", onclick: action.run }, action.label),
  );
  element.dataset.role = "banner";
  element.dataset.kind = kind;
  element.dataset.key = key;
  // A status that comes into the page together with its text is passed over by some screen readers.
  if (!urgent) announce(text);
  return element;
}

/** @param {string} title @param {string} text */
function giveUp(title, text) {
  page.dataset.view = "fatal";
  need("loading", HTMLElement).hidden = true;
  need("app", HTMLElement).hidden = true;
  need("fatal-title", HTMLElement).textContent = title;
  need("fatal-text", HTMLElement).textContent = text;
  need("fatal", HTMLElement).hidden = false;
}

// ---- the page -----------------------------------------------------------------------------------------------------

function listen() {
  addEventListener("hashchange", route);
  document.addEventListener("visibilitychange", watch);
  for (const name of ["online", "offline"]) addEventListener(name, () => (showMe(), showBanners()));
  addEventListener("pagehide", () => session?.close());
  // Out of the back/forward cache: the client was closed on the way in.
  addEventListener("pageshow", (event) => event.persisted && location.reload());
  addEventListener("beforeunload", (event) => {
    const waiting = [...open.values()].some((model) => model.people.size > 0 && model.pending > 0);
    // What others are getting ends with this page; what this page is getting goes on after a reload.
    const sending = [...open.values()].some((model) => model.underWay.sent > 0);
    if ((session?.state === "recovering" && waiting) || sending) event.preventDefault();
  });
  visualViewport?.addEventListener("resize", () => {
    // Safari's keyboard lies over the page and changes no other measure.
    const covered = innerHeight - (visualViewport?.height ?? innerHeight) * (visualViewport?.scale ?? 1);
    if (covered > 120) page.style.setProperty("--app-height", `${visualViewport?.height ?? innerHeight}px`);
    else page.style.removeProperty("--app-height");
  });
  for (const button of document.querySelectorAll("button[data-role=new-thread]")) {
    if (button instanceof HTMLButtonElement) button.addEventListener("click", () => void startThread(button));
  }
  for (const button of document.querySelectorAll("[data-role=edit-name]")) button.addEventListener("click", editName);
  // The address does not change, and nothing else would happen, where the visible thread is chosen again.
  need("threads-list", HTMLElement).addEventListener("click", (event) => {
    if (event.target instanceof Element && event.target.closest("a") !== null) threadsPanel.close();
  });
  for (const home of document.querySelectorAll("[data-role=home]")) {
    home.addEventListener("click", (event) => {
      event.preventDefault();
      history.pushState(null, "", location.pathname + location.search);
      route();
      need("start-title", HTMLElement).focus();
    });
  }
  need("skip", HTMLButtonElement).addEventListener("click", () => {
    if (page.dataset.view === "thread") view.composer.focus();
    else need("start-title", HTMLElement).focus();
  });
  for (const button of document.querySelectorAll("[data-role=check-open]")) {
    button.addEventListener("click", () => connectionCheck?.open());
  }
  document.querySelector("[data-role=join-open]")?.addEventListener("click", () => {
    joinDialog.showModal();
    need("join-name", HTMLInputElement).select();
  });
  for (const form of document.querySelectorAll("form[data-role=join-form]")) {
    if (form instanceof HTMLFormElement) form.addEventListener("submit", (event) => join(event, form));
  }
  need("name-form", HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    const name = cleanName(need("name-field", HTMLInputElement).value);
    if (name === "") {
      need("name-note", HTMLElement).textContent = "A name needs at least one letter.";
      return;
    }
    rename(name);
    nameDialog.close();
  });
  need("fatal-again", HTMLButtonElement).addEventListener("click", () => location.reload());
}

/** @param {SubmitEvent} event @param {HTMLFormElement} form */
function join(event, form) {
  event.preventDefault();
  const field = form.querySelector("input");
  const note = form.querySelector(".small");
  if (field === null || note === null) return;
  const { id, error } = threadFrom(field.value);
  field.setAttribute("aria-invalid", String(error !== undefined));
  if (id === undefined) {
    note.textContent = error ?? "";
    field.focus();
    return;
  }
  note.textContent = "";
  field.value = "";
  if (joinDialog.open) joinDialog.close();
  if (threadOfHash(location.hash) === id) route();
  else location.hash = hashOf(id);
}

async function begin() {
  /** @type {typeof import("../js/index.js")} */
  let sdk;
  try {
    sdk = await import(SDK);
  } catch {
    giveUp("Something is missing", "A part of this page could not be loaded. Check your network, then load it again.");
    return;
  }
  const { supported } = sdk.Client;
  if (!supported.webAssembly || !supported.webSocket) {
    const what = supported.webAssembly ? "WebSocket" : "WebAssembly";
    giveUp("Not in this browser", `Peerloom needs ${what}, which this browser does not have or does not allow here. Any current browser has it.`);
    return;
  }
  webrtc = supported.webrtc;
  session = new Session(sdk, { name: () => me.name, open, onChange: clientChanged, onError: showError });
  connectionCheck = new ConnectionCheck(session.diagnose.bind(session));
  need("braid", HTMLElement).append(braid());
  for (const id of openThreads()) if (threadFrom(`#${id}`).error === undefined) add(new OpenThread(id));
  listen();
  need("loading", HTMLElement).remove();
  need("app", HTMLElement).hidden = false;
  showMe();
  showBanners();
  route();
  await session.connect();
}

void begin();
