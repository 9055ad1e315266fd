// The worker of files: reads, hashes, compresses, and writes, so that the page's own thread does not. Answers each
// message in its own time.

import { hash, pack, unpack, unpackBlob } from "./files/piece.js";
import { closeSource, openSource, packFrom } from "./files/source.js";
import { closeStage, hashStage, openStage, putStage, removeStage, truncateStage } from "./files/stage.js";

const OPERATIONS = { closeSource, hash, openSource, pack, packFrom, unpack, unpackBlob, openStage, putStage, hashStage, truncateStage, closeStage, removeStage };

addEventListener("message", async ({ data: [number, operation, ...given] }) => {
  try {
    const result = await OPERATIONS[operation](...given);
    const bytes = result?.bytes ?? result;
    postMessage([number, result], bytes instanceof Uint8Array ? [bytes.buffer] : []);
  } catch (error) {
    postMessage([number, undefined, { name: error?.name ?? "Error", message: String(error?.message ?? error) }]);
  }
});
