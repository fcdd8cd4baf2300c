// The rows of the live log: newest first, as many as one can read, and never without saying what
// was left out. Does not: paint, or fetch. A row is one of
//   {kind: "message", message, line}
//   {kind: "skipped", count, first, last}   too fast to read; ids of the first and the last
//   {kind: "gap", gap}                      gone for good
//   {kind: "note", text}                    what happened to the connection

import { detached, line } from "./payload.js";

// More rows a second than this nobody reads. What is beyond is counted, and can be fetched.
const READABLE_A_SECOND = 30;
const SECOND_MS = 1_000;
// Rows kept. Older ones are in the history.
const MOST = 3_000;
// Longer payloads are cut in the row; the message itself is fetched when somebody wants it.
const LETTERS = 300;

export class LiveLog {
  /** Oldest first: index 0 is the row at the bottom. */
  rows = [];
  received = 0;
  skipped = 0;
  /** Rows ever put at the top. */
  added = 0;
  /** Grows with each change. */
  version = 0;
  paused = false;
  /** Rows that came while paused. */
  held = [];
  #until = 0;
  #left = 0;

  take(messages, nowMs) {
    for (const message of messages) {
      this.received += 1;
      if (nowMs >= this.#until) {
        this.#until = nowMs + SECOND_MS;
        this.#left = READABLE_A_SECOND;
      }
      if (this.#left > 0) {
        this.#left -= 1;
        this.#add(rowOf(message));
      } else this.#skip(message);
    }
    if (messages.length) this.version += 1;
  }

  gap(gap) {
    this.#add({ kind: "gap", gap });
    this.version += 1;
  }

  note(text) {
    this.#add({ kind: "note", text, time: Date.now() });
    this.version += 1;
  }

  get waiting() {
    let many = 0;
    for (const row of this.held) {
      many += row.kind === "message" ? 1 : row.kind === "skipped" ? row.count : 0;
    }
    return many;
  }

  pause() {
    this.paused = true;
    this.version += 1;
  }

  /** Go on; what came meanwhile is there at once. Returns how many rows that is. */
  resume() {
    this.paused = false;
    const { held } = this;
    this.held = [];
    this.rows.push(...held);
    this.added += held.length;
    this.#trim(this.rows);
    this.version += 1;
    return held.length;
  }

  clear() {
    this.rows = [];
    this.held = [];
    this.received = 0;
    this.skipped = 0;
    this.version += 1;
  }

  /** Put fetched messages (oldest first) in place of a row that says how many were skipped. */
  fill(row, messages) {
    const place = this.rows.indexOf(row);
    if (place < 0) return;
    this.skipped -= Math.min(row.count, messages.length);
    const left = row.count - messages.length;
    const rest =
      left > 0 && messages.length ? [{ ...row, count: left, first: messages.at(-1).id + 1 }] : [];
    this.rows.splice(place, 1, ...messages.map(rowOf), ...rest);
    this.version += 1;
  }

  #skip(message) {
    this.skipped += 1;
    const target = this.paused ? this.held : this.rows;
    const last = target.at(-1);
    if (last?.kind === "skipped") {
      last.count += 1;
      if (message.id !== null) last.last = message.id;
    } else this.#add({ kind: "skipped", count: 1, first: message.id, last: message.id });
  }

  #add(row) {
    const target = this.paused ? this.held : this.rows;
    target.push(row);
    if (!this.paused) this.added += 1;
    if (target.length > MOST * 1.2) this.#trim(target);
  }

  #trim(rows) {
    if (rows.length > MOST) rows.splice(0, rows.length - MOST);
  }
}

function rowOf(message) {
  const short = detached(line(message, LETTERS));
  const { id, topic, timestamp, qos, retain } = message;
  return { kind: "message", line: short, message: { id, topic, timestamp, qos, retain } };
}
