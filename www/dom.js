// Building the page: elements, icons, avatars, and work put off to the next frame. Text always becomes a text node,
// so nothing that comes from outside is ever parsed as HTML.
// @ts-check

import { dye, initials } from "./names.js";

const SVG = "http://www.w3.org/2000/svg";

/** @typedef {Node | string | null | undefined | false} Child */

/**
 * Properties that name something an element has (`className`, `onclick`, `value`) are set, all others become attributes.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, unknown>} [properties]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name in element && !name.startsWith("aria-")) Reflect.set(element, name, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...kept(children));
  return element;
}

/** @param {Child[]} children */
const kept = (children) =>
  /** @type {(Node | string)[]} */ (children.filter((child) => child !== null && child !== undefined && child !== false));

/** @param {string} tag @param {Record<string, string | number>} [attributes] @param {...Node} children */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** One of the symbols in index.html. @param {string} name */
export const icon = (name) =>
  svg("svg", { class: "icon", "aria-hidden": "true", focusable: "false" }, svg("use", { href: `#icon-${name}` }));

/** A name from outside, kept from changing the direction of what stands around it. @param {string} name */
export const isolated = (name, className = "") => h("bdi", { className }, name);

/** A sentence with a name in the place of "{name}". @param {string} sentence @param {string} name @returns {(string | Node)[]} */
export const filled = (sentence, name) =>
  sentence.split("{name}").flatMap((part, index) => (index === 0 ? [part] : [isolated(name), part]));

/** Text for screen readers only. @param {string} text */
export const unseen = (text) => h("span", { className: "unseen" }, text);

/** Without an id (there is none before the first connection) it is grey. @param {string} id @param {string} name */
export const avatar = (id, name) =>
  h("span", { className: `avatar ${id === "" ? "dye-9" : dye(id)}`, "aria-hidden": "true" }, initials(name));

/**
 * The element of that id, which index.html promises to have.
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
export function need(id, kind) {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`index.html has no ${kind.name} #${id}`);
  return element;
}

/**
 * Runs `work` once for any number of calls until then: in the next frame, or a little later where the browser draws no
 * frames because the page is hidden.
 * @param {() => void} work
 */
export function inNextFrame(work) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    let done = false;
    const run = () => {
      if (done) return;
      done = true;
      asked = false;
      cancelAnimationFrame(frame);
      clearTimeout(timer);
      work();
    };
    const frame = requestAnimationFrame(run);
    const timer = setTimeout(run, 150);
  };
}

/** @type {{ waiting: string[], timer: number }} */
const announced = { waiting: [], timer: 0 };

/**
 * Tells screen readers, politely and not line by line when much happens at once.
 * @param {string} text
 */
export function announce(text) {
  announced.waiting.push(text);
  if (announced.timer !== 0) return;
  announced.timer = setTimeout(() => {
    const lines = announced.waiting.splice(0);
    announced.timer = 0;
    const shown = lines.length > 4 ? [`${lines.length - 3} more before this.`, ...lines.slice(-3)] : lines;
    need("announcer", HTMLElement).replaceChildren(...shown.map((line) => h("p", {}, line)));
  }, 700);
}

/** True where a keyboard on the screen would come up with the focus. */
export const touch = () => matchMedia("(pointer: coarse)").matches;
