// What changed from one message to the next: members of JSON as a table, or lines of text.

import { el } from "../page/dom.js";
import * as format from "../page/format.js";

/** `changes` are those of model/diff.js. */
export function changeTable(changes) {
  return el(
    "table",
    { class: "changes" },
    el(
      "thead",
      {},
      el("tr", {}, ...["Where", "Before", "After"].map((text) => el("th", { scope: "col" }, text))),
    ),
    el(
      "tbody",
      {},
      ...changes.map(({ kind, path, before, after, step }) =>
        el(
          "tr",
          { class: kind },
          el("th", { scope: "row" }, path === "$" ? "value" : path.replace(/^\$\.?/, "")),
          el("td", { class: "before" }, before ?? ""),
          el(
            "td",
            { class: "after" },
            after ?? "",
            step === undefined
              ? ""
              : el(
                  "span",
                  { class: "step" },
                  ` ${step > 0 ? "+" : "−"}${format.value(Math.abs(step))}`,
                ),
          ),
        ),
      ),
    ),
  );
}

const SIGNS = { same: "  ", added: "+ ", removed: "− " };

/** `lines` are those of model/diff.js. */
export function changedLines(lines) {
  return el(
    "pre",
    { class: "lines" },
    ...lines.map(({ kind, text }) =>
      el("span", { class: `line ${kind}` }, `${SIGNS[kind]}${text}`),
    ),
  );
}
