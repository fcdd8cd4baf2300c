// The messages of one topic as a list without an end: live at the top, and page after page of the
// history at the bottom. Does not: keep them (model/topic_past.js).

import { el, mark, say } from "../page/dom.js";
import * as format from "../page/format.js";
import { VirtualList } from "../page/virtual_list.js";

export class PastList {
  #past = null;
  #painted = -1;
  #added = 0;
  #chosen = null;
  #cursor = 0;

  /** `onend()` is called when more is wanted, `choose(row)` when a row is; null is the newest. */
  constructor({ painter, clock, onend, choose }) {
    this.painter = painter;
    this.clock = clock;
    this.onend = onend;
    this.choose = choose;
    this.paint = this.paint.bind(this);
    this.host = el("div", {
      class: "past scroller",
      role: "listbox",
      tabindex: "0",
      "aria-label": "Messages, newest first",
      onkeydown: (event) => this.#key(event),
      onclick: (event) => this.#click(event),
    });
    this.foot = el("p", { class: "summary", role: "status" });
    this.root = el(
      "section",
      { class: "card past-card", "aria-label": "History" },
      el("div", { class: "bar" }, el("h3", {}, "History"), this.foot),
      this.host,
    );
    this.list = new VirtualList(
      painter,
      this.host,
      () => this.#make(),
      (row, index) => this.#fill(row, index),
    );
    this.host.addEventListener("scroll", () => this.#more(), { passive: true });
  }

  show(past) {
    this.#past = past;
    this.#painted = -1;
    this.#added = past.added;
    this.#chosen = null;
    this.#cursor = 0;
    this.list.toTop();
    this.ask();
  }

  /** Say which row is looked at; null is the newest. */
  chosen(row) {
    this.#chosen = row;
    this.ask();
  }

  ask() {
    this.painter.ask(this.paint);
  }

  paint() {
    const past = this.#past;
    if (!past || this.root.offsetParent === null) return;
    if (this.#painted !== past.version) {
      this.#painted = past.version;
      this.list.resize(past.length, past.added - this.#added);
      this.#added = past.added;
      say(
        this.foot,
        !past.loaded
          ? "Loading…"
          : past.length === 0
            ? "Empty"
            : `${format.whole(past.length)} ` +
              (past.complete ? "shown: that is all the history has" : "shown; scroll for more"),
      );
      this.#more();
    }
    this.list.spread();
  }

  #more() {
    if (this.#past?.loaded && !this.#past.complete && this.list.nearEnd) this.onend();
  }

  #make() {
    const cells = {
      time: el("time", { class: "time" }),
      line: el("span", { class: "line" }),
      tag: el("span", { class: "tag" }),
      size: el("span", { class: "size" }),
    };
    const row = el(
      "div",
      { class: "row", role: "option" },
      cells.time,
      cells.line,
      cells.tag,
      cells.size,
    );
    row.cells = cells;
    return row;
  }

  #fill(row, index) {
    const entry = this.#past.at(index);
    if (!entry) return;
    row.entry = entry;
    row.id = `past-${index}`;
    mark(row, "data-kind", entry.kind);
    mark(row, "aria-selected", String(entry === this.#chosen || (!this.#chosen && index === 0)));
    row.classList.toggle("cursor", index === this.#cursor);
    if (index === this.#cursor) mark(this.host, "aria-activedescendant", row.id);
    const { cells } = row;
    const gap = entry.kind === "gap";
    say(cells.time, gap ? "" : format.moment(entry.time, this.clock.now()));
    say(cells.line, gap ? "Gap: messages are missing here" : entry.line);
    say(cells.tag, entry.retain ? "retained" : "");
    say(cells.size, gap ? "" : format.bytes(entry.size));
  }

  #click(event) {
    const entry = event.target.closest(".row")?.entry;
    if (entry?.kind !== "message") return;
    this.#cursor = this.#past.indexOf(entry);
    this.choose(this.#cursor === 0 ? null : entry);
  }

  #key(event) {
    const step = this.list.stepOf(event.key);
    if (step !== undefined) {
      const last = this.#past.length - 1;
      this.#cursor = Math.max(0, Math.min(last, this.#cursor + step));
      this.list.reveal(this.#cursor);
      this.#more();
    } else if (event.key === "Enter" || event.key === " ") {
      const entry = this.#past.at(this.#cursor);
      if (entry?.kind === "message") this.choose(this.#cursor === 0 ? null : entry);
    } else return;
    this.ask();
    event.preventDefault();
  }
}
