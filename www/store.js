// What this page remembers between visits: the name, the recent threads; and for this tab: open threads, drafts
// and files on their way. Storage may be forbidden, full, or hold what somebody else wrote there, so everything is checked
// when it is read.
// @ts-check

import { cleanName, inventName } from "./names.js";

const RECENT = 8;

/** @param {() => Storage} storage @param {string} key @returns {unknown} */
function read(storage, key) {
  try {
    return JSON.parse(storage().getItem(`peerloom.${key}`) ?? "null");
  } catch {
    return null;
  }
}

/** @param {() => Storage} storage @param {string} key @param {unknown} value */
function write(storage, key, value) {
  try {
    storage().setItem(`peerloom.${key}`, JSON.stringify(value));
  } catch {
    // Private windows and full disks: then nothing is remembered, and everything else works.
  }
}

const lasting = () => localStorage;
const ofThisTab = () => sessionStorage;

/** @param {unknown} value @returns {string[]} */
const strings = (value) => (Array.isArray(value) ? value.filter((entry) => typeof entry === "string" && entry !== "") : []);

/** The visitor's name; `chosen` says whether they gave it themselves or at least agreed to it. */
export function loadName() {
  const chosen = cleanName(read(lasting, "name"));
  if (chosen !== "") return { name: chosen, chosen: true };
  const invented = cleanName(read(lasting, "invented")) || inventName();
  write(lasting, "invented", invented);
  return { name: invented, chosen: false };
}

/** @param {string} name */
export const saveName = (name) => write(lasting, "name", name);

/** Ids of the threads visited lately, the latest first. */
export const recentThreads = () => strings(read(lasting, "recent")).slice(0, RECENT);

/** @param {string} id */
export const rememberThread = (id) =>
  write(lasting, "recent", [id, ...recentThreads().filter((other) => other !== id)].slice(0, RECENT));

/** @param {string} id */
export const forgetThread = (id) => write(lasting, "recent", recentThreads().filter((other) => other !== id));

/** So that a reload brings back all threads, not only the visible one. */
export const openThreads = () => strings(read(ofThisTab, "open"));

/** @param {Iterable<string>} ids */
export const saveOpenThreads = (ids) => write(ofThisTab, "open", [...ids]);

/** @returns {Map<string, string>} */
export function loadDrafts() {
  const entries = read(ofThisTab, "drafts");
  if (!Array.isArray(entries)) return new Map();
  return new Map(
    entries.filter((entry) => Array.isArray(entry) && typeof entry[0] === "string" && typeof entry[1] === "string"),
  );
}

/** @param {Map<string, string>} drafts */
export const saveDrafts = (drafts) => write(ofThisTab, "drafts", [...drafts]);

const ACCEPTED = 200;

/** Offers that were accepted and are not complete, so that they go on after a reload. */
export const acceptedOffers = () => strings(read(ofThisTab, "accepted")).slice(0, ACCEPTED);

/** @param {string} key */
export const rememberAccepted = (key) =>
  write(ofThisTab, "accepted", [key, ...acceptedOffers().filter((other) => other !== key)].slice(0, ACCEPTED));

/** @param {string} key */
export const forgetAccepted = (key) => write(ofThisTab, "accepted", acceptedOffers().filter((other) => other !== key));
