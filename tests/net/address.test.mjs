// A page's machine gets another address, as on the way from one access point to the next.

import { survives } from "./support.mjs";

survives("address changes", async ({ network }) => network.move("a", 77));
