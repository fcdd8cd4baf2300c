// What one can do with a topic, as far as the key allows: publish to it, follow it, export it,
// clear its retained message.

import { matchesAny } from "../model/filter.js";
import { el } from "../page/dom.js";
import { download, fileName } from "../page/download.js";
import { Route } from "../page/route.js";

export class TopicActions {
  #topic = "";

  constructor({ service, session, toast, onproblem }) {
    Object.assign(this, { service, session, toast, onproblem });
    this.publish = el("a", { class: "button quiet" }, "Publish");
    this.follow = el("a", { class: "button quiet" }, "Follow live");
    this.export = el(
      "button",
      {
        type: "button",
        class: "quiet",
        title: "Everything the history " + "has of it, as CSV",
        onclick: () => this.#export(),
      },
      "Export CSV",
    );
    this.clear = el(
      "button",
      { type: "button", class: "quiet", hidden: true, onclick: () => this.#ask(true) },
      "Clear retained…",
    );
    this.sure = el(
      "span",
      { class: "sure", role: "group", "aria-label": "Clear retained message", hidden: true },
      "Clear the retained message? ",
      el("button", { type: "button", class: "danger", onclick: () => this.#clear() }, "Clear"),
      el("button", { type: "button", class: "quiet", onclick: () => this.#ask(false) }, "Cancel"),
    );
    this.root = el(
      "div",
      { class: "actions" },
      this.follow,
      this.publish,
      this.export,
      this.clear,
      this.sure,
    );
  }

  show(topic, isBranch) {
    const shown = `${topic} ${isBranch}`;
    if (shown === this.shown) return;
    const asking = topic === this.#topic && !this.sure.hidden;
    this.shown = shown;
    this.#topic = topic;
    this.publish.href = Route.link("publish", { topic });
    this.follow.href = Route.link("live", { filter: isBranch ? `${topic}/#` : topic });
    const allowed =
      this.session.may("publish") &&
      matchesAny(this.session.caller.publish, topic) &&
      !topic.startsWith("$");
    this.publish.hidden = !allowed;
    this.may = allowed && !isBranch;
    this.export.hidden = isBranch;
    // What is learnt of a topic meanwhile takes no question from under somebody's hand.
    this.#ask(asking && this.may, false);
  }

  #ask(asking, focus = true) {
    this.sure.hidden = !asking;
    this.clear.hidden = asking || !this.may;
    if (focus) (asking ? this.sure.querySelector(".danger") : this.clear).focus();
  }

  async #clear() {
    const topic = this.#topic;
    try {
      await this.service.post("publish", { topic, payload: null, qos: 1, retain: true });
      this.toast.say(`The broker keeps no message for ${topic} any more.`);
    } catch (error) {
      this.onproblem(error);
    }
    this.#ask(false);
  }

  async #export() {
    try {
      const answer = await this.service.send("GET", "export", {
        query: { topic: this.#topic, format: "csv" },
      });
      download(fileName(this.#topic, "csv"), await answer.blob());
    } catch (error) {
      this.onproblem(error);
    }
  }
}
