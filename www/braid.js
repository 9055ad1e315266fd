// The braid on the start screen: strands that run from one side to the other and pass over and under each other, the
// way this page's visitors are joined. Decoration only, so it says nothing to a screen reader.
// @ts-check

import { svg } from "./dom.js";

const WIDTH = 1600;
const HEIGHT = 120;
const STRANDS = ["dye-7", "dye-2", "dye-5"];
const LENGTH = 300; // of one whole turn of a strand
const SWING = 34;

/**
 * A strand is at height sin(t) and at depth sin(2t); with its neighbours a third of a turn apart that is a plait. Every
 * piece between two changes of depth is drawn on its own, those below first, each with a border in the ground's colour.
 */
export function braid() {
  /** @type {SVGElement[]} */
  const below = [];
  /** @type {SVGElement[]} */
  const above = [];
  const turn = Math.PI * 2;
  for (const [index, colour] of STRANDS.entries()) {
    const phase = (index * turn) / STRANDS.length;
    const quarters = Math.ceil((WIDTH / LENGTH) * 4) + 8;
    for (let quarter = -8; quarter < quarters; quarter += 1) {
      const from = (quarter * turn) / 4;
      const to = ((quarter + 1) * turn) / 4;
      // Yarn goes a little beyond both ends, so that the pieces close up; its border and twist must not overlap there.
      const d = piece(from - 0.06, to + 0.06, phase);
      const group = svg(
        "g",
        { class: colour },
        svg("path", { d: piece(from + 0.02, to - 0.02, phase), class: "ground" }),
        svg("path", { d, class: "yarn" }),
        svg("path", { d: piece(from, to, phase), class: "twist", pathLength: 90 }),
      );
      (Math.sin(from + to) > 0 ? above : below).push(group);
    }
  }
  return svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "xMidYMid slice", "aria-hidden": "true", class: "braid" },
    ...below,
    ...above,
  );
}

/** @param {number} from @param {number} to @param {number} phase */
function piece(from, to, phase) {
  const points = [];
  for (let step = 0; step <= 12; step += 1) {
    const t = from + ((to - from) * step) / 12;
    const x = ((t - phase) / (Math.PI * 2)) * LENGTH;
    const y = HEIGHT / 2 + SWING * Math.sin(t);
    points.push(`${x.toFixed(1)} ${y.toFixed(1)}`);
  }
  return `M${points.join("L")}`;
}
