// One page, driven from within its own network namespace, because browsers answer their drivers on the loopback
// address only. The test talks to it over the channel that Node opens to a forked process.

import { openSdk } from "../e2e/support.mjs";

let actor;

async function answer({ open, run }) {
  if (open) {
    // Loopback candidates, which pages on one machine need, lead nowhere from here.
    const launch = { extraPrefsFirefox: { "media.peerconnection.ice.loopback": false } };
    actor = await openSdk(open.kind, open.name, { url: open.url }, { apart: launch });
  }
  return run && actor.run(run);
}

process.on("message", async ({ id, ...request }) => {
  let reply;
  try {
    reply = { value: await answer(request) };
  } catch (error) {
    reply = { error: error.message };
  }
  if (process.connected) process.send({ id, ...reply, faults: actor?.takeFaults() ?? [] });
});

// Whether the test is done or dead: nothing stays behind. A browser that does not close is killed as this process ends.
process.on("disconnect", async () => {
  setTimeout(() => process.exit(), 5_000);
  await actor?.close().catch(() => undefined);
  process.exit();
});
