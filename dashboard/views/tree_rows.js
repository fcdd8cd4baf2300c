// The rows of the topic tree as elements: made once, filled at each paint. What has not changed is
// not touched, so that forty rows cost little however often they are painted.

import { spoken } from "../model/payload.js";
import { el, icon, mark, say } from "../page/dom.js";
import * as format from "../page/format.js";

// How long a change is tinted. The fade after it is CSS.
const FRESH_MS = 700;
const CHEVRON = "M6 3.5 10.5 8 6 12.5";
// Deeper levels are not indented further: their names would leave the screen.
const DEEPEST = 12;
// Longer values are cut by the column; the pointer shows them whole.
const WIDE_LETTERS = 24;

export function makeRow() {
  const cells = {};
  for (const name of ["name", "value", "rate", "count", "age"]) {
    cells[name] = el("span", { class: name, role: "gridcell" });
  }
  const { name, value, rate, count, age } = cells;
  cells.label = el("span", { class: "label" });
  cells.inner = el("span", { class: "inner" });
  name.append(el("span", { class: "twist", "aria-hidden": "true" }, icon(CHEVRON)), cells.label);
  value.append(cells.inner);
  const row = el("div", { class: "row", role: "row" }, name, value, rate, count, age);
  row.cells = cells;
  return row;
}

/** Show a branch of the tree in a row. `nowMs` is the time of the service. */
export function fillRow(row, branch, { index, atCursor, chosen, open, nowMs }) {
  const { cells } = row;
  const folder = branch.children !== null;
  const isTopic = branch.value !== null;
  row.branch = branch;
  mark(row, "aria-level", branch.depth);
  mark(row, "aria-rowindex", index + 1);
  mark(row, "aria-expanded", folder ? String(open) : null);
  mark(row, "aria-selected", String(chosen));
  row.classList.toggle("cursor", atCursor);
  row.classList.toggle("leaf", !folder);
  const pageMs = performance.now();
  row.classList.toggle("fresh", branch.changed > 0 && pageMs - branch.changed < FRESH_MS);
  indent(row, Math.min(branch.depth - 1, DEEPEST));
  say(cells.label, branch.name === "" ? "(empty)" : branch.name);
  const value = branch.value ?? (open ? "" : format.plural(branch.topics, "topic"));
  say(cells.inner, spoken(value));
  cells.value.classList.toggle("aside", !isTopic);
  mark(cells.value, "title", isTopic && value.length > WIDE_LETTERS ? value : null);
  say(cells.rate, format.rate(branch.rate.at(pageMs)));
  say(cells.count, format.count(branch.count));
  say(cells.age, branch.seen ? format.age(nowMs - branch.seen) : "");
}

function indent(row, depth) {
  if (row.depth === depth) return;
  row.depth = depth;
  row.style.setProperty("--depth", depth);
}
