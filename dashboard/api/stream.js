// One reader of the log over a WebSocket, which comes back by itself. Answers for: the key in the
// first frame, the position to resume at, and waiting longer after each failure. Events are
// calls of the functions in `on`: welcome(frame), messages(list), gap(frame), status(frame),
// filtered() once a change of the filter holds,
// state("connecting" | "live" | "waiting" | "refused" | "closed", detail).

import { address } from "./service.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;
const POLICY_VIOLATION = 1008;
// By this the answer to a change of the filter is known.
const FILTER = "filter";

export class Stream {
  #socket = null;
  #epoch = "";
  #position = "";
  #failures = 0;
  #asked = "";
  #timer = 0;

  /**
   * `resume`: after a break, go on where it broke off, with nothing lost. Without it, begin at
   * the head each time: for who loads the present state anew.
   */
  constructor(session, { topics, conflate, resume = false, on }) {
    this.session = session;
    this.topics = topics;
    this.conflate = conflate;
    this.resume = resume;
    this.on = on;
  }

  /** Begin at the head. */
  open() {
    this.close();
    this.#position = "";
    this.#failures = 0;
    this.#connect();
  }

  close() {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    if (socket) {
      socket.close();
      this.#tell("state", "closed");
    }
  }

  /** See other topics from now on. */
  filter(topics) {
    this.topics = topics;
    if (this.#asked) this.#filterNow();
  }

  /** Say what we want to see, when that is something else than what we asked for. */
  #filterNow() {
    const wanted = this.topics.join("\n");
    if (wanted === this.#asked || this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#asked = wanted;
    const command = { action: "filter", topics: this.topics, request_id: FILTER };
    this.#socket.send(JSON.stringify(command));
  }

  #tell(name, ...what) {
    this.on[name]?.(...what);
  }

  #connect() {
    const url = address("ws", {
      topic: this.topics,
      conflate: this.conflate,
      batch: "true",
      after: this.resume ? this.#position : "",
    });
    const asked = this.topics.join("\n");
    this.#asked = "";
    url.protocol = url.protocol.replace("http", "ws");
    this.#tell("state", "connecting");
    const socket = new WebSocket(url);
    this.#socket = socket;
    socket.onopen = () => {
      if (this.session.hasKey) {
        socket.send(JSON.stringify({ action: "auth", key: this.session.key }));
      }
    };
    socket.onmessage = (event) => {
      if (socket === this.#socket) this.#take(JSON.parse(event.data), asked);
    };
    socket.onclose = (event) => {
      if (socket === this.#socket) this.#lost(event);
    };
  }

  /** `asked` is what the socket was opened for; it may be told another wish once it is there. */
  #take(frame, asked) {
    if (frame.type === "messages") {
      for (let last = frame.messages.length - 1; last >= 0; last -= 1) {
        const { id } = frame.messages[last];
        if (id !== null) {
          this.#position = `${this.#epoch}.${id}`;
          break;
        }
      }
      this.#tell("messages", frame.messages);
    } else if (frame.type === "welcome") {
      this.#failures = 0;
      this.#epoch = frame.epoch;
      if (!this.resume || !this.#position) this.#position = `${frame.epoch}.${frame.newest_id}`;
      this.#tell("welcome", frame);
      this.#tell("state", "live");
      this.#asked = asked;
      this.#filterNow();
    } else if (frame.type === "gap") {
      this.#position = `${this.#epoch}.${frame.next - 1}`;
      this.#tell("gap", frame);
    } else if (frame.type === "status") {
      this.#tell("status", frame);
    } else if (frame.type === "result" && frame.request_id === FILTER) {
      this.#tell("filtered");
    } // the answers to our own keyless pings and commands tell nothing that we need
  }

  #lost(event) {
    this.#socket = null;
    if (event.code === POLICY_VIOLATION) {
      this.#tell("state", "refused", event.reason);
      this.session.refused(event.reason);
      return;
    }
    this.#failures += 1;
    const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (this.#failures - 1));
    const wait = longest * (0.5 + Math.random() / 2);
    this.#tell("state", "waiting", wait);
    this.#timer = setTimeout(() => this.#connect(), wait);
  }
}
