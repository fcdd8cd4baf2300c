// One message, close up: its value as JSON, text or bytes, and what changed since the one before.

import { el, mark, say, segments } from "../page/dom.js";
import * as format from "../page/format.js";
import { jsonChanges, lineChanges } from "../model/diff.js";
import { changeTable, changedLines } from "./changes.js";
import { bytesOf, hexDump, jsonOf, jsonParts, laidOut, sizeOf } from "../model/payload.js";

// Letters shown at first: more would make the page slow, and is one press away.
const SHOWN = 20_000;
const SHOWN_BYTES = 4_096;
// A value so short is read across the room.
const SHORT = 24;
const EARLIER = "Showing an earlier message. ";
const HELD = "Held while text in it is selected: there is a newer message. ";
const FORMS = [
  ["pretty", "Pretty"],
  ["text", "Text"],
  ["hex", "Hex"],
  ["changes", "Changes"],
];

export class ValueCard {
  #message = null;
  #previous = null;
  #painted = null;
  #pinned = false;
  #form = "pretty";
  #whole = false;
  #held = false;

  constructor({ clock, onlatest, toast }) {
    this.clock = clock;
    this.toast = toast;
    this.forms = segments("Show the value as", FORMS, (form) => this.#choose(form));
    this.content = el("div", {
      class: "content",
      tabindex: "0",
      role: "region",
      "aria-label": "Value",
    });
    this.more = el("button", {
      type: "button",
      class: "quiet more",
      hidden: true,
      onclick: () => this.#showAll(),
    });
    this.facts = el("dl", { class: "facts inline" });
    const newest = () => {
      this.#release();
      onlatest();
    };
    this.pinned = el(
      "p",
      { class: "pinned", hidden: true },
      el("span", {}),
      el("button", { type: "button", class: "quiet", onclick: newest }, "Back to the newest"),
    );
    this.copy = el(
      "button",
      { type: "button", class: "quiet", onclick: () => this.#copy() },
      "Copy",
    );
    this.root = el(
      "section",
      { class: "card value-card", "aria-label": "Value" },
      el("div", { class: "bar" }, this.forms.root, this.copy),
      this.content, // what is below may come and go without moving what is being selected
      this.pinned,
      this.more,
      this.facts,
    );
    this.forms.press(this.#form);
    document.addEventListener("selectionchange", () => {
      if (this.#held && !this.#isBeingSelected()) this.paint();
    });
  }

  /**
   * Show a message beside the one before it, which may be null. Null: there is none; undefined:
   * that is not known yet. `pinned`: it is not the newest.
   */
  show(message, previous, pinned = false) {
    if (message?.id !== this.#message?.id) this.#whole = false;
    this.#message = message;
    this.#previous = previous;
    if (pinned || this.#pinned) this.#release(); // somebody asked for this one
    this.#pinned = pinned;
    this.paint();
  }

  #choose(form) {
    this.#release();
    this.#form = form;
    this.forms.press(form);
    this.paint();
  }

  #showAll() {
    this.#release();
    this.#whole = true;
    this.paint();
  }

  async #copy() {
    const message = this.#painted;
    if (!message) return;
    try {
      await navigator.clipboard.writeText(message.payload);
      this.toast.say(message.encoding === "base64" ? "Copied, as base64." : "Copied.");
    } catch {
      this.toast.say("The browser did not let us copy.");
    }
  }

  paint() {
    const message = this.#message;
    mark(this.root, "data-empty", !message);
    if (!message) {
      this.#painted = null;
      this.pinned.hidden = true;
      this.content.classList.remove("short");
      const words = message === null ? "The history has no message of this topic." : "Loading…";
      this.content.replaceChildren(el("p", { class: "note" }, words));
      this.facts.replaceChildren();
      this.more.hidden = true;
      return;
    }
    this.#held = this.#isBeingSelected() && message !== this.#painted;
    this.pinned.hidden = !this.#pinned && !this.#held;
    say(this.pinned.firstChild, this.#held ? HELD : EARLIER);
    if (this.#held) return; // who copies a value must not lose it to the next one
    this.#painted = message;
    mark(this.content, "data-form", this.#form);
    this.content.classList.toggle("short", false);
    const parts = {
      pretty: () => this.#pretty(),
      text: () => this.#text(message.payload),
      hex: () => this.#hex(),
      changes: () => this.#changes(),
    }[this.#form]();
    this.content.replaceChildren(...parts);
    this.#paintFacts(message);
  }

  #isBeingSelected() {
    const selection = getSelection();
    return selection.toString().trim() !== "" && this.content.contains(selection.anchorNode);
  }

  #release() {
    if (this.#isBeingSelected()) getSelection().removeAllRanges();
  }

  #pretty() {
    const message = this.#message;
    if (message.encoding === "base64") return this.#hex();
    const json = jsonOf(message);
    if (json === undefined || json === null || typeof json !== "object") {
      this.content.classList.toggle(
        "short",
        message.payload.length <= SHORT && message.payload !== "",
      );
      return this.#text(message.payload);
    }
    const most = this.#whole ? Infinity : SHOWN;
    const [text] = this.#cut(laidOut(message.payload, most), message.payload);
    return [
      el(
        "pre",
        {},
        ...jsonParts(text).map(([kind, part]) =>
          kind === "plain" ? part : el("span", { class: `json-${kind}` }, part),
        ),
      ),
    ];
  }

  /** What is shown of a text at first; `payload` is what it was made of. */
  #cut(text, payload = text) {
    const long = text.length > SHOWN && !this.#whole;
    this.more.hidden = !long;
    if (long) say(this.more, `Show all ${format.whole(payload.length)} letters`);
    return [long ? text.slice(0, SHOWN) : text];
  }

  #text(payload) {
    if (payload === "") {
      this.more.hidden = true;
      return [el("p", { class: "note" }, "Empty: this is how a retained message is cleared.")];
    }
    return [el("pre", {}, ...this.#cut(payload))];
  }

  #hex() {
    const bytes = bytesOf(this.#message);
    const long = bytes.length > SHOWN_BYTES && !this.#whole;
    this.more.hidden = !long;
    if (long) say(this.more, `Show all ${format.bytes(bytes.length)}`);
    return [el("pre", { class: "hex" }, hexDump(long ? bytes.subarray(0, SHOWN_BYTES) : bytes))];
  }

  #changes() {
    this.more.hidden = true;
    const [now, before] = [this.#message, this.#previous];
    if (!before) return [el("p", { class: "note" }, "There is no message before this one.")];
    if (now.payload === before.payload && now.encoding === before.encoding) {
      return [el("p", { class: "note" }, "The same as the message before.")];
    }
    const [old, fresh] = [jsonOf(before), jsonOf(now)];
    if (old !== undefined && fresh !== undefined) {
      const changes = jsonChanges(old, fresh);
      if (changes.length) return [changeTable(changes)]; // else they are written differently
    }
    const text = (message) =>
      (message.encoding === "base64" ? hexDump(bytesOf(message)) : message.payload).slice(0, SHOWN);
    return [changedLines(lineChanges(text(before), text(now)))];
  }

  #paintFacts(message) {
    const time = Date.parse(message.timestamp);
    const pairs = [
      ["Time", format.moment(time, this.clock.now())],
      ["QoS", String(message.qos)],
      ["Size", format.bytes(sizeOf(message))],
      ["Id", message.id === null ? "not stored yet" : String(message.id)],
    ];
    if (message.retain) pairs.push(["Retained", "replayed by the broker"]);
    for (const [name, value] of Object.entries(message.properties ?? {})) {
      pairs.push([
        name.replaceAll("_", " "),
        typeof value === "string" ? value : JSON.stringify(value),
      ]);
    }
    this.facts.replaceChildren(
      ...pairs.map(([name, text]) => el("div", {}, el("dt", {}, name), el("dd", {}, text))),
    );
  }
}
