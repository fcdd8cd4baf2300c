// Everything that the plant says, as a tree: each topic with its newest value, how many messages,
// how often, and when; each branch with the sums of what is below it. Does not: paint, or ask.

import { isFilter, isSpecial, matcher } from "./filter.js";
import { detached, line } from "./payload.js";
import { Rate } from "./rate.js";

// Letters of a value that a row may show.
const LETTERS = 160;
const NATURAL = new Intl.Collator("en", { numeric: true });

export class Branch {
  children = null;
  open = false;
  /** Topics at and below this branch, messages of them, and when the last one came (ms). */
  topics = 0;
  count = 0;
  seen = 0;
  rate = new Rate();
  /** When its own value last came on this page: what the highlight goes by. */
  changed = 0;
  /** The newest message's line, or null for a branch that is no topic. */
  value = null;
  retain = false;
  newestId = 0;
  #sorted = null;

  constructor(name, parent) {
    this.name = name;
    this.parent = parent;
    this.path = parent === null || parent.parent === null ? name : `${parent.path}/${name}`;
    this.depth = parent === null ? 0 : parent.depth + 1;
  }

  child(name) {
    this.children ??= new Map();
    let found = this.children.get(name);
    if (!found) {
      found = new Branch(name, this);
      this.children.set(name, found);
      this.#sorted = null;
    }
    return found;
  }

  /** By name, numbers by their size; what is the broker's own comes last. */
  get sorted() {
    const last = (branch) => this.parent === null && isSpecial(branch.name);
    this.#sorted ??= [...(this.children?.values() ?? [])].sort(
      (a, b) => last(a) - last(b) || NATURAL.compare(a.name, b.name),
    );
    return this.#sorted;
  }
}

export class TopicTree {
  root = new Branch("", null);
  /** Grows whenever a row may have come, gone or moved. */
  shape = 0;
  #byTopic = new Map();

  get topicCount() {
    return this.#byTopic.size;
  }

  /** Begin anew; what is open stays open once it is there again. */
  clear() {
    const open = [];
    const visit = (branch) => {
      if (branch.open) open.push(branch.path);
      for (const child of branch.children?.values() ?? []) visit(child);
    };
    visit(this.root);
    this.root = new Branch("", null);
    this.#byTopic.clear();
    this.#reopen = new Set(open);
    this.shape += 1;
  }

  #reopen = new Set();

  find(path) {
    return this.#byTopic.get(path) ?? this.branch(path);
  }

  /** The branch at a path, a topic or not; null when there is none. */
  branch(path) {
    let branch = this.root;
    for (const name of path.split("/")) {
      branch = branch.children?.get(name);
      if (!branch) return null;
    }
    return branch;
  }

  #topic(topic) {
    let branch = this.#byTopic.get(topic);
    if (branch) return branch;
    branch = this.root;
    for (const name of topic.split("/")) {
      branch = branch.child(name);
      if (this.#reopen.size && this.#reopen.has(branch.path)) branch.open = true;
    }
    this.#byTopic.set(topic, branch);
    for (let up = branch; up; up = up.parent) up.topics += 1;
    this.shape += 1;
    return branch;
  }

  /** Take what `/topics?details=true` says of a topic. */
  load(summary, nowMs) {
    const branch = this.#topic(summary.topic);
    const seen = Date.parse(summary.last_seen);
    branch.rate.begin(summary.rate_1m, nowMs);
    for (let up = branch.parent; up; up = up.parent) {
      up.rate.begin(up.rate.at(nowMs) + summary.rate_1m, nowMs);
    }
    for (let up = branch; up; up = up.parent) {
      up.count += summary.message_count;
      up.seen = Math.max(up.seen, seen);
    }
    const message = summary.last_message;
    if (message && message.id > branch.newestId) this.#show(branch, message);
  }

  /** Take a message of the stream. `skipped` of its topic came before it and were left out. */
  take(message, nowMs) {
    const branch = this.#topic(message.topic);
    if (message.id !== null && message.id <= branch.newestId) return;
    const many = 1 + (message.skipped ?? 0);
    const seen = Date.parse(message.timestamp);
    for (let up = branch; up; up = up.parent) {
      up.count += many;
      up.rate.add(many, nowMs);
      up.seen = Math.max(up.seen, seen);
    }
    branch.changed = nowMs;
    this.#show(branch, message);
  }

  #show(branch, message) {
    branch.value = detached(line(message, LETTERS));
    branch.retain = message.retain;
    if (message.id !== null) branch.newestId = message.id;
  }

  /** The rows to be seen: open branches, or with a search everything that leads to a match. */
  rows(search) {
    const rows = [];
    if (!search) {
      const visit = (branch) => {
        for (const child of branch.sorted) {
          rows.push(child);
          if (child.open && child.children) visit(child);
        }
      };
      visit(this.root);
      return { rows, matches: this.topicCount };
    }
    const matches = isFilter(search) ? matcher(search) : containing(search);
    let found = 0;
    const visit = (branch) => {
      const place = rows.length;
      rows.push(branch);
      const own = branch.value !== null && matches(branch.path);
      if (own) found += 1;
      for (const child of branch.sorted) visit(child);
      if (rows.length === place + 1 && !own) rows.pop();
    };
    for (const child of this.root.sorted) visit(child);
    return { rows, matches: found };
  }

  /** Open what leads to a path; return its branch, or null when there is none (yet). */
  openTo(path) {
    const branch = path ? this.find(path) : null;
    for (let up = branch?.parent; up; up = up.parent) up.open = true;
    return branch;
  }

  openAll(open) {
    const visit = (branch) => {
      branch.open = open && branch.children !== null;
      for (const child of branch.children?.values() ?? []) visit(child);
    };
    visit(this.root);
  }

  /** Open level by level what fits into so many rows; not what is the broker's own. */
  openFirst(most) {
    let level = this.root.sorted.filter(({ name }) => !isSpecial(name));
    let shown = level.length;
    while (level.length) {
      const below = level.flatMap((branch) => branch.sorted);
      shown += below.length;
      if (shown > most && level.length > 1) return;
      for (const branch of level) branch.open = true;
      level = below;
    }
  }

  /** Topics and branches that begin with what is typed, one level further; then those that
   * contain it. For completion. */
  complete(typed, most = 12) {
    const slash = typed.lastIndexOf("/");
    const parent = slash < 0 ? this.root : this.branch(typed.slice(0, slash));
    const begun = typed.slice(slash + 1);
    const found = [];
    for (const child of parent?.sorted ?? []) {
      if (found.length >= most) break;
      if (!child.name.startsWith(begun)) continue;
      found.push(child.value === null ? `${child.path}/` : child.path);
    }
    if (typed) {
      const contains = containing(typed);
      for (const topic of this.#byTopic.keys()) {
        if (found.length >= most) break;
        if (contains(topic) && !found.includes(topic)) found.push(topic);
      }
    }
    return found.filter((one) => one !== typed);
  }
}

/** Search as people type: every word is somewhere in the topic, whatever the case. */
function containing(search) {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  return (topic) => {
    const text = topic.toLowerCase();
    return words.every((word) => text.includes(word));
  };
}
