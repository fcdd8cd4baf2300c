// Paints at most once a frame. Answers for: that a thousand changes between two frames cost one
// paint. Does not: know what is painted.

export class Painter {
  #jobs = new Set();
  #asked = 0;

  /** Run `job` before the next frame; asked again before then, it still runs once. */
  ask(job) {
    this.#jobs.add(job);
    if (!this.#asked) this.#asked = requestAnimationFrame(() => this.#paint());
  }

  #paint() {
    this.#asked = 0;
    const jobs = [...this.#jobs];
    this.#jobs.clear();
    for (const job of jobs) job();
  }
}
