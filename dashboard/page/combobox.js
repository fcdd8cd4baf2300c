// A text field with suggestions: arrow keys choose, Enter or Tab takes, Esc closes. Suggestions
// that end in a slash go on; others are whole.

import { el, mark } from "./dom.js";

export class Combobox {
  #found = [];
  #active = -1;

  /** `complete(text)` returns suggestions; `ontake(text)` is called when one is taken whole. */
  constructor({ id, label, placeholder = "", complete, ontake = () => {}, oninput = () => {} }) {
    this.complete = complete;
    this.ontake = ontake;
    this.oninput = oninput;
    this.input = el("input", {
      id,
      type: "text",
      role: "combobox",
      "aria-autocomplete": "list",
      "aria-expanded": "false",
      "aria-controls": `${id}-list`,
      "aria-label": label,
      placeholder,
      autocomplete: "off",
      spellcheck: "false",
      oninput: () => {
        this.oninput();
        this.#suggest();
      },
      onfocus: () => this.#suggest(),
      onblur: () => this.close(),
      onkeydown: (event) => this.#key(event),
    });
    this.list = el("ul", {
      id: `${id}-list`,
      role: "listbox",
      "aria-label": label,
      hidden: true,
      onpointerdown: (event) => this.#press(event),
    });
    this.root = el("span", { class: "combobox" }, this.input, this.list);
  }

  get value() {
    return this.input.value;
  }

  set value(text) {
    this.input.value = text;
  }

  close() {
    this.list.hidden = true;
    this.#active = -1;
    mark(this.input, "aria-expanded", "false");
    mark(this.input, "aria-activedescendant", null);
  }

  /** There is more to suggest now: who typed before it came sees it. */
  refresh() {
    const waits = document.activeElement === this.input && this.value !== "";
    if (waits && this.#found.length === 0) this.#suggest();
  }

  #suggest() {
    this.#found = this.complete(this.value);
    this.#active = -1;
    this.list.replaceChildren(
      ...this.#found.map((text, at) =>
        el(
          "li",
          {
            id: `${this.input.id}-${at}`,
            role: "option",
            "aria-selected": "false",
            "data-at": at,
          },
          text,
        ),
      ),
    );
    this.list.hidden = this.#found.length === 0;
    mark(this.input, "aria-expanded", String(!this.list.hidden));
    mark(this.input, "aria-activedescendant", null);
  }

  #mark(at) {
    this.#active = at;
    [...this.list.children].forEach((item, place) => {
      mark(item, "aria-selected", String(place === at));
      if (place === at) item.scrollIntoView({ block: "nearest" });
    });
    mark(this.input, "aria-activedescendant", at < 0 ? null : `${this.input.id}-${at}`);
  }

  #take(text) {
    this.value = text;
    this.oninput();
    if (text.endsWith("/")) {
      this.#suggest();
      return;
    }
    this.close();
    this.ontake(text);
  }

  #press(event) {
    const item = event.target.closest("li");
    event.preventDefault(); // the field keeps the focus
    if (item) this.#take(this.#found[Number(item.dataset.at)]);
  }

  #key(event) {
    const many = this.#found.length;
    if (event.key === "Escape" && !this.list.hidden) this.close();
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (this.list.hidden) this.#suggest();
      const step = event.key === "ArrowDown" ? 1 : -1;
      if (many)
        this.#mark((this.#active + step + many + (this.#active < 0 && step < 0 ? 1 : 0)) % many);
    } else if (event.key === "Enter" && !this.list.hidden && this.#active >= 0) {
      this.#take(this.#found[this.#active]);
    } else if (event.key === "Enter" && this.value) {
      this.close();
      this.ontake(this.value);
      return; // the form may go
    } else if (event.key === "Tab" && !this.list.hidden && this.#active >= 0) {
      this.#take(this.#found[this.#active]);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
