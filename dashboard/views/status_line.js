// The right end of the header: connected and well or not, how much comes in, and whose key it is.

import { el, icon, mark, say } from "../page/dom.js";
import * as format from "../page/format.js";

const WORDS = {
  live: "Live",
  away: "Broker away",
  degraded: "Degraded",
  connecting: "Connecting",
  waiting: "Reconnecting",
  refused: "No key",
};

export class StatusLine {
  constructor({ feed, watch, tree, session, askKey }) {
    Object.assign(this, { feed, watch, tree, session });
    this.paint = this.paint.bind(this);
    this.state = el("span", { class: "dot" });
    this.rate = el("span", { class: "flow", title: "Messages a second, as this page sees them" });
    this.who = el("span", { class: "who" });
    this.key = el(
      "button",
      {
        type: "button",
        class: "quiet key",
        "aria-label": "API key",
        title: "API key",
        onclick: () => askKey(),
      },
      icon("M5.5 13a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7ZM8 7l5.5-5.5M11 4l2 2"),
      this.who,
    );
    this.root = el("div", { class: "status" }, this.rate, this.state, this.key);
  }

  paint() {
    const state = this.#state();
    mark(this.state, "data-state", state);
    say(this.state, WORDS[state] ?? this.#whyClosed());
    say(this.rate, format.rate(this.tree.root.rate.at(performance.now())) || "0/s");
    const { caller } = this.session;
    say(this.who, this.session.hasKey && caller ? caller.name : "");
  }

  /** A stream that lives is no good news by itself: what it shows may not be stored. */
  #state() {
    const { health } = this.watch;
    if (this.feed.state !== "live" || !health) return this.feed.state;
    if (!health.mqtt_connected) return "away";
    return health.status === "healthy" ? "live" : "degraded";
  }

  #whyClosed() {
    if (this.session.caller) return this.session.may("read") ? "Offline" : "May not read";
    return this.session.wanted ? "No key" : "Connecting";
  }
}
