// Asks for the key. It stays in this tab (api/session.js); it is never part of an address.

import { el, say } from "../page/dom.js";
import { sentence } from "../page/format.js";

export class KeyDialog {
  /** `use(key)` tries a key, a Refusal says why it is no good; `forget()` lets go of ours. */
  constructor({ use, forget }) {
    this.input = el("input", {
      type: "password",
      id: "key",
      autocomplete: "off",
      spellcheck: "false",
      "aria-describedby": "key-note key-fault",
    });
    this.fault = el("p", { class: "fault", id: "key-fault", role: "alert" });
    this.forget = el(
      "button",
      { type: "button", class: "quiet", onclick: () => this.#forget(forget) },
      "Forget key",
    );
    const form = el(
      "form",
      {
        onsubmit: (event) => {
          event.preventDefault();
          this.#try(use, this.input.value.trim());
        },
      },
      el("h2", {}, "API key"),
      el(
        "p",
        { id: "key-note", class: "note" },
        "The key stays in this tab and is gone when you close it.",
      ),
      el("label", { for: "key" }, "Key"),
      this.input,
      this.fault,
      el(
        "div",
        { class: "buttons" },
        this.forget,
        el(
          "button",
          { type: "button", class: "quiet", onclick: () => this.root.close() },
          "Cancel",
        ),
        el("button", { type: "submit", class: "primary" }, "Use key"),
      ),
    );
    this.root = el("dialog", { class: "dialog", "aria-label": "API key" }, form);
  }

  open(why = "", hasKey = false) {
    say(this.fault, sentence(why));
    this.forget.hidden = !hasKey;
    this.input.value = "";
    if (!this.root.open) this.root.showModal();
    this.input.focus();
  }

  async #try(use, key) {
    try {
      await use(key);
      this.root.close();
    } catch (error) {
      say(this.fault, sentence(error.message));
      this.input.focus();
    }
    this.input.value = "";
  }

  /** That a key is wanted then, was to be expected: the banner says it, and asks no more. */
  async #forget(forget) {
    await forget();
    this.root.close();
  }
}
