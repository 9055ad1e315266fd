// Names of people and threads: made up, cleaned and shown. Names that come from outside are hostile until they have
// been through `cleanName`, and even then they go into the page as text only.
// @ts-check

const COLOURS = ["Amber", "Cedar", "Copper", "Coral", "Fern", "Ginger", "Hazel", "Heather", "Indigo", "Ivory", "Juniper",
  "Linen", "Madder", "Maple", "Moss", "Ochre", "Pearl", "Plum", "Poppy", "Russet", "Saffron", "Sage", "Thistle", "Willow"];
const BIRDS = ["Bunting", "Crane", "Curlew", "Finch", "Grebe", "Heron", "Jackdaw", "Kestrel", "Lapwing", "Linnet", "Magpie",
  "Martin", "Merlin", "Nuthatch", "Oriole", "Owl", "Pipit", "Plover", "Puffin", "Robin", "Siskin", "Starling", "Swift",
  "Wren"];
const MOODS = ["Bright", "Broad", "Calm", "Clear", "Early", "Far", "Gentle", "Golden", "High", "Hidden", "Late", "Little",
  "Long", "Mild", "Old", "Open", "Quiet", "Round", "Silver", "Slow", "Soft", "Still", "Sunny", "Windy"];
const PLACES = ["Attic", "Bay", "Bridge", "Courtyard", "Garden", "Grove", "Harbour", "Hearth", "Hill", "Island", "Kitchen",
  "Lane", "Lantern", "Library", "Meadow", "Mill", "Orchard", "Porch", "Quay", "River", "Shore", "Terrace", "Valley",
  "Workshop"];

/** How many colours the style sheet has for people and threads: `.dye-0` and so on. */
const DYES = 10;
const NAME_LENGTH = 40;
const THREAD_BYTES = 128;

/** FNV-1a: the same colour and the same words for the same id in every browser. @param {string} text */
function hash(text) {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  // FNV's low bits are its weakest, and the remainder below takes just these.
  return (value ^ (value >>> 15)) >>> 0;
}

/** The class that colours whoever has this id. @param {string} id */
export const dye = (id) => `dye-${hash(id) % DYES}`;

/** @template T @param {readonly T[]} list @returns {T} */
const anyOf = (list) => /** @type {T} */ (list[Math.floor(Math.random() * list.length)]);

/** A friendly name to begin with. */
export const inventName = () => `${anyOf(COLOURS)} ${anyOf(BIRDS)}`;

/**
 * One line of at most 40 visible characters, or "" if nothing is left. Direction marks and other invisible characters
 * go, because `document.title` and screen readers have no way to isolate them; joiners stay, because emoji need them.
 * @param {unknown} value
 */
export function cleanName(value) {
  if (typeof value !== "string") return "";
  const name = value
    .slice(0, 1000)
    .normalize("NFC")
    .replace(/\s+/gu, " ")
    .replace(/[^\u200c\u200d\P{C}]|[\p{Zl}\p{Zp}]/gu, "")
    .replace(/(\p{M}{3})\p{M}+/gu, "$1")
    .trim();
  if (!/[\p{L}\p{N}\p{P}\p{S}]/u.test(name)) return "";
  return [...name].slice(0, NAME_LENGTH).join("").trim();
}

/** The name in what somebody says about themselves. @param {unknown} userData @param {string} id */
export function nameOf(userData, id) {
  const name =
    typeof userData === "object" && userData !== null && Object.hasOwn(userData, "name")
      ? cleanName(/** @type {{ name: unknown }} */ (userData).name)
      : "";
  return name || `Guest ${shortId(id)}`;
}

/** Tells apart two people of the same name. @param {string} id */
export const shortId = (id) => cleanName(id).replace(/[^\p{L}\p{N}]/gu, "").slice(-4) || "?";

/** One or two letters for an avatar. @param {string} name */
export function initials(name) {
  const words = name.split(/[\s._-]+/u).filter((word) => /[\p{L}\p{N}\p{S}]/u.test(word));
  const chosen = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return chosen.map((word) => firstCharacter(word ?? "")).join("").toLocaleUpperCase() || "?";
}

/** @param {string} word */
function firstCharacter(word) {
  if (typeof Intl.Segmenter === "function") {
    for (const { segment } of new Intl.Segmenter().segment(word)) return segment;
  }
  return [...word][0] ?? "";
}

/**
 * What a thread is called on this page. Unguessable ids are no pleasure to read, so they get two words instead, which
 * are made from the id and therefore the same for everybody in the thread.
 * @param {string} id
 */
export function threadTitle(id) {
  if (!looksRandom(id)) return cleanTitle(id) || "Thread";
  const value = hash(id);
  return `${MOODS[value % MOODS.length]} ${PLACES[Math.floor(value / MOODS.length) % PLACES.length]}`;
}

/** Like a name, but a thread's may be as long as the server allows. @param {string} id */
const cleanTitle = (id) =>
  id.normalize("NFC").replace(/[^\u200c\u200d\P{C}]|[\p{Zl}\p{Zp}]/gu, "").replace(/(\p{M}{3})\p{M}+/gu, "$1").trim();

/** Words have few changes between small letters, capitals and digits; random text has many. @param {string} id */
export function looksRandom(id) {
  if (!/^[A-Za-z0-9_-]{16,64}$/.test(id)) return false;
  const runs = id.match(/[A-Z]?[a-z]+|[A-Z]+|[0-9]+/g) ?? [];
  const breaks = id.match(/[_-]+/g) ?? [];
  const ordinary = /^[a-z0-9]{20,}$/.test(id) ? 3 : 5; // nobody types so much without a break
  return runs.length - breaks.length > ordinary;
}

/**
 * The thread that somebody means by what they typed or pasted: its name, or a link to it.
 * @param {string} typed
 * @returns {{ id: string, error?: undefined } | { id?: undefined, error: string }}
 */
export function threadFrom(typed) {
  let id = typed.trim();
  if (/^https?:\/\//i.test(id)) {
    const link = parseUrl(id);
    if (link !== null && link.hash.length > 1) {
      if (link.origin !== location.origin) return { error: `That link belongs to another place: ${link.host}` };
      id = threadOfHash(link.hash);
    }
  } else if (id.startsWith("#")) {
    id = id.slice(1).trim();
  }
  id = id.normalize("NFC");
  if (id === "") return { error: "Type the thread’s name, or paste a link to it." };
  if (/\p{Cc}/u.test(id)) return { error: "That name has characters in it that can’t be used." };
  const bytes = new TextEncoder().encode(id).length;
  if (bytes > THREAD_BYTES) return { error: `That name is too long: ${bytes} bytes, and ${THREAD_BYTES} is the most.` };
  return { id };
}

/** @param {string} text */
function parseUrl(text) {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}

/** The id in an address's hash, "" if there is none. @param {string} hashPart */
export function threadOfHash(hashPart) {
  const raw = hashPart.replace(/^#/, "");
  try {
    return decodeURIComponent(raw);
  } catch {
    return raw; // somebody typed a lone "%": then that is the name
  }
}

/** @param {string} id */
export const hashOf = (id) => `#${encodeURIComponent(id)}`;
