// Who we are to the service: the key, and what it may do. The key lives in this tab's
// sessionStorage: it survives a reload, and is gone when the tab is closed. It never gets into an
// address. Events: "change" when what we may do has changed, "wanted" when a key must be asked for.

const PLACE = "mqtt-api-key";

export class Session extends EventTarget {
  #key = sessionStorage.getItem(PLACE) || "";
  #known = null;

  /** Whether the service asked for a key that we do not have. */
  wanted = false;

  /** What shows a key: ours, or one that is only tried. */
  headers(key = this.#key) {
    return key ? { Authorization: `Bearer ${key}` } : {};
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

  /** Use a key. Until the service has accepted it the one before stays: a slip of the finger may
   * not cost a key that works. A Refusal passes on to the caller. */
  async use(key, service) {
    const known = await service.whoIs(key);
    this.#key = key;
    sessionStorage.setItem(PLACE, key);
    this.#learned(known);
  }

  /** Let go of the key, and of what it may do. */
  forget() {
    this.#key = "";
    this.#known = null;
    sessionStorage.removeItem(PLACE);
  }

  /** Ask who we are. A Refusal passes on to the caller. */
  async learn(service) {
    this.#known = null;
    this.#learned(await service.get("whoami"));
  }

  #learned(known) {
    this.#known = known;
    this.wanted = false;
    this.dispatchEvent(new Event("change"));
  }

  /** The service wants a key, or another one. */
  refused(detail) {
    this.wanted = true;
    this.#known = null;
    this.dispatchEvent(new CustomEvent("wanted", { detail }));
  }
}
