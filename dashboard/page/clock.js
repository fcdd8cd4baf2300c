// The service's time. A gateway's clock may be wrong, and so may the reader's: ages are told by
// the clock that wrote the times, which is the service's.

export class Clock {
  #ahead = 0;

  /** Learn what time it is there, from an answer that has just come. */
  set(ms) {
    if (Number.isFinite(ms)) this.#ahead = ms - Date.now();
  }

  now() {
    return Date.now() + this.#ahead;
  }
}
