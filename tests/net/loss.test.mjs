// Packets are lost at random in both directions, for as long as it takes to exchange all messages.

import { setTimeout as pass } from "node:timers/promises";
import { FAULT_MS, survives } from "./support.mjs";

for (const percent of [5, 10, 20]) {
  survives(`${percent} % of packets lost for 20 s`, async ({ network }) => {
    const mend = network.lose(percent);
    await pass(FAULT_MS);
    mend();
  });
}
