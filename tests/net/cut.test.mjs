// One page loses the network altogether, for about as long as the server keeps its session, and gets it back.

import { survives } from "./support.mjs";

survives("cut off for 20 s, unnoticed by the system", async ({ network, lasting }) => {
  const mend = network.isolate("a");
  await lasting();
  mend();
});

survives("unplugged for 20 s", async ({ network, lasting }) => {
  const mend = network.unplug("a");
  await lasting();
  mend();
});
