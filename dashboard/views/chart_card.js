// The chart of a topic: which numbers, which time, live or not; loading them, and keeping the
// right edge live. Does not: draw (chart_plot.js), or know buckets (model/series.js).

import { jsonOf } from "../model/payload.js";
import { numberAt, numberPaths } from "../model/json_path.js";
import { Series, align, bucketFor } from "../model/series.js";
import { Span } from "../model/chart_span.js";
import { download, fileName } from "../page/download.js";
import { Route, pairs } from "../page/route.js";
import { picture, table } from "./chart_files.js";
import { ChartControls } from "./chart_controls.js";
import { ChartPlot } from "./chart_plot.js";

// Live numbers are added as they come, and loaded anew this often: what counts is the history.
const RELOAD_MS = 20_000;

export class ChartCard {
  #topic = "";
  #params = new URLSearchParams();
  #fields = null;
  #list = [];
  #span = new Span("15m", null, null);
  #bucket = 1;
  #oldest = null;
  #asked = null;
  #loadedAt = 0;
  #hovered = null;
  /** Live numbers that came while the chart was being loaded, or null when it is not. */
  #meanwhile = null;

  constructor({ service, tree, painter, clock, onproblem }) {
    Object.assign(this, { service, painter, clock, onproblem });
    this.paint = this.paint.bind(this);
    this.controls = new ChartControls({
      complete: (text) => tree.complete(text),
      go: (change, inPlace) => this.#go(change, inPlace),
      add: (topic) => this.#add(topic),
      save: (kind) => this.#save(kind),
      onkey: (key) => this.#moved(key),
    });
    this.root = this.controls.root;
    this.root.hidden = true;
    this.plot = new ChartPlot(this.controls.host, {
      onselect: (from, to) => this.#go({ from: from.toFixed(1), to: to.toFixed(1) }),
      onreset: () => this.escape(),
      onhover: (index) => {
        this.#hovered = index;
        this.painter.ask(this.paint);
      },
    });
  }

  show(topic, params) {
    if (topic !== this.#topic) {
      this.#fields = null;
      this.#oldest = null;
      this.root.hidden = true;
      this.plot.clear();
    }
    this.#topic = topic;
    this.#params = params;
    this.#configure();
  }

  hide() {
    this.#asked?.abort();
    this.#topic = "";
    this.#list = [];
  }

