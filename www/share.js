// Inviting people: a thread's link as text, as a QR code, and handed to the device's own sharing where it has that.
// @ts-check

import { announce, h, icon } from "./dom.js";
import { picture } from "./qr.js";

/**
 * @param {string} link
 * @param {string} title
 * @param {string} key  makes the field's id unique in the page
 */
export function invitation(link, title, key) {
  const field = h("input", { id: `link-${key}`, name: "link", readOnly: true, value: link, spellcheck: false, dir: "ltr" });
  field.addEventListener("focus", () => field.select());
  const copy = h("button", { type: "button", className: "primary" }, icon("copy"), "Copy link");
  copy.dataset.role = "copy-link";
  let back = 0;
  copy.addEventListener("click", async () => {
    const done = await copied(link, field);
    announce(done ? "Link copied" : "The link is selected. Copy it with your keyboard.");
    copy.replaceChildren(icon(done ? "check" : "copy"), done ? "Copied" : "Press Ctrl+C");
    clearTimeout(back);
    back = setTimeout(() => copy.replaceChildren(icon("copy"), "Copy link"), 2500);
  });
  const share =
    typeof navigator.share === "function"
      ? h("button", { type: "button", onclick: () => void navigator.share({ title: `Peerloom: ${title}`, url: link }).catch(() => {}) }, icon("share"), "Share…")
      : null;
  const code = picture(link, "QR code of the link to this thread");
  const element = h(
    "div",
    { className: "invitation" },
    code,
    h(
      "div",
      { className: "ways" },
      h("label", { htmlFor: field.id }, "Link to this thread"),
      h("div", { className: "field" }, field),
      h("div", { className: "buttons" }, copy, share),
      onlyHere(link) &&
        h("p", { className: "small" }, "This address works on this computer only. Open the page by the computer’s network name to invite others."),
    ),
  );
  element.dataset.role = "invitation";
  return element;
}

/** Whether `text`, which `field` shows, was copied. @param {string} text @param {HTMLInputElement | HTMLTextAreaElement} field */
export async function copied(text, field) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // No permission, or a page without https: the old way, and if that fails too, the text is at least selected.
    field.focus();
    field.select();
    return document.execCommand("copy");
  }
}

/** @param {string} link */
function onlyHere(link) {
  try {
    return /^(localhost|127\.|\[::1\])/.test(new URL(link).hostname);
  } catch {
    return false;
  }
}
