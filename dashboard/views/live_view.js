// The live log on the screen: what comes now, by filter, with a pause. Does not: decide what is
// too fast to read (model/live_log.js).

import { Stream } from "../api/stream.js";
import { LiveLog } from "../model/live_log.js";
import { el, mark, say } from "../page/dom.js";
import * as format from "../page/format.js";
import { Route } from "../page/route.js";
import { VirtualList } from "../page/virtual_list.js";
import { fillRow, makeRow } from "./live_rows.js";

// Messages fetched at once in place of a "skipped" row.
const FETCH = 1_000;
const BACK = "Connected again; going on where it broke off";

export class LiveView {
  #filters = ["#"];
  #painted = -1;
  #added = 0;
  #open = false;
  #broken = false;

  constructor({ service, session, painter, replace, onproblem }) {
    this.service = service;
    this.painter = painter;
    this.replace = replace;
    this.onproblem = onproblem;
    this.log = new LiveLog();
    this.paint = this.paint.bind(this);
    this.stream = new Stream(session, {
      topics: this.#filters,
      resume: true,
      on: {
        messages: (messages) => this.#change(() => this.log.take(messages, performance.now())),
        gap: (gap) => this.#change(() => this.log.gap(gap)),
        state: (state, detail) => this.#state(state, detail),
      },
    });
    this.#build();
  }

  #build() {
    this.input = el("input", {
      type: "text",
      id: "live-filter",
      value: "#",
      spellcheck: "false",
      autocomplete: "off",
      "aria-label": "Topic filters, separated by commas",
      "aria-keyshortcuts": "/",
      onkeydown: (event) => {
        if (event.key === "Enter") this.#ask();
        if (event.key === "Escape") this.host.focus();
      },
      onchange: () => this.#ask(),
    });
    this.pause = el(
      "button",
      { type: "button", class: "primary", "aria-keyshortcuts": "p", onclick: () => this.toggle() },
      "Pause",
    );
    this.state = el("span", { class: "summary", role: "status" });
    this.numbers = el("span", { class: "summary" });
    this.fault = el("p", { class: "fault", role: "alert", hidden: true });
    this.host = el("div", {
      class: "log scroller",
      role: "log",
      "aria-live": "off",
      tabindex: "0",
      "aria-label": "Messages, newest first",
      onclick: (event) => this.#click(event),
    });
    this.empty = el("div", { class: "empty" }, "Waiting for the next message…");
    this.root = el(
      "section",
      { class: "live pane", "aria-label": "Live log" },
      el(
        "div",
        { class: "bar" },
        el("label", { class: "search", for: "live-filter" }, el("span", {}, "Filter"), this.input),
        this.pause,
        el(
          "button",
          { type: "button", class: "quiet", onclick: () => this.#change(() => this.log.clear()) },
          "Clear",
        ),
      ),
      this.fault,
      this.host,
      this.empty,
      el("footer", { class: "foot" }, this.state, this.numbers),
    );
    this.list = new VirtualList(this.painter, this.host, makeRow, (row, index) =>
      fillRow(row, this.log.rows[this.log.rows.length - 1 - index]),
    );
  }

  /** Follow what the address says. */
  show(params) {
    const filters = params.getAll("filter");
    this.#follow(filters.length ? filters : ["#"]);
    this.ask();
  }

  /** Let go: a log that nobody sees needs no reader. */
  hide() {
    this.#open = false;
    this.#broken = false;
    this.stream.close();
    if (this.log.received)
      this.log.note("Left, and came back: what came meanwhile is in the history");
  }

  /** Forget every message. */
  forget() {
    this.hide();
    this.#change(() => this.log.clear());
  }

  focusSearch() {
    this.input.select();
  }

  toggle() {
    if (this.log.paused) this.#change(() => this.log.resume());
    else this.#change(() => this.log.pause());
    say(this.pause, this.log.paused ? "Resume" : "Pause");
    mark(this.root, "data-paused", this.log.paused);
  }

  #follow(filters) {
    const changed = filters.join() !== this.#filters.join();
    this.#filters = filters;
    if (document.activeElement !== this.input) this.input.value = filters.join(", ");
    if (changed) this.log.clear();
    this.stream.topics = filters;
    if (!this.#open || changed) this.stream.open();
    this.#open = true;
  }

  #ask() {
    const filters = this.input.value
      .split(",")
      .map((one) => one.trim())
      .filter(Boolean);
    if (filters.join() !== this.#filters.join()) {
      this.replace("live", { filter: filters.length ? filters : ["#"] });
    }
  }

  #state(state, detail) {
    const words = {
      connecting: "Connecting…",
      live: "Following",
      closed: "",
      waiting: `Connection lost; trying again in ${Math.ceil((detail ?? 0) / 1000)} s`,
      refused: "A key is needed",
    };
    say(this.state, words[state]);
    mark(this.root, "data-state", state);
    if (state === "waiting") {
      if (!this.#broken) this.#change(() => this.log.note("Connection lost"));
      this.#broken = true;
      this.#check();
    } else if (state === "live") {
      if (this.#broken) this.#change(() => this.log.note(BACK));
      this.#broken = false;
    }
  }

  /** A filter that the service refuses closes the socket without a word: ask it in HTTP. */
  async #check() {
    try {
      await this.service.get("messages", { topic: this.#filters, limit: 1 });
      this.fault.hidden = true;
    } catch (error) {
      this.fault.hidden = error.status !== 422;
      say(this.fault, format.sentence(`The filter ${error.faults[0]?.message ?? "is not valid"}`));
    }
  }

  #change(act) {
    act();
    this.ask();
  }

  ask() {
    this.painter.ask(this.paint);
  }

  paint() {
    if (this.root.offsetParent === null || this.#painted === this.log.version) return;
    this.#painted = this.log.version;
    const { rows, paused, added } = this.log;
    this.list.resize(rows.length, added - this.#added); // what one reads stays in its place
    this.#added = added;
    this.empty.hidden = rows.length > 0;
    const skipped = this.log.skipped ? ` · ${format.whole(this.log.skipped)} skipped` : "";
    const held = paused ? `Paused · ${format.whole(this.log.waiting)} new · ` : "";
    say(this.numbers, `${held}${format.plural(this.log.received, "message")}${skipped}`);
  }

  async #click(event) {
    const row = event.target.closest(".row");
    const entry = row?.entry;
    if (entry?.kind !== "skipped" || entry.first === null) return;
    try {
      const found = await this.service.get("messages", {
        topic: this.#filters,
        order: "asc",
        limit: FETCH,
        after: entry.first - 1,
        before: entry.last + 1,
      });
      this.#change(() => this.log.fill(entry, found));
    } catch (error) {
      this.onproblem(error);
    }
  }
}