  /** Topics in the chart besides the one that is looked at. */
  otherTopics() {
    const topics = this.#params.getAll("with").map((name) => Series.named(name).topic);
    return [...new Set(topics)].filter((topic) => topic !== this.#topic);
  }

  /** Learn from the newest message which numbers there are. */
  learn(message) {
    if (!message || this.#fields?.id === message.id) return;
    const paths = numberPaths(jsonOf(message));
    const before = this.#fields?.paths.join();
    this.#fields = { id: message.id, paths: paths.length ? paths : (this.#fields?.paths ?? []) };
    if (this.#fields.paths.join() !== before) this.#configure();
  }

  /** Make the list of series that the address asks for, and load what is new. */
  #configure() {
    const paths = this.#fields?.paths ?? [];
    const asked = this.#params.get("f");
    const others = this.#params.getAll("with");
    const main = asked ?? paths[0];
    this.root.hidden = !this.#topic || (main === undefined && !others.length);
    if (this.root.hidden) return;
    const wanted = [
      ...new Set([...(main === undefined ? [] : [new Series(this.#topic, main).name]), ...others]),
    ];
    const span = Span.read(this.#params);
    const known = new Map(this.#list.map((series) => [series.name, series]));
    const same =
      wanted.join() === [...known.keys()].join() &&
      JSON.stringify(span) === JSON.stringify(this.#span);
    this.#span = span;
    this.#list = wanted.map((name) => known.get(name) ?? Series.named(name));
    this.controls.show({ span, list: this.#list, main, paths, apart: this.#apart });
    if (!same || !this.#loadedAt) this.#load();
    this.painter.ask(this.paint);
  }

  get #apart() {
    return this.#params.get("scales") === "apart";
  }

  get #now() {
    return this.clock.now() / 1000;
  }

  async #load() {
    this.#asked?.abort();
    const asked = new AbortController();
    this.#asked = asked;
    this.#loadedAt = performance.now();
    this.#meanwhile = [];
    try {
      if (this.#span.range === "all" && this.#oldest === null) await this.#findOldest(asked.signal);
      const [from, to] = this.#span.ends(this.#now, this.#oldest);
      const bucket = bucketFor(to - from);
      const iso = (seconds) => new Date(seconds * 1000).toISOString();
      const list = this.#list;
      const answers = await Promise.all(
        list.map(({ topic, field }) =>
          this.service.get(
            "series",
            {
              topic,
              field,
              since: iso(from),
              until: this.#span.isLive ? "" : iso(to),
              bucket: `${bucket}s`,
            },
            asked.signal,
          ),
        ),
      );
      if (asked.signal.aborted) return;
      this.#bucket = bucket;
      answers.forEach((answer, at) => list[at].load(answer));
      for (const [series, ...point] of this.#meanwhile) series.addNewer(...point, bucket);
      this.#meanwhile = null;
      this.controls.fault("");
    } catch (error) {
      if (error.name !== "AbortError") this.controls.fault(error.message);
    }
    this.painter.ask(this.paint);
  }

  async #findOldest(signal) {
    const firsts = await Promise.all(
      this.#list.map(({ topic }) =>
        this.service.get("messages", { topic, order: "asc", limit: 1 }, signal),
      ),
    );
    const times = firsts.flat().map(({ timestamp }) => Date.parse(timestamp) / 1000);
    this.#oldest = times.length ? Math.min(...times) : null;
  }

  /** Ask again: what came before the stream followed a topic is in the history only. */
  reload() {
    if (!this.root.hidden) this.#load();
  }

  /** Take what comes live: only a chart whose right edge is now shows it. */
  take(messages) {
    if (this.root.hidden || !this.#span.isLive) return;
    for (const message of messages) {
      const series = this.#list.filter(({ topic }) => topic === message.topic);
      if (!series.length) continue;
      const json = jsonOf(message);
      for (const one of series) {
        const number = numberAt(json, one.field);
        if (number === undefined) continue;
        const seconds = Date.parse(message.timestamp) / 1000;
        one.add(seconds, number, this.#bucket);
        this.#meanwhile?.push([one, seconds, number]);
      }
    }
    this.painter.ask(this.paint);
  }

  tick() {
    if (this.root.hidden || !this.#topic || !this.#span.isLive) return;
    if (performance.now() - this.#loadedAt > RELOAD_MS) this.#load();
    this.painter.ask(this.paint);
  }

  escape() {
    if (!this.#span.isLive) this.#go({ from: "", to: "" });
  }

  paint() {
    if (this.root.hidden || this.root.offsetParent === null || !this.#list.length) return;
    const [from, to] = this.#span.ends(this.#now, this.#oldest);
    const data = align(this.#list, this.#bucket);
    this.plot.draw(data, from, to, this.#apart && this.#list.length > 1);
    this.controls.legend(this.#list, data, this.#hovered);
    this.controls.describe(this.#list, this.#span);
  }

  /** Change the address: what it then says is shown. */
  #go(change) {
    Route.go("topic", { ...pairs(this.#params), ...change });
  }

  /** Draw the first number of another topic's newest message as well. */
  async #add(topic) {
    try {
      const [newest] = await this.service.get("messages", { topic, limit: 1 });
      if (!newest) throw new Error(`The history has no message of ${topic}.`);
      const [field] = numberPaths(jsonOf(newest));
      if (field === undefined) throw new Error(`There is no number in ${topic}.`);
      const { name } = new Series(topic, field);
      if (this.#list.some((series) => series.name === name)) return;
      this.#go({ with: [...this.#params.getAll("with"), name] });
    } catch (error) {
      this.onproblem(error);
    }
  }

  #moved(key) {
    const [from, to] = Span.moved(this.#span.ends(this.#now, this.#oldest), key);
    this.#go({ from: from.toFixed(1), to: Math.min(to, this.#now).toFixed(1) });
  }

  async #save(kind) {
    const title = `${this.#topic} · ${new Date(this.clock.now()).toISOString().slice(0, 16)}Z`;
    if (kind === "csv") download(fileName(this.#topic, "csv"), table(this.#list));
    else download(fileName(this.#topic, "png"), await picture(this.plot.canvas, this.#list, title));
  }
}
