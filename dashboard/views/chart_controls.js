// What stands around a chart: ranges, fields, the legend with the values under the pointer, files.

import { RANGES } from "../model/chart_span.js";
import { Combobox } from "../page/combobox.js";
import { el, mark, say, segments } from "../page/dom.js";
import * as format from "../page/format.js";

export class ChartControls {
  #names = "";

  /** `go(change)` changes the address; `add(topic)`, `save("png" | "csv")`, `onkey(key)`. */
  constructor({ complete, go, add, save, onkey }) {
    this.go = go;
    this.ranges = segments(
      "Range",
      RANGES.map(([name]) => [name, name === "all" ? "All" : name]),
      (range) => go({ range, from: "", to: "" }),
    );
    this.field = el("select", {
      "aria-label": "Field",
      onchange: () => go({ f: this.field.value }),
    });
    this.live = el(
      "button",
      { type: "button", class: "quiet", hidden: true, onclick: () => go({ from: "", to: "" }) },
      "Reset zoom",
    );
    this.apart = el(
      "label",
      { class: "check", hidden: true },
      el("input", {
        type: "checkbox",
        onchange: (event) => go({ scales: event.target.checked ? "apart" : "" }),
      }),
      "Own scales",
    );
    this.adder = new Combobox({
      id: "chart-add",
      label: "Add a topic to the chart",
      placeholder: "Add a topic…",
      complete,
      ontake: (topic) => {
        this.adder.value = "";
        add(topic);
      },
    });
    this.legendRow = el("div", { class: "legend" });
    this.time = el("span", { class: "when" });
    this.note = el("p", { class: "fault", role: "alert", hidden: true });
    this.host = el("div", {
      class: "plot",
      tabindex: "0",
      role: "group",
      "aria-roledescription": "chart",
      onkeydown: (event) => this.#key(event, onkey),
    });
    this.root = el(
      "section",
      { class: "card chart-card", "aria-label": "Chart" },
      el(
        "div",
        { class: "bar" },
        this.ranges.root,
        this.live,
        this.field,
        this.apart,
        el("span", { class: "spring" }),
        this.adder.root,
        el("button", { type: "button", class: "quiet", onclick: () => save("png") }, "PNG"),
        el("button", { type: "button", class: "quiet", onclick: () => save("csv") }, "CSV"),
      ),
      el("div", { class: "legend-line" }, this.legendRow, this.time),
      this.note,
      this.host,
    );
  }

  show({ span, list, main, paths, apart }) {
    this.ranges.press(span.isLive ? span.range : "");
    this.live.hidden = span.isLive;
    this.apart.hidden = list.length < 2;
    this.apart.firstChild.checked = apart;
    const choices = [...new Set([...paths, ...(main === undefined ? [] : [main])])];
    this.field.hidden = choices.length < 2;
    if (this.field.dataset.choices !== choices.join()) {
      this.field.dataset.choices = choices.join();
      this.field.replaceChildren(
        ...choices.map((path) =>
          el("option", { value: path }, path.replace(/^\$\.?/, "") || "value"),
        ),
      );
    }
    this.field.value = main ?? "";
    this.#listSeries(list);
  }

  /** A chip for each line; all but the first can be taken out. */
  #listSeries(list) {
    const names = list.map(({ name }) => name).join("\n");
    if (names === this.#names) return;
    this.#names = names;
    this.legendRow.replaceChildren(
      ...list.map((series, at) =>
        el(
          "span",
          { class: "chip", title: series.name },
          el("i", { class: `swatch line-${(at % 6) + 1}`, "aria-hidden": "true" }),
          el("span", { class: "label" }, series.label),
          el("b", { class: "now" }),
          at
            ? el(
                "button",
                {
                  type: "button",
                  class: "remove",
                  "aria-label": `Remove ${series.name}`,
                  onclick: () =>
                    this.go({
                      with: list
                        .slice(1)
                        .filter((one) => one !== series)
                        .map(({ name }) => name),
                    }),
                },
                "×",
              )
            : null,
        ),
      ),
    );
  }

  /** The values under the pointer, or the newest ones. */
  legend(list, data, index) {
    list.forEach((series, at) => {
      const chip = this.legendRow.children[at];
      if (!chip) return;
      const column = data.columns[at];
      const value = index === null ? series.newest : nearest(column, index);
      const low = data.low?.[index];
      const high = data.high?.[index];
      const spread =
        index !== null && typeof low === "number" && low !== high
          ? ` (${format.value(low)} to ${format.value(high)})`
          : "";
      say(
        chip.querySelector(".now"),
        value === undefined || value === null ? "–" : `${format.value(value)}${spread}`,
      );
    });
    const time = index === null ? null : data.axis[index];
    say(
      this.time,
      time === null || time === undefined
        ? ""
        : format.moment(time * 1000, Date.now()).replace(/\.\d+$/, ""),
    );
  }

  /** Say in words what the picture shows, for who cannot see it. */
  describe(list, span) {
    const [first] = list;
    const low = first.min.length ? format.value(Math.min(...first.min)) : "";
    const high = first.max.length ? format.value(Math.max(...first.max)) : "";
    const values = low
      ? `from ${low} to ${high}, last ${format.value(first.newest)}`
      : "no numbers";
    mark(
      this.host,
      "aria-label",
      `${first.label}, ${span.isLive ? `last ${span.range}` : "zoomed"}: ` +
        `${values}. Arrow keys move, plus and minus zoom, Escape returns to live.`,
    );
    const skipped = list.reduce((sum, { skipped: many }) => sum + many, 0);
    mark(
      this.host,
      "title",
      skipped ? `${format.plural(skipped, "message")} held no number` : null,
    );
  }

  fault(text) {
    this.note.hidden = !text;
    say(this.note, text);
  }

  #key(event, onkey) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (!["+", "=", "-", "ArrowLeft", "ArrowRight"].includes(event.key)) return;
    event.preventDefault();
    onkey(event.key);
  }
}

/** The value at a place of the axis, or the one before it where the series has none there. */
function nearest(column, index) {
  for (let at = index; at >= 0 && at > index - 50; at -= 1) {
    if (column[at] !== undefined) return column[at];
  }
  return null;
}
