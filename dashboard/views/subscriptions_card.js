// What the service listens to at the broker, and so what gets into the history.

import { el, mark, say } from "../page/dom.js";
import * as format from "../page/format.js";

export class SubscriptionsCard {
  constructor({ service, session, clock, onproblem }) {
    Object.assign(this, { service, session, clock, onproblem });
    this.list = el("ul", { "aria-label": "Subscriptions" });
    this.filter = el("input", {
      type: "text",
      placeholder: "factory/#",
      "aria-label": "Topic filter",
      autocomplete: "off",
      spellcheck: "false",
    });
    this.qos = el(
      "select",
      { "aria-label": "QoS" },
      el("option", { value: "0" }, "QoS 0"),
      el("option", { value: "1", selected: true }, "QoS 1"),
    );
    this.result = el("p", { class: "result", role: "status" });
    this.form = el(
      "form",
      {
        class: "row-of",
        "aria-label": "Subscribe",
        onsubmit: (event) => {
          event.preventDefault();
          this.#subscribe();
        },
      },
      this.filter,
      this.qos,
      el("button", { type: "submit" }, "Subscribe"),
    );
    this.root = el(
      "section",
      { class: "card", "aria-label": "Subscriptions" },
      el("h2", {}, "Subscriptions"),
      el("p", { class: "note" }, "What the service listens to at the broker, and keeps."),
      this.list,
      this.form,
      this.result,
    );
  }

  async show() {
    this.form.hidden = !this.session.may("subscribe");
    this.root.hidden = !this.session.may("read");
    if (this.root.hidden) return;
    try {
      const held = await this.service.get("subscriptions");
      this.list.replaceChildren(...held.map((one) => this.#entry(one)));
      if (!held.length) this.list.replaceChildren(el("li", { class: "note" }, "None."));
    } catch (error) {
      this.onproblem(error);
    }
  }

  #entry({ topic, qos, since }) {
    return el(
      "li",
      { class: "entry" },
      el("span", { class: "what" }, topic),
      el(
        "span",
        { class: "note" },
        `QoS ${qos} · ${format.age(this.clock.now() - Date.parse(since))}`,
      ),
      this.session.may("subscribe")
        ? el(
            "button",
            {
              type: "button",
              class: "quiet",
              "aria-label": `Unsubscribe from ${topic}`,
              onclick: () => this.#unsubscribe(topic),
            },
            "Unsubscribe",
          )
        : null,
    );
  }

  async #subscribe() {
    const topic = this.filter.value.trim();
    await this.#act(async () => {
      const { data } = await this.service.post("subscribe", { topic, qos: Number(this.qos.value) });
      this.filter.value = "";
      return `Subscribed to ${data.topic} at QoS ${data.qos}.`;
    });
  }

  async #unsubscribe(topic) {
    await this.#act(async () => {
      // Slashes part the levels of a path; everything else in a filter is written out.
      const path = topic.split("/").map(encodeURIComponent).join("/");
      const { data } = await this.service.delete(`subscribe/${path}`);
      const others = data.still_covered_by.join(", ");
      this.filter.value = topic; // one press brings it back
      return `Unsubscribed from ${topic}.${others ? ` ${others} still brings its messages.` : ""}`;
    });
  }

  async #act(act) {
    try {
      const text = await act();
      mark(this.result, "data-tone", "good");
      say(this.result, text);
    } catch (error) {
      const [fault] = error.faults ?? [];
      mark(this.result, "data-tone", "bad");
      say(this.result, format.sentence(fault ? `The filter ${fault.message}` : error.message));
    }
    await this.show();
  }
}
