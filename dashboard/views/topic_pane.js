// One topic, looked at closely: its value, its chart, its messages. Answers for: following the
// topic while it is looked at, and handing what comes to the three cards.

import { Stream } from "../api/stream.js";
import { TopicPast } from "../model/topic_past.js";
import { el, say } from "../page/dom.js";
import { ChartCard } from "./chart_card.js";
import { PastList } from "./past_list.js";
import { TopicActions } from "./topic_actions.js";
import { factsOf, levelsOf, listBranch } from "./topic_head.js";
import { ValueCard } from "./value_card.js";

const PAGE = 60;
// A service that is too busy to answer is asked again.
const AGAIN_MS = 2_000;

export class TopicPane {
  #topic = "";
  #past = new TopicPast();
  /** The newest message; null: there is none; undefined: not known yet. */
  #latest;
  #previous = null;
  #pinned = null;
  #asked = null;
  #early = [];

  constructor({ service, session, tree, painter, clock, toast, onproblem }) {
    Object.assign(this, { service, session, tree, painter, clock, onproblem });
    this.paint = this.paint.bind(this);
    this.value = new ValueCard({ clock, toast, onlatest: () => this.#pin(null) });
    this.list = new PastList({
      painter,
      clock,
      onend: () => this.#page(),
      choose: (row) => this.#pin(row),
    });
    this.chart = new ChartCard({ service, session, tree, painter, clock, toast, onproblem });
    this.actions = new TopicActions({ service, session, toast, onproblem });
    this.stream = new Stream(session, {
      topics: [],
      resume: true,
      on: {
        welcome: () => this.#welcome(),
        messages: (messages) => this.#take(messages),
        gap: (gap) => this.#gap(gap),
        filtered: () => this.chart.reload(),
      },
    });
    this.#build();
  }

  #build() {
    this.path = el("h2", { class: "path" });
    this.facts = el("p", { class: "summary" });
    this.body = el("div", { class: "body" }, this.value.root, this.chart.root, this.list.root);
    this.branch = el("div", { class: "branch" });
    this.hint = el(
      "div",
      { class: "empty" },
      "Choose a topic to see its value, its chart and " + "its messages.",
    );
    this.root = el(
      "section",
      { class: "topic pane", "aria-label": "Topic" },
      el(
        "div",
        { class: "head" },
        el("a", { class: "back", href: "#/topics" }, "← Topics"),
        this.path,
        this.facts,
        this.actions.root,
      ),
      this.body,
      this.branch,
      this.hint,
    );
  }

  /** Look at a topic, with the chart as the address has it; "" is none. */
  show(topic, params) {
    if (topic !== this.#topic) {
      this.#leave();
      this.#topic = topic;
      this.path.replaceChildren(...levelsOf(topic));
      this.#shown = undefined;
      this.#past = new TopicPast();
      this.#latest = undefined;
      this.#previous = this.#pinned = null;
      this.#early = [];
      this.list.show(this.#past);
      this.value.show(undefined, null);
    }
    this.hint.hidden = topic !== "";
    this.root.classList.toggle("none", topic === "");
    this.chart.show(topic, params);
    if (topic) this.#follow();
  }

  hide() {
    this.#leave();
    this.#topic = "";
  }

  #leave() {
    this.#asked?.abort();
    this.#asked = null;
    this.stream.close();
    this.stream.topics = [];
    this.chart.hide();
  }

  #follow() {
    const topics = [this.#topic, ...this.chart.otherTopics()];
    if (topics.join("#") === this.stream.topics.join("#")) return;
    if (this.stream.topics.length) this.stream.filter(topics);
    else {
      this.stream.topics = topics;
      this.stream.open();
    }
  }

  /** The stream has begun: what the history holds up to here is asked for now. */
  #welcome() {
    if (!this.#past.loaded) this.#page();
  }

  async #page() {
    if (this.#asked) return;
    const past = this.#past;
    const asked = new AbortController();
    this.#asked = asked;
    try {
      const messages = await this.service.get(
        "messages",
        { topic: this.#topic, limit: PAGE, before: past.oldestId },
        asked.signal,
      );
      const first = !past.loaded;
      past.page(messages, PAGE);
      if (first) await this.#begin(messages, asked.signal);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.onproblem(error);
      if (past.loaded) this.#latest ??= null;
      else setTimeout(() => past === this.#past && this.#topic && this.#page(), AGAIN_MS);
    } finally {
      if (this.#asked === asked) this.#asked = null;
    }
    this.list.ask();
  }

  /** The newest page is here. A topic's last value may outlive its rows. */
  async #begin(messages, signal) {
    let [latest = null, previous = null] = messages;
    if (!latest) {
      const [summary] = await this.service.get(
        "topics",
        { topic: this.#topic, details: "true", limit: 1 },
        signal,
      );
      latest = summary?.last_message ?? null;
    }
    this.#latest = latest;
    this.#previous = previous;
    const early = this.#early;
    this.#early = [];
    this.#take(early);
    this.painter.ask(this.paint);
  }

  #take(messages) {
    this.chart.take(messages);
    if (!this.#past.loaded) {
      this.#early.push(...messages);
      return;
    }
    const own = messages.filter(({ topic }) => topic === this.#topic);
    const fresh = this.#past.take(own);
    if (!fresh) return;
    this.#previous = fresh > 1 ? own.at(-2) : this.#latest;
    this.#latest = own.at(-1);
    this.painter.ask(this.paint);
  }

  #gap(gap) {
    this.#past.gap(gap);
    this.painter.ask(this.paint);
  }

  /** Look at an earlier message, or with null at the newest again. */
  async #pin(row) {
    this.#pinned = row;
    this.list.chosen(row);
    if (!row) {
      this.#shown = undefined;
      this.painter.ask(this.paint);
      return;
    }
    try {
      const ids = [row.id, this.#past.before(row)?.id].filter(Boolean);
      const [message, before] = await Promise.all(
        ids.map((id) => this.service.get(`messages/${id}`)),
      );
      if (this.#pinned === row) this.value.show(message, before ?? null, true);
    } catch (error) {
      this.onproblem(error);
    }
  }

  tick() {
    if (!this.#topic) return;
    this.chart.tick();
    this.painter.ask(this.paint);
  }

  escape() {
    if (this.#pinned) this.#pin(null);
    else this.chart.escape();
  }

  #shown;

  paint() {
    if (this.root.offsetParent === null || !this.#topic) return;
    const branch = this.tree.find(this.#topic);
    const isBranch =
      this.#past.loaded && !this.#latest && branch?.value === null && branch !== null;
    this.body.hidden = isBranch;
    this.branch.hidden = !isBranch;
    say(this.facts, branch ? factsOf(branch, this.clock.now()) : "");
    this.actions.show(this.#topic, isBranch);
    if (isBranch) listBranch(this.branch, branch);
    if (!this.#pinned && this.#shown !== this.#latest) {
      this.#shown = this.#latest;
      this.value.show(this.#latest, this.#previous);
    }
    this.chart.learn(this.#latest);
    this.list.ask();
  }
}
