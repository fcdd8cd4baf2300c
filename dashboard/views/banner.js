// What is wrong, and what to do: one strip above everything, only when there is something to say.

import { adviceFor } from "../model/advice.js";
import { el } from "../page/dom.js";
import { sentence } from "../page/format.js";

export class Banner {
  #shown = "";

  constructor() {
    this.root = el("div", { class: "banner", role: "alert", hidden: true });
  }

  /** `items` are {text, advice?, action?: [label, function]}; an empty list hides the strip. */
  show(items) {
    const shown = JSON.stringify(items.map(({ text, advice }) => [text, advice]));
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.root.hidden = items.length === 0;
    this.root.replaceChildren(
      ...items.map(({ text, advice, action }) =>
        el(
          "div",
          { class: "item" },
          el("p", {}, el("strong", {}, text), advice ? ` ${advice}` : ""),
          action ? el("button", { type: "button", onclick: () => action[1]() }, action[0]) : null,
        ),
      ),
    );
  }
}

/** What is to be said, from what is known of the service. */
export function troubles({ watch, feed, session, askKey }) {
  const items = [];
  if (!watch.reachable || feed.state === "waiting") {
    items.push({
      text: "The service cannot be reached.",
      advice: "What you see is what was last known. This page comes back by itself.",
    });
    return items;
  }
  if (session.caller === null && session.wanted) {
    items.push({ text: "A key is needed to see anything here.", action: ["Enter key", askKey] });
  } else if (session.caller && !session.may("read")) {
    items.push({
      text: `The key ${session.caller.name} may not read.`,
      advice: "It can publish; to see topics, use a key with the scope read.",
      action: ["Use another key", askKey],
    });
  }
  for (const reason of watch.health?.reasons ?? []) {
    items.push({ text: sentence(reason), advice: adviceFor(reason) });
  }
  return items;
}

/** Why there is no topic to be seen. */
export function whyEmpty({ watch, feed, session }) {
  if (session.caller === null) return "";
  if (!feed.loaded) return "Loading…";
  if (watch.health?.active_subscriptions === 0) {
    return "The service listens to no topic. Subscribe to some under Publish.";
  }
  return "No messages yet. What arrives at the broker shows up here by itself.";
}
