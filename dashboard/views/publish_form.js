// Publishes one message: topic with suggestions, payload as text, JSON or base64, QoS, retain.

import { laidOut } from "../model/payload.js";
import { Combobox } from "../page/combobox.js";
import { el, mark, say, segments } from "../page/dom.js";
import { sentence } from "../page/format.js";

const KINDS = [
  ["text", "Text"],
  ["json", "JSON"],
  ["base64", "Base64"],
];
const QOS = [
  ["0", "0"],
  ["1", "1"],
  ["2", "2"],
];
const QOS_MEANING = {
  0: "not confirmed",
  1: "confirmed by the broker",
  2: "confirmed, exactly once",
};

/** Why a payload is not what it is said to be, or an empty text. */
export function faultOf(kind, payload) {
  if (kind === "json") {
    try {
      JSON.parse(payload);
    } catch (error) {
      return payload.trim() === "" ? "Not JSON: it is empty." : `Not JSON: ${error.message}.`;
    }
  }
  if (
    kind === "base64" &&
    !/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(payload)
  ) {
    return "Not base64: letters, digits, + and / in fours, filled up with =.";
  }
  return "";
}

export class PublishForm {
  #kind = "text";
  #qos = "1";

  /** `onpublished(entry)` is told what went out. */
  constructor({ service, tree, onpublished }) {
    this.service = service;
    this.onpublished = onpublished;
    this.topic = new Combobox({
      id: "publish-topic",
      label: "Topic",
      placeholder: "factory/line1/…",
      complete: (text) => tree.complete(text),
      ontake: () => this.payload.focus(),
    });
    this.payload = el("textarea", {
      id: "publish-payload",
      spellcheck: "false",
      rows: "8",
      "aria-describedby": "publish-check",
      oninput: () => this.#check(),
      onkeydown: (event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#send();
      },
    });
    this.kinds = segments("Payload is", KINDS, (kind) => this.#choose(kind));
    this.qos = segments("QoS", QOS, (qos) => this.#chooseQos(qos));
    this.meaning = el("span", { class: "note" });
    this.retain = el("input", { type: "checkbox", id: "publish-retain" });
    this.tidy = el(
      "button",
      { type: "button", class: "quiet", onclick: () => this.#format() },
      "Format",
    );
    this.check = el("p", { class: "result", id: "publish-check" });
    this.result = el("p", { class: "result", role: "status" });
    this.button = el(
      "button",
      { type: "submit", class: "primary", title: "Ctrl+Enter" },
      "Publish",
    );
    this.root = el(
      "form",
      {
        class: "card",
        "aria-label": "Publish a message",
        onsubmit: (event) => {
          event.preventDefault();
          this.#send();
        },
      },
      el("h2", {}, "Publish"),
      el(
        "div",
        { class: "field" },
        el("label", { for: "publish-topic" }, "Topic"),
        this.topic.root,
      ),
      el(
        "div",
        { class: "field" },
        el(
          "div",
          { class: "row-of" },
          el("label", { for: "publish-payload", class: "note" }, "Payload"),
          this.kinds.root,
          this.tidy,
        ),
        this.payload,
        this.check,
      ),
      el(
        "div",
        { class: "row-of" },
        el("span", { class: "note" }, "QoS"),
        this.qos.root,
        this.meaning,
        el(
          "label",
          { class: "check" },
          this.retain,
          "Retain: the broker keeps it for who comes later",
        ),
      ),
      el("div", { class: "row-of" }, this.button, this.result),
    );
    this.#chooseQos(this.#qos);
    this.#choose(this.#kind);
  }

  /** Fill the form: from a link, or from a message that went out before. */
  fill({ topic, payload, kind, qos, retain }) {
    if (topic !== undefined) this.topic.value = topic;
    if (payload !== undefined) this.payload.value = payload;
    if (qos !== undefined) this.#chooseQos(String(qos));
    if (retain !== undefined) this.retain.checked = retain;
    this.#choose(kind ?? this.#kind);
  }

  #chooseQos(qos) {
    this.#qos = qos;
    this.qos.press(qos);
    say(this.meaning, QOS_MEANING[qos]);
  }

  #choose(kind) {
    this.#kind = kind;
    this.kinds.press(kind);
    this.#check();
  }

  #check() {
    const { value } = this.payload;
    const fault = value === "" && this.#kind !== "json" ? "" : faultOf(this.#kind, value);
    const looksJson = this.#kind === "text" && /^\s*[{[]/.test(value);
    const hint = looksJson ? faultOf("json", value) : "";
    mark(this.payload, "aria-invalid", fault ? "true" : null);
    mark(this.check, "data-tone", fault ? "bad" : null);
    this.tidy.hidden = this.#kind !== "json";
    this.tidy.disabled = fault !== "";
    say(
      this.check,
      fault ||
        (this.#kind === "json"
          ? "Valid JSON."
          : hint
            ? `Looks like JSON, but is none. It would go out as it stands. ${hint}`
            : value === ""
              ? "Empty: with retain, this clears what the broker keeps."
              : ""),
    );
    return fault;
  }

  #format() {
    this.payload.value = laidOut(this.payload.value);
    this.#check();
  }

  async #send() {
    if (this.#check() || this.button.disabled) {
      this.payload.focus();
      return;
    }
    const entry = {
      topic: this.topic.value,
      payload: this.payload.value,
      kind: this.#kind,
      qos: Number(this.#qos),
      retain: this.retain.checked,
    };
    const order = {
      topic: entry.topic,
      payload: entry.payload,
      qos: entry.qos,
      retain: entry.retain,
    };
    if (entry.kind === "base64") order.encoding = "base64";
    this.button.disabled = true;
    this.#tell("", "Publishing…");
    const began = performance.now();
    try {
      const { data } = await this.service.post("publish", order);
      const took = Math.round(performance.now() - began);
      this.#tell(
        "good",
        data.confirmed
          ? `Confirmed by the broker in ${took} ms.`
          : "Sent. At QoS 0 nobody confirms.",
      );
      this.onpublished(entry);
    } catch (error) {
      const [fault] = error.faults ?? [];
      const why = fault ? `${fault.path.replace(/^\//, "")} ${fault.message}` : error.message;
      this.#tell("bad", sentence(why));
    } finally {
      this.button.disabled = false;
    }
  }

  #tell(tone, text) {
    mark(this.result, "data-tone", tone || null);
    say(this.result, text);
  }
}
