// The rows of the live log as elements: made once, filled again and again.

import { el, mark, say } from "../page/dom.js";
import * as format from "../page/format.js";
import { Route } from "../page/route.js";

const REASONS = {
  pruned: "removed by retention before they could be read",
  epoch: "the database is another one now",
  ahead: "an older copy of the database was restored",
  unstored: "shown live, but never stored",
};

export function makeRow() {
  const cells = {
    time: el("time", { class: "time" }),
    topic: el("a", { class: "topic" }),
    line: el("span", { class: "line" }),
    tag: el("span", { class: "tag" }),
  };
  const row = el("div", { class: "row" }, cells.time, cells.topic, cells.line, cells.tag);
  row.cells = cells;
  return row;
}

/** Show an entry of the log (model/live_log.js) in a row. */
export function fillRow(row, entry) {
  if (!entry || (row.entry === entry && entry.kind !== "skipped")) return;
  row.entry = entry;
  const { cells } = row;
  mark(row, "data-kind", entry.kind);
  if (entry.kind === "message") {
    const { message } = entry;
    say(cells.time, format.clock(Date.parse(message.timestamp)));
    say(cells.topic, message.topic);
    mark(cells.topic, "href", Route.link("topic", { t: message.topic }));
    say(cells.line, entry.line);
    say(cells.tag, message.id === null ? "not stored yet" : message.retain ? "retained" : "");
    return;
  }
  mark(cells.topic, "href", null);
  say(cells.topic, "");
  say(cells.tag, entry.kind === "skipped" ? "show" : "");
  say(cells.time, entry.kind === "note" ? format.clock(entry.time) : "");
  say(cells.line, wordsOf(entry));
}

function wordsOf(entry) {
  if (entry.kind === "skipped") {
    return `${format.whole(entry.count)} skipped: too fast to read`;
  }
  if (entry.kind === "note") return entry.text;
  return `Gap: messages are missing here, ${REASONS[entry.gap.reason] ?? entry.gap.reason}`;
}
