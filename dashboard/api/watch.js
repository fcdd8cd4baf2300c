// Watches how the service is: its health every few seconds, its figures while somebody looks at
// them. Events: "health" (with the answer, or a Refusal), "stats" (with the answer).

const HEALTH_MS = 5_000;
const STATS_MS = 2_000;

export class Watch extends EventTarget {
  #timers = {};
  health = null;
  stats = null;
  reachable = true;

  constructor(service) {
    super();
    this.service = service;
  }

  open() {
    this.#repeat("health", HEALTH_MS, () => this.checkHealth());
  }

  /** Ask for the figures as well, or no longer. */
  wantStats(wanted) {
    clearInterval(this.#timers.stats);
    if (!wanted) return;
    this.#repeat("stats", STATS_MS, () => document.hidden || this.#checkStats());
  }

  #repeat(name, everyMs, act) {
    clearInterval(this.#timers[name]);
    this.#timers[name] = setInterval(act, everyMs);
    act();
  }

  /** Ask now: something has just changed. */
  async checkHealth() {
    try {
      this.health = await this.service.get("health");
      this.reachable = true;
    } catch (error) {
      this.reachable = error.status !== 0;
    }
    this.dispatchEvent(new Event("health"));
  }

  async #checkStats() {
    try {
      this.stats = await this.service.get("stats");
      this.dispatchEvent(new Event("stats"));
    } catch {
      // the banner says that the service is away, or the key dialog asks for a key
    }
  }
}
