// One page loses the network altogether, for longer than the server keeps its session, and gets it back.

import { setTimeout as pass } from "node:timers/promises";
import { FAULT_MS, survives } from "./support.mjs";

survives("cut off for 20 s, unnoticed by the system", async ({ network }) => {
  const mend = network.isolate("a");
  await pass(FAULT_MS);
  mend();
});

survives("unplugged for 20 s", async ({ network }) => {
  const mend = network.unplug("a");
  await pass(FAULT_MS);
  mend();
});
