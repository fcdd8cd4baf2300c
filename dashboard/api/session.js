// Who we are to the service: the key, and what it may do. The key lives in this tab's
// sessionStorage: it survives a reload, and is gone when the tab is closed. It never gets into an
// address. Events: "change" when what we may do has changed, "wanted" when a key must be asked for.

const PLACE = "mqtt-api-key";

export class Session extends EventTarget {
  #key = sessionStorage.getItem(PLACE) || "";
  #known = null;

  /** Whether the service asked for a key that we do not have. */
  wanted = false;

  get headers() {
    return this.#key ? { Authorization: `Bearer ${this.#key}` } : {};
  }

  get key() {
    return this.#key;
  }

  get hasKey() {
    return this.#key !== "";
  }

  /** What `GET /whoami` said, or null before it did. */
  get caller() {
    return this.#known;
  }

  /** Whether the caller has a scope: read, publish, subscribe or admin. */
  may(scope) {
    return this.#known !== null && this.#known.scopes.includes(scope);
  }

  /** Use a key, or none; say who we are then. */
  async use(key, service) {
    this.#key = key;
    if (key) sessionStorage.setItem(PLACE, key);
    else sessionStorage.removeItem(PLACE);
    return this.learn(service);
  }

  /** Ask who we are. A Refusal passes on to the caller. */
  async learn(service) {
    this.#known = null;
    this.#known = await service.get("whoami");
    this.wanted = false;
    this.dispatchEvent(new Event("change"));
    return this.#known;
  }

  /** The service wants a key, or another one. */
  refused(detail) {
    this.wanted = true;
    this.#known = null;
    this.dispatchEvent(new CustomEvent("wanted", { detail }));
  }
}
