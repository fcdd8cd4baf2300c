// Keeps the topic tree true: listens first, then loads what is known, so that nothing falls in
// between. After each break it begins anew: the present state is what counts here.
// Events: "state", "status", "change" when the tree has changed, "failed" with a Refusal.

import { isSpecial } from "../model/filter.js";
import { Stream } from "./stream.js";

// Each topic at most once in so many ms: faster than the eye wants to follow in a table.
const CONFLATE_MS = 400;
const PAGE = 1_000;
const AGAIN_MS = 3_000;
// `#` leaves out what begins with `$`. The broker's own topics come when a subscription has them.
const EVERYTHING = ["#", "$SYS/#"];
// What comes while the topics are loaded; beyond it the load that follows is newer anyway.
const MOST_WAITING = 50_000;

export class TopicFeed extends EventTarget {
  #loading = null;
  #waiting = [];

  constructor(service, session, tree, clock) {
    super();
    this.service = service;
    this.tree = tree;
    this.clock = clock;
    this.loaded = false;
    this.state = "closed";
    this.stream = new Stream(session, {
      topics: EVERYTHING,
      conflate: CONFLATE_MS,
      on: {
        welcome: (frame) => {
          this.clock.set(Date.parse(frame.timestamp));
          this.#begin();
        },
        filtered: () => this.#begin(),
        messages: (messages) => this.#take(messages),
        status: (frame) => this.#tell("status", frame),
        state: (state, detail) => {
          this.state = state;
          this.#tell("state", { state, detail });
        },
      },
    });
  }

  open() {
    this.stream.open();
  }

  close() {
    this.#loading?.abort();
    this.loaded = false;
    this.stream.close();
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  /** Load what is known: the stream brings what comes from here on. */
  async #begin() {
    this.#loading?.abort();
    const loading = new AbortController();
    this.#loading = loading;
    this.loaded = false;
    this.#waiting = [];
    try {
      await this.#load(loading.signal);
      this.#followSpecial();
      this.#tell("change");
    } catch (error) {
      if (error.name === "AbortError") return;
      this.#tell("failed", error);
      const again = setTimeout(() => this.#begin(), AGAIN_MS);
      loading.signal.addEventListener("abort", () => clearTimeout(again));
    }
  }

  async #load(signal) {
    const pages = [];
    let after = "";
    for (;;) {
      const page = await this.service.get(
        "topics",
        { details: "true", limit: PAGE, after },
        signal,
      );
      pages.push(page);
      if (page.length < PAGE) break;
      after = page.at(-1).topic;
    }
    const nowMs = performance.now();
    this.tree.clear();
    for (const page of pages) for (const summary of page) this.tree.load(summary, nowMs);
    this.loaded = true;
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#take(waiting);
  }

  /** Some brokers have topics of their own besides `$SYS`: what is known is followed, too. */
  #followSpecial() {
    const roots = [...(this.tree.root.children?.keys() ?? [])].filter(isSpecial);
    this.stream.filter([...new Set([...EVERYTHING, ...roots.map((root) => `${root}/#`)])]);
  }

  #take(messages) {
    if (!this.loaded) {
      if (this.#waiting.length < MOST_WAITING) this.#waiting.push(...messages);
      return;
    }
    const nowMs = performance.now();
    for (const message of messages) this.tree.take(message, nowMs);
    this.#tell("change");
  }
}
