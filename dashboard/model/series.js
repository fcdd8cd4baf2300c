// The numbers of one line of a chart: buckets from `/series`, and what comes live after them.
// Does not: fetch or draw.

// A pause this many times as long as usual is a gap.
const GAP_TIMES = 5;
// Live points kept beyond what was loaded, until it is loaded anew.
const MOST = 20_000;

export class Series {
  times = [];
  avg = [];
  min = [];
  max = [];
  counts = [];
  skipped = 0;
  /** The newest number itself: the last bucket may be an average. */
  newest = null;
  /** Where the last bucket begins that was loaded. */
  #loadedTo = -Infinity;

  /** `field` is a path into JSON, or "" where the payload is the number. */
  constructor(topic, field) {
    this.topic = topic;
    this.field = field;
  }

  /** How the address and the reader name it: a topic has no `#`, so it can part the two. */
  get name() {
    return this.field ? `${this.topic}#${this.field}` : this.topic;
  }

  static named(name) {
    const [topic, field = ""] = name.split(/#(.*)/s);
    return new Series(topic, field);
  }

  /** Short enough for a legend: the last two levels, and the field. */
  get label() {
    const end = this.topic.split("/").slice(-2).join("/");
    return this.field ? `${end} ${this.field.replace(/^\$\.?/, "")}` : end;
  }

  /** Take an answer of `/series`. Times are the beginnings of buckets, in seconds. */
  load({ points, skipped }) {
    this.times = points.map(({ t }) => Date.parse(t) / 1000);
    this.avg = points.map((point) => point.avg);
    this.min = points.map((point) => point.min);
    this.max = points.map((point) => point.max);
    this.counts = points.map((point) => point.count);
    this.skipped = skipped;
    this.newest = points.at(-1)?.last ?? null;
    this.#loadedTo = this.times.at(-1) ?? -Infinity;
  }

  /** Take one live number. One that is older than the last bucket is in the history only. */
  add(seconds, number, bucketSeconds) {
    const begin = Math.floor(seconds / bucketSeconds) * bucketSeconds;
    const last = this.times.length - 1;
    if (last >= 0 && begin < this.times[last]) return;
    this.newest = number;
    if (last >= 0 && begin === this.times[last]) {
      const many = this.counts[last] + 1;
      this.avg[last] += (number - this.avg[last]) / many;
      this.min[last] = Math.min(this.min[last], number);
      this.max[last] = Math.max(this.max[last], number);
      this.counts[last] = many;
      return;
    }
    for (const [list, value] of [
      [this.times, begin],
      [this.avg, number],
      [this.min, number],
      [this.max, number],
      [this.counts, 1],
    ]) {
      list.push(value);
      if (list.length > MOST) list.shift();
    }
  }

  /** Take a number that came while the history was asked: its last bucket may have it already. */
  addNewer(seconds, number, bucketSeconds) {
    if (seconds >= this.#loadedTo + bucketSeconds) this.add(seconds, number, bucketSeconds);
  }

  /** Where nothing came for much longer than usual: [[from, to]], in seconds. */
  gaps(bucketSeconds) {
    const steps = [];
    for (let at = 1; at < this.times.length; at += 1) {
      steps.push(this.times[at] - this.times[at - 1]);
    }
    const usual = [...steps].sort((a, b) => a - b)[Math.floor(steps.length / 2)] ?? bucketSeconds;
    const long = Math.max(GAP_TIMES * usual, 2.5 * bucketSeconds);
    return steps.flatMap((step, at) =>
      step > long ? [[this.times[at] + bucketSeconds, this.times[at + 1]]] : [],
    );
  }
}

/**
 * Bring several series onto one axis of times, as uPlot wants them: `undefined` where a series
 * has no point of its own (the line goes on), `null` where it has a gap (the line breaks).
 */
export function align(list, bucketSeconds) {
  const gaps = list.map((series) => series.gaps(bucketSeconds));
  const times = new Set();
  for (const series of list) for (const time of series.times) times.add(time);
  for (const [from] of gaps.flat()) times.add(from);
  const axis = [...times].sort((a, b) => a - b);
  const place = new Map(axis.map((time, at) => [time, at]));
  const spread = (series, values, breaks) => {
    const column = new Array(axis.length).fill(undefined);
    for (const [from] of breaks) column[place.get(from)] = null;
    series.times.forEach((time, at) => {
      column[place.get(time)] = values[at];
    });
    return column;
  };
  return {
    axis,
    gaps,
    columns: list.map((series, at) => spread(series, series.avg, gaps[at])),
    low: list.length === 1 ? spread(list[0], list[0].min, gaps[0]) : null,
    high: list.length === 1 ? spread(list[0], list[0].max, gaps[0]) : null,
  };
}

// Widths of buckets that begin at round times, in seconds.
const ROUND = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400,
  172_800, 604_800,
];
const POINTS = 400;

/** The narrowest round bucket with which a span has about 400 points. */
export const bucketFor = (spanSeconds) =>
  ROUND.find((width) => spanSeconds / width <= POINTS) ?? ROUND.at(-1);
