// The server dies without a word and comes back knowing nothing, while the direct link lives.

import { survives } from "./support.mjs";

survives("server killed and started again", async ({ server, both }) => {
  await server.kill();
  await both((end) => end.run(() => reach(client, "recovering")));
  await server.restart();
});
