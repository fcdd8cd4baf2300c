// The view in which one acts: publish, pick from what was published before, subscribe.

import { PastPublishes } from "../model/past_publishes.js";
import { el } from "../page/dom.js";
import { PublishForm } from "./publish_form.js";
import { SubscriptionsCard } from "./subscriptions_card.js";

export class PublishView {
  constructor({ service, session, tree, clock, onproblem }) {
    this.session = session;
    this.past = new PastPublishes();
    this.form = new PublishForm({
      service,
      tree,
      onpublished: (entry) => {
        this.past.add(entry);
        this.#list();
      },
    });
    this.refused = el(
      "section",
      { class: "card", "aria-label": "Publish" },
      el("h2", {}, "Publish"),
      el("p", { class: "note" }, "Your key may not publish."),
    );
    this.subscriptions = new SubscriptionsCard({ service, session, clock, onproblem });
    this.entries = el("ul", { "aria-label": "Published before" });
    this.forget = el(
      "button",
      {
        type: "button",
        class: "quiet",
        onclick: () => {
          this.past.forget();
          this.#list();
        },
      },
      "Forget all",
    );
    this.recent = el(
      "section",
      { class: "card", "aria-label": "Published before" },
      el(
        "div",
        { class: "bar" },
        el("h2", {}, "Published before"),
        el("span", { class: "spring" }),
        this.forget,
      ),
      this.entries,
      el("p", { class: "note" }, "Kept in this browser only."),
    );
    this.root = el(
      "section",
      { class: "act pane", "aria-label": "Publish and subscribe" },
      el(
        "div",
        { class: "sheet" },
        el("div", { class: "side" }, this.form.root, this.refused),
        el("div", { class: "side" }, this.recent, this.subscriptions.root),
      ),
    );
  }

  show(params) {
    const may = this.session.may("publish");
    this.form.root.hidden = !may;
    this.recent.hidden = !may;
    this.refused.hidden = may;
    if (params.get("topic")) this.form.fill({ topic: params.get("topic") });
    this.#list();
    this.subscriptions.show();
  }

  hide() {}

  focusSearch() {
    this.form.topic.input.select();
  }

  #list() {
    const kept = this.past.all();
    this.forget.hidden = !kept.length;
    this.entries.replaceChildren(
      ...kept.map((entry) =>
        el(
          "li",
          { class: "entry" },
          el(
            "button",
            { type: "button", class: "pick", onclick: () => this.form.fill(entry) },
            el("b", {}, entry.topic),
            el("code", {}, entry.payload || "(empty)"),
          ),
          el("span", { class: "note" }, `QoS ${entry.qos}${entry.retain ? " · retain" : ""}`),
        ),
      ),
    );
    if (!kept.length) {
      this.entries.replaceChildren(el("li", { class: "note" }, "What you publish shows up here."));
    }
  }
}
