// One short sentence at the lower edge that goes away by itself.

import { el, say } from "../page/dom.js";

const SHOWN_MS = 5_000;

export class Toast {
  #timer = 0;

  constructor() {
    this.root = el("div", { class: "toast", role: "status", hidden: true });
  }

  say(text) {
    clearTimeout(this.#timer);
    this.root.hidden = false;
    say(this.root, text);
    this.#timer = setTimeout(() => {
      this.root.hidden = true;
    }, SHOWN_MS);
  }
}
