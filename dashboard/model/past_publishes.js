// What was published from this browser, newest first, to pick from again. Kept in localStorage, as
// long as nobody presses "Forget": on a shared screen others see it, so it says so.

const PLACE = "mqtt-api-published";
const MOST = 30;
// A larger payload is not worth keeping: localStorage has a few MB for everything.
const LARGEST = 20_000;

export class PastPublishes {
  constructor(storage = localStorage) {
    this.storage = storage;
  }

  all() {
    try {
      const kept = JSON.parse(this.storage.getItem(PLACE) ?? "[]");
      return Array.isArray(kept) ? kept.filter((one) => typeof one?.topic === "string") : [];
    } catch {
      return [];
    }
  }

  /** Keep one: {topic, payload, kind, qos, retain}. The same one moves to the top. */
  add(entry) {
    if (entry.payload.length > LARGEST) return;
    const same = JSON.stringify(entry);
    const others = this.all().filter((one) => JSON.stringify(one) !== same);
    this.#keep([entry, ...others].slice(0, MOST));
  }

  forget() {
    this.storage.removeItem(PLACE);
  }

  #keep(entries) {
    try {
      this.storage.setItem(PLACE, JSON.stringify(entries));
    } catch {
      // the browser has no room, or allows none: publishing works all the same
    }
  }
}
