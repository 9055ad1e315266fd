// What every card of offered files has, whoever offers them: a picture or a tile, name, size, note, and the list of files.
// Everything in it comes from outside, so it becomes text, and pictures go through the browser's decoder as such only.
// @ts-check

import { h, icon, isolated, unseen } from "./dom.js";
import { messageText } from "./text.js";
import { filesText, sizeText } from "./units.js";

/** @typedef {import("../js/index.js").OfferedFile} OfferedFile */
/** @typedef {Pick<import("../js/index.js").FileOffer, "name" | "size" | "files" | "note" | "thumbnail">} Described */

/** What a browser draws without running anything. */
const PICTURES = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"];
/** Bytes; a larger one is a file like others. */
const LARGEST_PICTURE = 32 * 1024 * 1024;
const LISTED = 50;

/** @type {Record<string, string>} */
const DRAWINGS = { image: "picture", audio: "sound", video: "film" };

export class OfferCard {
  constructor() {
    this.tile = h("div", { className: "tile", "aria-hidden": "true" }, icon("file"));
    this.name = h("p", { className: "offer-name" });
    this.name.dataset.role = "offer-name";
    this.meta = h("p", { className: "offer-meta" });
    this.meta.dataset.role = "offer-meta";
    this.more = h("div", { className: "offer-more" });
    this.head = h("div", { className: "offer-head" }, this.tile, h("div", { className: "offer-about" }, this.name, this.meta));
    this.picture = h("div", { className: "offer-picture", hidden: true });
    this.element = h("div", { className: "offer", tabIndex: -1, role: "group" }, this.picture, this.head, this.more);
    /** @type {string[]} Addresses that hold on to what they show. */
    this.addresses = [];
  }

  /** @param {Described} offer */
  describe({ name, size, files, note, thumbnail }) {
    const several = files.length > 1;
    this.element.setAttribute("aria-label", name);
    this.name.replaceChildren(isolated(name));
    this.name.title = name;
    this.meta.replaceChildren([several && filesText(files.length), sizeText(size)].filter(Boolean).join(" · "));
    this.tile.replaceChildren(...tileOf(name, files));
    if (thumbnail !== undefined && !several) {
      const image = this.image(thumbnail, "");
      image.addEventListener("error", () => this.tile.replaceChildren(...tileOf(name, files)));
      this.tile.replaceChildren(image);
    }
    const words = note.trim() === "" ? null : messageText(note);
    if (words !== null) words.dataset.role = "note";
    this.more.replaceChildren(...[words, several && listOf(files, `${name}/`)].filter((part) => part instanceof Node));
  }

  /** Shows a file that has arrived, if it is a picture. @param {File} file */
  show(file) {
    if (!PICTURES.includes(file.type) || file.size > LARGEST_PICTURE || this.picture.hasChildNodes()) return;
    const image = this.image(file, file.name);
    image.dataset.role = "offer-picture";
    this.picture.replaceChildren(image);
    const shown = () => {
      this.picture.hidden = false;
      this.tile.hidden = true;
    };
    // Not before it can be seen; not at all if it is no picture.
    image.decode().then(shown, () => this.picture.replaceChildren());
  }

  /** @param {Blob} blob @param {string} alt */
  image(blob, alt) {
    const address = URL.createObjectURL(blob);
    this.addresses.push(address);
    return h("img", { src: address, alt, decoding: "async", draggable: false });
  }

  /** Runs `change`; what has the focus and goes gives it to what comes in its place. @param {() => void} change */
  keepingFocus(change) {
    const active = document.activeElement;
    const had = active instanceof HTMLElement && active !== this.element && this.element.contains(active);
    change();
    if (!had || (active.isConnected && active.closest("[hidden], :disabled") === null)) return;
    const next = [...this.element.querySelectorAll("button")].find((button) => button.closest("[hidden], :disabled, details") === null);
    (next ?? this.element).focus({ preventScroll: true });
  }

  /** Lets go of what it shows. */
  release() {
    for (const address of this.addresses.splice(0)) URL.revokeObjectURL(address);
  }
}

/** @param {string} name @param {readonly OfferedFile[]} files @returns {(Node | string)[]} */
function tileOf(name, files) {
  const [first] = files;
  if (files.length > 1 || first === undefined) return [icon(files.every(({ path }) => path.startsWith(`${name}/`)) ? "folder" : "files")];
  const drawing = DRAWINGS[first.type.split("/")[0] ?? ""];
  if (drawing !== undefined) return [icon(drawing)];
  const extension = /\.([a-z0-9]{1,4})$/i.exec(name)?.[1];
  return [icon("file"), ...(extension === undefined ? [] : [h("span", {}, extension.toUpperCase())])];
}

/** Filled when it is opened: there may be thousands. @param {readonly OfferedFile[]} files @param {string} folder */
function listOf(files, folder) {
  const list = h("ul", { className: "offer-files" });
  const details = h("details", {}, h("summary", {}, "Show the files"), list);
  details.dataset.role = "offer-files";
  details.addEventListener(
    "toggle",
    () => {
      const rows = files.slice(0, LISTED).map(({ path, size }) => {
        const shown = path.startsWith(folder) ? path.slice(folder.length) : path;
        return h("li", {}, isolated(shown, "path"), unseen(", "), h("span", { className: "size" }, sizeText(size)));
      });
      if (files.length > LISTED) rows.push(h("li", { className: "rest" }, `and ${filesText(files.length - LISTED)} more`));
      list.replaceChildren(...rows);
    },
    { once: true },
  );
  return details;
}
