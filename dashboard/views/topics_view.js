// The tree, and beside it the topic that is looked at. On a narrow screen one at a time: CSS
// decides, by what the address names.

import { el } from "../page/dom.js";
import { Route, pairs } from "../page/route.js";

export class TopicsView {
  #q = "";

  constructor({ treePane, topicPane, replace }) {
    this.treePane = treePane;
    this.topicPane = topicPane;
    this.replace = replace;
    this.root = el("div", { class: "topics split" }, treePane.root, topicPane.root);
  }

  show(params, view) {
    this.#q = params.get("q") ?? "";
    this.treePane.search(this.#q);
    const topic = view === "topic" ? (params.get("t") ?? "") : "";
    this.treePane.chosen(topic);
    this.topicPane.show(topic, params);
    this.treePane.ask();
  }

  hide() {
    this.topicPane.hide();
  }

  focusSearch() {
    this.treePane.input.select();
  }

  escape() {
    this.topicPane.escape();
  }

  /** Look closer at a topic, with the search as it is. */
  choose(path) {
    Route.go("topic", { t: path, q: this.#q });
  }

  search(text) {
    const { view, params } = Route.read();
    params.delete("q");
    this.replace(view === "topic" ? view : "topics", { ...pairs(params), q: text });
  }
}
