// Packets are lost at random in both directions, for as long as it takes to exchange all messages.

import { survives } from "./support.mjs";

for (const percent of [5, 10, 20]) {
  survives(`${percent} % of packets lost for 20 s`, async ({ network, lasting }) => {
    const mend = network.lose(percent);
    await lasting();
    mend();
  });
}
