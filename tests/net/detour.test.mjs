// The direct path breaks, and the server stays within reach: messages go on through it, and return to the direct path.

import assert from "node:assert/strict";
import { survives } from "./support.mjs";

survives("direct path cut for 20 s", async ({ network, lasting, both }) => {
  const mend = network.cut("a", "b");
  const over = lasting();
  await both((end, other) => end.run(async (id) => {
    await reach(client.peer(id), "relayed");
    const { highest } = exchange;
    await until(client.peer(id), "message", () => exchange.highest > highest + 100);
  }, other));
  await over;
  assert.deepEqual(await both((end, other) => end.run((id) => client.peer(id).state, other)), ["relayed", "relayed"]);
  mend();
});
