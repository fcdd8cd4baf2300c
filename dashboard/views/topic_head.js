// What stands above a topic: its levels, how much comes, and for a branch what is below it.

import { el } from "../page/dom.js";
import * as format from "../page/format.js";
import { Route } from "../page/route.js";

// A branch may have thousands below it; the tree is the place to look through those.
const LISTED = 200;

/** The topic level by level; each level leads to its branch. */
export function levelsOf(topic) {
  if (!topic) return [];
  const levels = topic.split("/");
  return levels.flatMap((level, place) => {
    const name = level || "(empty)";
    const path = levels.slice(0, place + 1).join("/");
    const last = place === levels.length - 1;
    return [
      place ? el("span", { class: "slash" }, "/") : "",
      last
        ? el("span", { class: "last" }, name)
        : el("a", { href: Route.link("topic", { t: path }) }, name),
    ];
  });
}

/** "87 messages · 0.4/s · 3 s ago" */
export function factsOf(branch, nowMs) {
  const age = format.age(nowMs - branch.seen);
  const rate = format.rate(branch.rate.at(performance.now()));
  const parts = [format.plural(branch.count, "message"), rate, age === "now" ? age : `${age} ago`];
  return parts.filter(Boolean).join(" · ");
}

/** Fill `host` with links to what is below a branch, when that has changed. */
export function listBranch(host, branch) {
  const known = `${branch.path} ${branch.children.size} ${branch.topics}`;
  if (host.dataset.known === known) return;
  host.dataset.known = known;
  const links = branch.sorted.slice(0, LISTED).map((child) => {
    const href = Route.link("topic", { t: child.path });
    return el("li", {}, el("a", { href }, child.name || "(empty)"));
  });
  const words = `A branch with ${format.plural(branch.topics, "topic")} below it.`;
  host.replaceChildren(el("p", { class: "note" }, words), el("ul", {}, ...links));
}
