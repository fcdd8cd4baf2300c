// Which stretch of time a chart shows: the last so many seconds and live, or from one moment to
// another. Pure functions and one value, made of what the address says.

/** Name in the address -> seconds back from now; "all" goes back to the oldest message. */
export const RANGES = [
  ["5m", 300],
  ["15m", 900],
  ["1h", 3_600],
  ["6h", 21_600],
  ["24h", 86_400],
  ["7d", 604_800],
  ["all", Infinity],
];
export const USUAL = "15m";
const SHORTEST_S = 2;

export class Span {
  /** `from` and `to` are seconds since 1970, or null: then it is live. */
  constructor(range, from, to) {
    this.range = range;
    this.from = from;
    this.to = to;
  }

  static read(params) {
    const [from, to] = ["from", "to"].map((name) => Number(params.get(name)) || null);
    const range = RANGES.some(([name]) => name === params.get("range"))
      ? params.get("range")
      : USUAL;
    return from && to && to - from >= SHORTEST_S
      ? new Span(range, from, to)
      : new Span(range, null, null);
  }

  get isLive() {
    return this.from === null;
  }

  /** The two ends in seconds; `oldest` is when the first message of the topic came. */
  ends(now, oldest) {
    if (!this.isLive) return [this.from, this.to];
    const [, back] = RANGES.find(([name]) => name === this.range);
    return [back === Infinity ? Math.min(oldest ?? now - 60, now - 60) : now - back, now];
  }

  /** Half as wide or twice as wide around the middle, or half a width to the side. */
  static moved([from, to], key) {
    const width = to - from;
    const [a, b] = {
      "+": [0.25, -0.25],
      "=": [0.25, -0.25],
      "-": [-0.5, 0.5],
      ArrowLeft: [-0.5, -0.5],
      ArrowRight: [0.5, 0.5],
    }[key];
    return [from + a * width, to + b * width];
  }
}
