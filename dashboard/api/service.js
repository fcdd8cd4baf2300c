// Asks the service over HTTP. Answers for: addresses that work under any path prefix, the key as
// a header, and errors as sentences. Does not: know what is asked for.

/** What the service, or the way to it, says against a request. `status` 0: it was not reached. */
export class Refusal extends Error {
  constructor(status, detail, faults = []) {
    super(detail);
    this.status = status;
    this.faults = faults;
  }
}

/** The page lies beside the API, whatever the prefix: `dashboard` and `publish` are neighbours. */
export function address(path, query = {}) {
  const url = new URL(path, document.baseURI);
  url.hash = "";
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== "") url.searchParams.append(name, one);
    }
  }
  return url;
}

export class Service {
  constructor(session) {
    this.session = session;
  }

  /** Return the JSON of an answer; a Refusal when it is no success. */
  async get(path, query, signal) {
    return (await this.send("GET", path, { query, signal })).json();
  }

  /** Return whom a key belongs to, without using it for anything else. */
  async whoIs(key) {
    return (await this.send("GET", "whoami", { key })).json();
  }

  async post(path, body) {
    return (await this.send("POST", path, { body })).json();
  }

  async delete(path) {
    return (await this.send("DELETE", path)).json();
  }

  /** Return the answer itself, for its headers. */
  async send(method, path, { query, body, signal, key } = {}) {
    const headers = { Accept: "application/json", ...this.session.headers(key) };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let answer;
    try {
      answer = await fetch(address(path, query), {
        method,
        headers,
        signal,
        cache: "no-store",
        body: body === undefined ? undefined : JSON.stringify(body),
      });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refusal(0, "The service cannot be reached.");
    }
    if (answer.ok || answer.status === 304) return answer;
    const problem = await answer.json().catch(() => ({}));
    // That a key which is only tried is refused says nothing of the one in use.
    if (answer.status === 401 && key === undefined) this.session.refused(problem.detail);
    throw new Refusal(answer.status, problem.detail || answer.statusText, problem.errors);
  }
}
