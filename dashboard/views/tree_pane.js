// The topic tree on the screen: search, filter, rows, keys. Does not: know how values come in.

import { el, icon, mark, say } from "../page/dom.js";
import * as format from "../page/format.js";
import { VirtualList } from "../page/virtual_list.js";
import { fillRow, makeRow } from "./tree_rows.js";

// At least so many rows are opened by themselves, or what the screen has room for: a small plant
// is seen whole, a large one by its parts.
const OPEN_ROWS = 20;

export class TreePane {
  #rows = [];
  #shape = -1;
  #search = "";
  #cursor = 0;
  #chosen = "";
  #toReveal = "";
  #begun = false;

  /**
   * `choose(path)` is called when somebody wants to look closer; `onsearch(text)` at each key;
   * `nothing()` says why the tree is empty.
   */
  constructor({ tree, painter, clock, choose, onsearch, nothing }) {
    this.tree = tree;
    this.painter = painter;
    this.clock = clock;
    this.choose = choose;
    this.onsearch = onsearch;
    this.nothing = nothing;
    this.paint = this.paint.bind(this);
    this.#build();
  }

  #build() {
    this.input = el("input", {
      type: "search",
      placeholder: "Search, or filter: plant/+/temperature",
      "aria-label": "Search topics, or filter with + and #",
      autocomplete: "off",
      spellcheck: "false",
      "aria-keyshortcuts": "/",
      oninput: () => this.onsearch(this.input.value),
      onkeydown: (event) => this.#searchKey(event),
    });
    this.summary = el("span", { class: "summary", role: "status" });
    this.grid = el("div", {
      class: "grid scroller",
      role: "treegrid",
      tabindex: "0",
      "aria-label": "Topics",
      onkeydown: (event) => this.#key(event),
      onclick: (event) => this.#click(event),
      ondblclick: (event) => event.preventDefault(),
    });
    const heads = [
      ["name", "Topic"],
      ["value", "Value"],
      ["rate", "Rate"],
      ["count", "Messages"],
      ["age", "Age"],
    ].map(([name, text]) => el("span", { class: name }, text));
    this.empty = el("div", { class: "empty", hidden: true });
    this.root = el(
      "section",
      { class: "tree pane", "aria-label": "Topic tree" },
      el(
        "div",
        { class: "bar" },
        el(
          "label",
          { class: "search" },
          icon("M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10Zm3.6-1.4L14 14"),
          this.input,
          el("kbd", { "aria-hidden": "true" }, "/"),
        ),
        el(
          "button",
          {
            type: "button",
            class: "quiet",
            title: "Open all branches",
            onclick: () => this.#openAll(true),
          },
          "Expand",
        ),
        el(
          "button",
          {
            type: "button",
            class: "quiet",
            title: "Close all branches",
            onclick: () => this.#openAll(false),
          },
          "Collapse",
        ),
      ),
      el("div", { class: "heads", "aria-hidden": "true" }, ...heads),
      this.empty,
      this.grid,
      el("footer", { class: "foot" }, this.summary),
    );
    this.list = new VirtualList(this.painter, this.grid, makeRow, (row, index) =>
      this.#fill(row, index),
    );
  }

  search(text) {
    if (this.input.value !== text) this.input.value = text;
    if (text === this.#search) return;
    this.#search = text;
    this.#shape = -1;
    this.#cursor = 0;
    this.list.toTop();
    this.ask();
  }

  /** Show which topic is looked at closer: open what leads to it, now or once it is known. */
  chosen(path) {
    this.#chosen = path;
    this.#toReveal = path;
    this.#shape = -1;
    this.ask();
  }

  /** The tree that comes is another one: open of it what fits. */
  startOver() {
    this.#begun = false;
  }

  ask() {
    this.painter.ask(this.paint);
  }

  paint() {
    if (!this.root.isConnected || this.root.offsetParent === null) return;
    this.#arrange();
    this.empty.hidden = this.#rows.length > 0;
    if (!this.empty.hidden) {
      const searched = this.tree.topicCount && this.#search.trim();
      say(this.empty, searched ? "No topic matches." : this.nothing());
    }
    this.list.spread();
  }

  #arrange() {
    if (this.#shape === this.tree.shape) return;
    if (!this.#begun && this.tree.topicCount) {
      this.#begun = true;
      this.tree.openFirst(Math.max(OPEN_ROWS, this.list.pageRows));
    }
    const wanted = this.tree.openTo(this.#toReveal);
    const under = this.#rows[this.#cursor];
    const { rows, matches } = this.tree.rows(this.#search.trim());
    this.#shape = this.tree.shape;
    this.#rows = rows;
    const place = under ? rows.findIndex((row) => row.path === under.path) : -1;
    this.#cursor = place >= 0 ? place : Math.min(this.#cursor, Math.max(0, rows.length - 1));
    this.list.resize(rows.length);
    mark(this.grid, "aria-rowcount", rows.length);
    const all = format.plural(this.tree.topicCount, "topic");
    say(this.summary, this.#search.trim() ? `${format.whole(matches)} of ${all}` : all);
    if (wanted) {
      this.#toReveal = "";
      this.#move(rows.indexOf(wanted));
    }
  }

  #fill(row, index) {
    const branch = this.#rows[index];
    if (!branch) return;
    row.id = `topic-${index}`;
    const atCursor = index === this.#cursor;
    fillRow(row, branch, {
      index,
      atCursor,
      chosen: branch.path === this.#chosen && this.#chosen !== "",
      open: branch.children !== null && (branch.open || this.#search.trim() !== ""),
      nowMs: this.clock.now(),
    });
    if (atCursor) mark(this.grid, "aria-activedescendant", row.id);
  }

  #move(index) {
    if (!this.#rows.length) return;
    this.#cursor = Math.max(0, Math.min(this.#rows.length - 1, index));
    this.list.reveal(this.#cursor);
  }

  #toggle(branch, open) {
    if (!branch.children || this.#search.trim()) return;
    branch.open = open;
    this.#shape = -1;
    this.ask();
  }

  #openAll(open) {
    this.tree.openAll(open);
    this.#shape = -1;
    this.ask();
  }

  #click(event) {
    const branch = event.target.closest(".row")?.branch;
    if (!branch) return;
    this.#cursor = this.#rows.indexOf(branch);
    const onTwist = event.target.closest(".twist");
    if (onTwist || branch.value === null) this.#toggle(branch, !branch.open);
    else this.choose(branch.path);
    this.ask();
  }

  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    this.#arrange(); // what the key before has changed may not be painted yet
    const branch = this.#rows[this.#cursor];
    const step = this.list.stepOf(event.key);
    if (step !== undefined) this.#move(this.#cursor + step);
    else if (!branch) return;
    else if (event.key === "ArrowRight") {
      if (branch.children && !branch.open && !this.#search.trim()) this.#toggle(branch, true);
      else if (branch.children) this.#move(this.#cursor + 1);
    } else if (event.key === "ArrowLeft") {
      if (branch.open && branch.children && !this.#search.trim()) this.#toggle(branch, false);
      else if (branch.parent !== this.tree.root) this.#move(this.#rows.indexOf(branch.parent));
    } else if (event.key === "Enter" && branch.value !== null) this.choose(branch.path);
    else if (event.key === "Enter" || event.key === " ") this.#toggle(branch, !branch.open);
    else return;
    event.preventDefault();
  }

  #searchKey(event) {
    if (event.key === "ArrowDown" || event.key === "Enter") {
      this.grid.focus();
      event.preventDefault();
    } else if (event.key === "Escape" && this.input.value) {
      this.input.value = "";
      this.onsearch("");
      event.preventDefault();
    }
  }
}
