// How many a second, as an average that forgets: what came a quarter of a minute ago counts a
// third of what comes now. One number and one time, whatever comes.

const MEMORY_MS = 15_000;

export class Rate {
  #perSecond = 0;
  #since = 0;

  /** Begin with a rate that somebody else has measured. */
  begin(perSecond, nowMs) {
    this.#perSecond = perSecond;
    this.#since = nowMs;
  }

  add(many, nowMs) {
    this.#perSecond = this.at(nowMs) + (many * 1000) / MEMORY_MS;
    this.#since = nowMs;
  }

  at(nowMs) {
    const passed = nowMs - this.#since;
    return passed > 0 ? this.#perSecond * Math.exp(-passed / MEMORY_MS) : this.#perSecond;
  }
}
