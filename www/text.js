// What people write, as nodes: plain text with clickable web addresses and nothing else. Long texts are cut until
// somebody asks for the rest, so that one message can't push everything else away.
// @ts-check

import { h } from "./dom.js";

const SHORT = { characters: 1600, lines: 24 };
/** More than this of one message is not kept. */
export const LONGEST = 100_000;
const MOST_LINKS = 100;

// No invisible or direction-changing character may be part of a link: it could show another address than it has.
const ADDRESS = /\bhttps?:\/\/[^\s<>"`\p{C}]+/giu;

/** @param {string} text @returns {Node} */
export function linked(text) {
  const nodes = document.createDocumentFragment();
  let from = 0;
  let links = 0;
  for (const match of text.matchAll(ADDRESS)) {
    if (links === MOST_LINKS) break;
    const shown = withoutTail(match[0]);
    const url = httpUrl(shown);
    if (url === null) continue;
    nodes.append(text.slice(from, match.index));
    nodes.append(h("a", { href: url.href, target: "_blank", rel: "noopener noreferrer nofollow", title: url.href }, shown));
    from = match.index + shown.length;
    links += 1;
  }
  nodes.append(text.slice(from));
  return nodes;
}

/** Punctuation after an address belongs to the sentence, a bracket only if it was opened before. @param {string} address */
function withoutTail(address) {
  let end = address.length;
  while (end > 0) {
    const last = address[end - 1] ?? "";
    const opened = last === ")" ? "(" : last === "]" ? "[" : "";
    const isTail = opened === "" ? /[.,;:!?'’”»*_~}]/.test(last) : !address.slice(0, end).includes(opened);
    if (!isTail) break;
    end -= 1;
  }
  return address.slice(0, end);
}

/** @param {string} address */
function httpUrl(address) {
  try {
    const url = new URL(address);
    return url.protocol === "http:" || url.protocol === "https:" ? url : null;
  } catch {
    return null;
  }
}

/** @param {string} text */
export function messageText(text) {
  const element = h("div", { className: isOnlyEmoji(text) ? "text big" : "text", dir: "auto" });
  element.dataset.role = "text";
  const start = beginning(text);
  if (start.length === text.length) {
    element.append(linked(text));
    return element;
  }
  const more = h(
    "button",
    {
      type: "button",
      className: "quiet more",
      onclick: () => {
        element.replaceChildren(linked(text));
        element.tabIndex = -1;
        element.focus({ preventScroll: true }); // the button that had it is gone
      },
    },
    `Show all ${text.length.toLocaleString()} characters`,
  );
  element.append(linked(start), "… ", more);
  return element;
}

/** @param {string} text */
function beginning(text) {
  let start = text.length > SHORT.characters + 400 ? text.slice(0, SHORT.characters) : text;
  const lines = start.split("\n", SHORT.lines + 7);
  if (lines.length > SHORT.lines + 6) start = lines.slice(0, SHORT.lines).join("\n");
  return start.length < text.length ? start.replace(/[\ud800-\udbff]$/, "") : start;
}

/** @param {string} text */
const isOnlyEmoji = (text) =>
  text.length <= 24 && /^(?:\p{Extended_Pictographic}[\p{M}\u200d\p{Emoji_Modifier}]*\s?){1,3}$/u.test(text.trim());
