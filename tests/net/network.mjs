// A small internet of the test's own: two pages and a hub, each in a network namespace, joined by a router whose rules
// are the faults.
//
//     a  10.77.1.2 ──┐
//     b  10.77.2.2 ──┼── router
//     hub 10.77.3.2 ─┘            (peerloom-server, TURN)
//
// Nothing leads out of it, and nothing of it shows outside, so any number of them stand side by side with the same
// addresses.

import { execFileSync } from "node:child_process";

/** The sites around the router, in the order of their subnets. */
const SITES = ["a", "b", "hub"];

const subnet = (site) => `10.77.${SITES.indexOf(site) + 1}`;
/** The address that a site begins with. */
export const address = (site) => `${subnet(site)}.2`;

const run = (program, args, input) => execFileSync(program, args, { input, encoding: "utf8", stdio: ["pipe", "pipe", "pipe"] });
const ip = (...args) => run("ip", args);
/** For what may be gone already. */
const quietly = (work) => {
  try {
    return work();
  } catch {
    return undefined;
  }
};

export class Network {
  static #made = 0;
  static #open = new Set();

  static {
    const removeAll = () => Network.#open.forEach((network) => network.remove());
    process.on("exit", removeAll);
    // Their default would end the process without its exit handlers.
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, () => process.exit(130));
  }

  #name;
  #rules = new Set();

  constructor() {
    // The process id tells the networks of several runs apart, and `sweep` whose is left over.
    this.#name = `peerloom-${process.pid}-${(Network.#made += 1)}`;
    Network.#open.add(this);
    ip("netns", "add", this.namespace("router"));
    ip("-n", this.namespace("router"), "link", "set", "dev", "lo", "up");
    this.#write("router", "ipv4/ip_forward", 1);
    for (const site of SITES) this.#join(site);
    this.#apply();
  }

  /** Removes what runs that were killed have left: namespaces named after a process that is no more, and what runs in them. */
  static sweep() {
    for (const line of ip("netns", "list").split("\n")) {
      const [name, owner] = /^peerloom-(\d+)-\S+/.exec(line) ?? [];
      if (!name || quietly(() => process.kill(Number(owner), 0))) continue;
      const pids = quietly(() => ip("netns", "pids", name)) ?? "";
      for (const pid of pids.split("\n").filter(Boolean)) quietly(() => process.kill(Number(pid), "SIGKILL"));
      quietly(() => ip("netns", "del", name));
    }
  }

  namespace(site) {
    return `${this.#name}-${site}`;
  }

  /** What goes before a program and its arguments, so that it runs there. It keeps its process id, files and environment. */
  at(site) {
    return ["ip", "netns", "exec", this.namespace(site)];
  }

  #join(site) {
    const [own, router] = [this.namespace(site), this.namespace("router")];
    ip("netns", "add", own);
    // Browsers would offer link-local addresses, over which nothing can be reached.
    this.#write(site, "ipv6/conf/default/disable_ipv6", 1);
    ip("-n", own, "link", "set", "dev", "lo", "up");
    ip("-n", router, "link", "add", "name", site, "type", "veth", "peer", "name", "eth0", "netns", own);
    ip("-n", router, "address", "add", `${subnet(site)}.1/24`, "dev", site);
    ip("-n", router, "link", "set", "dev", site, "up");
    ip("-n", own, "link", "set", "dev", "eth0", "up");
    this.#settle(site, address(site));
  }

  #settle(site, place) {
    ip("-n", this.namespace(site), "address", "add", `${place}/24`, "dev", "eth0");
    ip("-n", this.namespace(site), "route", "add", "default", "via", `${subnet(site)}.1`);
  }

  #write(site, key, value) {
    const [program, ...args] = this.at(site);
    run(program, [...args, "tee", `/proc/sys/net/${key}`], String(value));
  }

  /** Replaces all rules at once, so that no packet passes between two faults. */
  #apply() {
    const rules = [...this.#rules].flat().join("\n");
    const chain = `chain forward { type filter hook forward priority filter; policy accept;\n${rules}\n}`;
    const [program, ...args] = this.at("router");
    run(program, [...args, "nft", "--file", "-"], `table ip faults { }\ndelete table ip faults\ntable ip faults {\n${chain}\n}\n`);
  }

  #fault(...rules) {
    this.#rules.add(rules);
    this.#apply();
    return () => {
      this.#rules.delete(rules);
      this.#apply();
    };
  }

  // ---- faults: each returns what mends it ---------------------------------------------------------------------------

  /** Nothing passes between the two, without anybody being told. */
  cut(one, other) {
    return this.#fault(`iifname "${one}" oifname "${other}" drop`, `iifname "${other}" oifname "${one}" drop`);
  }

  /** Nothing passes to or from the site; its own interface stays up, as behind a router that has lost its line. */
  isolate(site) {
    return this.#fault(`iifname "${site}" drop`, `oifname "${site}" drop`);
  }

  /** The cable is pulled: the site's interface has no carrier, and its system knows. */
  unplug(site) {
    const set = (state) => ip("-n", this.namespace("router"), "link", "set", "dev", site, state);
    set("down");
    return () => set("up");
  }

  /** Each packet is lost with that probability, on each crossing of the router. */
  lose(percent) {
    return this.#fault(`numgen random mod 100 < ${percent} drop`);
  }

  /** The site leaves its address and takes another one of its subnet, as with another access point. */
  move(site, host) {
    ip("-n", this.namespace(site), "address", "flush", "dev", "eth0");
    this.#settle(site, `${subnet(site)}.${host}`);
  }

  remove() {
    Network.#open.delete(this);
    for (const site of ["router", ...SITES]) quietly(() => ip("netns", "del", this.namespace(site)));
  }
}
