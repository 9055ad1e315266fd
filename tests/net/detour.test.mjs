// The direct path breaks, and the server stays within reach: messages go on through it, and return to the direct path.

import assert from "node:assert/strict";
import { setTimeout as pass } from "node:timers/promises";
import { FAULT_MS, survives } from "./support.mjs";

survives("direct path cut for 20 s", async ({ network, both }) => {
  const mend = network.cut("a", "b");
  const over = pass(FAULT_MS);
  await both((actor, other) => actor.run((id) => reach(client.peer(id), "relayed"), other));
  const before = await both((actor) => actor.run(() => exchange.numbers.length));
  await both((actor, other) => actor.run((id, count) => until(client.peer(id), "message", () => exchange.numbers.length > count), other, Math.max(...before)));
  await over;
  assert.deepEqual(await both((actor, other) => actor.run((id) => client.peer(id).state, other)), ["relayed", "relayed"]);
  mend();
});
