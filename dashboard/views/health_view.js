// How the service is: what works, how much there is, how fast it comes. Does not: ask for the
// figures (api/watch.js does).

import { el, mark, say } from "../page/dom.js";
import * as format from "../page/format.js";
import { Sparkline } from "../page/sparkline.js";

// Of the broker's fifty figures, those that one looks at first.
const TELLING = new Set([
  "version",
  "uptime",
  "clients/connected",
  "retained messages/count",
  "subscriptions/count",
  "publish/messages/dropped",
  "load/messages/received/1min",
  "load/messages/sent/1min",
]);

const HIDDEN = "not shown to this key";
const SILENT = "no $SYS topics, or MQTT_BROKER_STATS=off";

export class HealthView {
  #figures = new Map();

  constructor({ watch, clock, painter }) {
    this.watch = watch;
    this.clock = clock;
    this.painter = painter;
    this.paint = this.paint.bind(this);
    for (const name of ["health", "stats"]) {
      watch.addEventListener(name, () => this.painter.ask(this.paint));
    }
    this.#build();
  }

  #build() {
    this.sparkline = new Sparkline("Messages a second, while this page is open");
    this.broker = el("dl", { class: "facts" });
    this.brokerAll = el("dl", { class: "facts" });
    this.more = el("details", { hidden: true }, el("summary", {}, "Everything"), this.brokerAll);
    this.dropped = el("dl", { class: "facts" });
    this.retention = el("dl", { class: "facts" });
    this.state = el("p", { class: "verdict", role: "status" });
    this.root = el(
      "section",
      { class: "health pane", "aria-label": "Health" },
      this.state,
      el(
        "div",
        { class: "cards" },
        this.#card("Broker", "broker", "Connection to the MQTT broker"),
        this.#card("History", "history", "Whether messages can be stored"),
        this.#card("Rate", "rate", "Stored a second, over the last minute", this.sparkline.root),
        this.#card("Messages", "messages", "In the history now"),
        this.#card("Queue", "queue", "Arrived and not stored yet"),
        this.#card("Database", "database", "On disk, with what is not checkpointed yet"),
        this.#card("Readers", "readers", "WebSocket and SSE connections"),
        this.#card("Up for", "uptime", "Since the service started"),
      ),
      el(
        "div",
        { class: "columns" },
        this.#table("Retention", this.retention),
        this.#table("Since the start", this.dropped),
        el(
          "article",
          { class: "card wide" },
          el("h3", {}, "What the broker says of itself"),
          this.broker,
          this.more,
        ),
      ),
    );
  }

  #card(title, name, meaning, extra = null) {
    const figure = el("strong", { class: "figure" }, "–");
    const note = el("span", { class: "note" });
    this.#figures.set(name, { figure, note });
    return el(
      "article",
      { class: "card", title: meaning, "data-card": name },
      el("h3", {}, title),
      figure,
      note,
      extra,
    );
  }

  #table(title, list) {
    return el("article", { class: "card wide" }, el("h3", {}, title), list);
  }

  /** Note how much comes now: the course is there when somebody looks. */
  note(perSecond) {
    this.sparkline.add(perSecond);
  }

  show() {
    this.watch.wantStats(true);
    this.painter.ask(this.paint);
  }

  hide() {
    this.watch.wantStats(false);
  }

  #figure(name, text, note = "", tone = null) {
    const card = this.#figures.get(name);
    say(card.figure, text);
    say(card.note, note);
    mark(card.figure, "data-tone", tone);
  }

  paint() {
    const { health, stats, reachable } = this.watch;
    if (this.root.offsetParent === null || !health) return;
    const well = health.status === "healthy" && reachable;
    mark(this.state, "data-tone", well ? "good" : "bad");
    say(
      this.state,
      !reachable
        ? "The service cannot be reached"
        : well
          ? "Everything works"
          : "Something needs attention: see above",
    );
    this.#figure(
      "broker",
      health.mqtt_connected ? "Connected" : "Away",
      format.plural(health.active_subscriptions, "subscription"),
      health.mqtt_connected ? "good" : "bad",
    );
    this.#figure("uptime", format.duration(health.uptime));
    if (stats) this.#paintStats(stats, health);
    else this.#figure("messages", format.whole(health.message_count));
  }

  #paintStats(stats, health) {
    const troubled = health.reasons.some(
      (reason) => /stored|written|disk|database/i.test(reason) && !/damaged/.test(reason),
    );
    this.#figure(
      "history",
      troubled ? "Cannot store" : "Storing",
      stats.last_prune
        ? `pruned ${format.age(this.clock.now() - Date.parse(stats.last_prune))} ago`
        : "nothing pruned yet",
      troubled ? "bad" : "good",
    );
    this.#figure(
      "rate",
      stats.rate_1m === undefined ? "–" : format.rate(stats.rate_1m) || "0/s",
      `${format.count(stats.recent_messages)} in the last hour`,
    );
    this.#figure(
      "messages",
      format.whole(stats.total_messages),
      format.plural(stats.unique_topics, "topic"),
    );
    this.#figure(
      "queue",
      format.whole(stats.queue_depth),
      "waiting to be stored",
      stats.queue_depth > 10_000 ? "warn" : null,
    );
    const narrow = stats.database_bytes === undefined; // it sees figures of its own topics alone
    this.#figure(
      "database",
      narrow ? "–" : format.bytes(stats.database_bytes + stats.wal_bytes),
      narrow ? HIDDEN : `of it ${format.bytes(stats.wal_bytes)} write-ahead log`,
    );
    this.#figure(
      "readers",
      format.whole(stats.websocket_connections),
      stats.readers_behind ? `${stats.readers_behind} behind, fed from the history` : "all live",
      stats.readers_behind ? "warn" : null,
    );
    facts(this.retention, retentionOf(stats));
    facts(
      this.dropped,
      [
        ["Received", stats.received_total],
        ["Stored", stats.stored_total],
        ["Published through this service", stats.published_total],
        ...Object.entries(stats.dropped_total ?? {}).map(([cause, many]) => [
          `Dropped: ${cause}`,
          many,
        ]),
        ["Readers fallen behind", stats.readers_fell_behind_total],
      ]
        .filter(([, many]) => many !== undefined)
        .map(([name, many]) => [name, format.whole(many)]),
    );
    const said = Object.entries(stats.broker ?? {}).map(([name, text]) => [
      name.replace(/^\$SYS\/broker\//, ""),
      text,
    ]);
    facts(
      this.broker,
      said.length
        ? said.filter(([name]) => TELLING.has(name))
        : [["Nothing", narrow ? HIDDEN : health.mqtt_connected ? SILENT : "it is away"]],
    );
    this.more.hidden = said.length === 0;
    facts(this.brokerAll, said);
  }
}

function retentionOf({ retention, total_messages: messages, database_bytes: size }) {
  const {
    max_history_size: most,
    message_retention_hours: hours,
    max_history_bytes: bytes,
  } = retention;
  const share = (now, limit) => `${Math.min(100, Math.round((100 * now) / limit))} % used`;
  return [
    ["Messages", most ? `${format.whole(most)} at most, ${share(messages, most)}` : "no limit"],
    ["Age", hours ? `${format.duration(hours * 3_600)} at most` : "no limit"],
    ["Size", bytes ? `${format.bytes(bytes)} at most, ${share(size ?? 0, bytes)}` : "no limit"],
  ];
}

/** Fill a list of names and values, changing only what differs. */
function facts(list, pairs) {
  while (list.children.length > pairs.length) list.lastChild.remove();
  pairs.forEach(([name, text], at) => {
    const pair = list.children[at] ?? list.appendChild(el("div", {}, el("dt"), el("dd")));
    say(pair.firstChild, name);
    say(pair.lastChild, text);
  });
}
