// Puts the page together: makes every part once, and hands each what it works with. Does not:
// show anything of its own but which view is open.

import { Service } from "./api/service.js";
import { Session } from "./api/session.js";
import { TopicFeed } from "./api/topic_feed.js";
import { Watch } from "./api/watch.js";
import { TopicTree } from "./model/topic_tree.js";
import { Clock } from "./page/clock.js";
import { mark } from "./page/dom.js";
import { sentence } from "./page/format.js";
import { Painter } from "./page/painter.js";
import { Route } from "./page/route.js";
import { Banner, troubles, whyEmpty } from "./views/banner.js";
import { HealthView } from "./views/health_view.js";
import { KeyDialog } from "./views/key_dialog.js";
import { LiveView } from "./views/live_view.js";
import { PublishView } from "./views/publish_view.js";
import { StatusLine } from "./views/status_line.js";
import { Toast } from "./views/toast.js";
import { TopicPane } from "./views/topic_pane.js";
import { TopicsView } from "./views/topics_view.js";
import { TreePane } from "./views/tree_pane.js";

// Ages and rates grow old by themselves.
const TICK_MS = 500;
const NOTE_MS = 2_000;

const session = new Session();
const service = new Service(session);
const painter = new Painter();
const clock = new Clock();
const tree = new TopicTree();
const feed = new TopicFeed(service, session, tree, clock);
const watch = new Watch(service);
const toast = new Toast();
const banner = new Banner();
const replace = (view, params) => route.replace(view, params);
const onproblem = (error) => toast.say(sentence(error.message));

const keyDialog = new KeyDialog({
  async use(key) {
    await session.use(key, service);
    forget();
    begin();
  },
  async forget() {
    forget();
    session.forget();
    await begin();
  },
});
const askKey = (why = "") => keyDialog.open(why, session.hasKey);
const status = new StatusLine({ feed, watch, tree, session, askKey });
const treePane = new TreePane({
  tree,
  painter,
  clock,
  choose: (path) => topics.choose(path),
  onsearch: (text) => topics.search(text),
  nothing: () => whyEmpty({ watch, feed, session }),
});
const topicPane = new TopicPane({ service, session, tree, painter, clock, toast, onproblem });
const topics = new TopicsView({ treePane, topicPane, replace });
const views = {
  topics,
  topic: topics,
  live: new LiveView({ service, session, painter, replace, onproblem }),
  publish: new PublishView({ service, session, tree, clock, onproblem }),
  health: new HealthView({ watch, clock, painter }),
};

const main = document.querySelector("main");
document.querySelector("header").append(status.root);
document.body.prepend(banner.root);
document.body.append(keyDialog.root, toast.root);
for (const view of new Set(Object.values(views))) main.append(view.root);

let open = null;
const route = new Route((name, params) => {
  const known = name in views ? name : "topics";
  const view = views[known];
  const allowed = session.may("read") || (session.caller !== null && known === "publish");
  if (open && open !== view) open.hide();
  for (const one of Object.values(views)) one.root.hidden = one !== view || !allowed;
  mark(document.body, "data-view", known);
  for (const link of document.querySelectorAll("nav a")) {
    const here =
      link.dataset.view === known || (known === "topic" && link.dataset.view === "topics");
    mark(link, "aria-current", here ? "page" : null);
  }
  open = view;
  if (allowed) view.show(params, known);
});

/** What one key showed is not for who comes with another, or with none. */
function forget() {
  feed.close();
  open?.hide();
  tree.clear();
  treePane.startOver();
  watch.stats = null;
  views.live.forget();
  for (const view of Object.values(views)) view.root.hidden = true;
}

/** Begin, or begin again with another key. */
async function begin() {
  feed.close();
  if (!session.caller) {
    try {
      await session.learn(service);
    } catch (error) {
      tellTroubles();
      if (error.status !== 401) setTimeout(begin, 3_000);
      return;
    }
  }
  if (session.may("read")) feed.open();
  route.tell();
  tellTroubles();
}

function tellTroubles() {
  banner.show(troubles({ watch, feed, session, askKey }));
  status.paint();
}

session.addEventListener("wanted", (event) => {
  forget();
  askKey(session.hasKey ? event.detail : "");
  tellTroubles();
});
session.addEventListener("change", tellTroubles);
feed.addEventListener("state", tellTroubles);
feed.addEventListener("status", () => watch.checkHealth());
feed.addEventListener("failed", (event) => onproblem(event.detail));
feed.addEventListener("change", () => {
  treePane.ask();
  views.publish.form.topic.refresh();
  painter.ask(status.paint);
});
watch.addEventListener("health", tellTroubles);
setInterval(() => {
  treePane.ask();
  topicPane.tick();
  painter.ask(status.paint);
}, TICK_MS);

setInterval(() => views.health.note(tree.root.rate.at(performance.now())), NOTE_MS);

addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, dialog");
  if (event.ctrlKey || event.metaKey || event.altKey || typing) return;
  if (event.key === "/" && open?.focusSearch) {
    open.focusSearch();
    event.preventDefault();
  } else if (event.key === "p" && open === views.live) views.live.toggle();
  else if (event.key === "Escape") open?.escape?.();
});

route.tell();
watch.open();
begin();
