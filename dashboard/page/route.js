// The address carries the view: `#/topic?t=a/b&range=1h`. Answers for: reading and writing it.
// A link that somebody copies shows the same to the next one. A key is never part of it.

export class Route {
  #listener;

  constructor(listener) {
    this.#listener = listener;
    addEventListener("hashchange", () => this.tell());
  }

  /** The view's name and its parameters. */
  static read(hash = location.hash) {
    const [path, query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
    return { view: path || "topics", params: new URLSearchParams(query) };
  }

  /** The link to a view; parameters that are empty are left out, lists repeat their name. */
  static link(view, params = {}) {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(params)) {
      for (const one of Array.isArray(value) ? value : [value]) {
        if (one !== "" && one !== null && one !== undefined) query.append(name, one);
      }
    }
    const text = query.toString().replaceAll("%2F", "/").replaceAll("%24", "$");
    return `#/${view}${text ? `?${text}` : ""}`;
  }

  /** Go there; Back leads here again. */
  static go(view, params) {
    location.hash = Route.link(view, params);
  }

  /** Go there in place of here: for what is typed letter by letter. */
  replace(view, params) {
    history.replaceState(null, "", Route.link(view, params));
    this.tell();
  }

  tell() {
    const { view, params } = Route.read();
    this.#listener(view, params);
  }
}

/** Parameters as an object; a name that comes more than once has a list. */
export function pairs(params) {
  return Object.fromEntries([...new Set(params.keys())].map((name) => [name, params.getAll(name)]));
}
