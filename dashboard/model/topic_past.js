// The messages of one topic, newest first: what came since the page was opened, and before it as
// many pages of the history as somebody scrolls through. Does not: fetch or paint.

import { detached, line, sizeOf } from "./payload.js";

const LETTERS = 300;
// Live rows kept; beyond it the oldest are let go, and paging brings them back from the history.
const MOST_LIVE = 4_000;

export class TopicPast {
  /** Oldest first: rows come at the end. */
  #live = [];
  /** Newest first: pages come at the end. */
  #past = [];
  /** Rows ever put at the top. */
  added = 0;
  version = 0;
  /** Whether the history has nothing older. */
  complete = false;
  loaded = false;

  get length() {
    return this.#live.length + this.#past.length;
  }

  at(index) {
    const live = this.#live.length;
    return index < live ? this.#live[live - 1 - index] : this.#past[index - live];
  }

  /** The id before which the next page is to be asked for; null when nothing is known yet. */
  get oldestId() {
    for (let index = this.length - 1; index >= 0; index -= 1) {
      const row = this.at(index);
      if (row.id) return row.id;
    }
    return null;
  }

  /** The row that came before another one, or undefined when it is not loaded. */
  before(row) {
    for (let index = this.indexOf(row) + 1; index < this.length; index += 1) {
      if (this.at(index).kind === "message") return this.at(index);
    }
    return undefined;
  }

  indexOf(row) {
    const live = this.#live.indexOf(row);
    return live >= 0 ? this.#live.length - 1 - live : this.#live.length + this.#past.indexOf(row);
  }

  /** Take a page of the history, newest first. */
  page(messages, limit) {
    const newest = this.#live.findLast((row) => row.id)?.id ?? Infinity;
    this.#past.push(...messages.filter(({ id }) => this.#past.length || id < newest).map(rowOf));
    this.complete = messages.length < limit;
    this.loaded = true;
    this.version += 1;
  }

  /** Take live messages; those that a page brought already are left out. */
  take(messages) {
    const known = this.#live.findLast((row) => row.id)?.id ?? this.#past[0]?.id ?? 0;
    const fresh = messages.filter(({ id }) => id === null || id > known).map(rowOf);
    this.#add(...fresh);
    return fresh.length;
  }

  gap(gap) {
    this.#add({ kind: "gap", gap, id: 0 });
  }

  #add(...rows) {
    for (const row of rows) this.#live.push(row);
    this.added += rows.length;
    if (this.#live.length > MOST_LIVE * 1.2) {
      this.#live.splice(0, this.#live.length - MOST_LIVE);
      this.#past = [];
      this.complete = false;
    }
    this.version += 1;
  }
}

function rowOf(message) {
  return {
    kind: "message",
    id: message.id,
    time: Date.parse(message.timestamp),
    qos: message.qos,
    retain: message.retain,
    size: sizeOf(message),
    line: detached(line(message, LETTERS)),
  };
}
