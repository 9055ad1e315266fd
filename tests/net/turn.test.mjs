// No packet passes directly between the pages, for good: TURN is the only path. Then that dies, too, and comes back with
// no memory of its allocations.

import { survives, Turn, turnServers } from "./support.mjs";

/** How long TURN is away. */
const AWAY_MS = 10_000;

survives(
  "TURN as the only path, killed and started again 10 s later",
  async ({ aid: turn, lasting }) => {
    await turn.kill();
    await lasting(AWAY_MS);
    await turn.restart();
  },
  {
    options: { iceServers: turnServers },
    prepare(network) {
      network.cut("a", "b");
      return Turn.start(network);
    },
  },
);
