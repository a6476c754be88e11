// The list of rollouts: what needs a person on top, and a link to the page of each.
import { $, h, show } from "./dom.js";
import { MARKS } from "./marks.js";
import { begin } from "./session.js";
import { DASH, timeOf, when, withTimes } from "./words.js";

const VERSION = 1; // of the shape that this page knows: board/overview.py

let silent = [];
let said = null;

begin({
  version: VERSION,
  every: 5000,
  address: () => "/api/rollouts",
  told(found) {
    showAnswer(found);
    show("faults", found.fault, () => (found.fault ? h("p", { class: "fault-line" }, h("strong", {}, "The rollouts were not read again. "), h("span", { class: "small" }, found.fault)) : []));
    showRows("needing", found.rollouts.filter((one) => one.needs_person));
    showRows("others", found.rollouts.filter((one) => !one.needs_person));
    silent = found.rollouts.some((one) => one.faults.length) ? ["some sources"] : [];
    announce(found);
  },
  failed(status, found) {
    show("first", found.error, (error) => h("p", {}, error ?? `The board answers ${status}.`));
  },
  silent: () => silent,
  tick() {},
});

function showAnswer(found) {
  const { answer } = found;
  $("answer").dataset.tone = answer.tone;
  show("answer-mark", answer.tone, (tone) => MARKS[tone]);
  show("answer-now", answer.now, (now) => now);
  document.title = `${answer.tone === "good" ? "" : "⚠ "}${answer.now.replace(/\.$/, "")} – Canario`;
}

function showRows(id, rows) {
  $(id).hidden = rows.length === 0;
  show(`${id}-rows`, rows, () => rows.map(row));
}

function row(one) {
  const known = one.share !== null;
  return h("li", { class: "card rollout", "data-tone": one.tone, "data-rollout": one.name },
    h("div", { class: "who" },
      h("h3", {}, h("a", { href: one.page }, one.name)),
      h("span", { class: `pill ${one.tone}` }, one.state),
      one.description ? h("p", { class: "small" }, one.description) : null,
      one.flag ? h("p", { class: "small" }, `Flag ${one.flag} in ${one.environment}`) : null),
    h("dl", { class: "figures" },
      figure("Share", known ? `${one.share}%` : DASH),
      figure("Stage", one.stage || DASH),
      figure("Guardrails", one.guards || DASH)),
    h("div", { class: "what" },
      h("p", {}, withTimes(one.now)),
      one.next ? h("p", { class: "next" }, next(one)) : null,
      one.faults.map((fault) => h("p", { class: "small bad" }, fault))));
}

const figure = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));

function next(one) {
  const [before, after] = one.next.split("{until}");
  return after === undefined || !one.until ? withTimes(before) : [withTimes(before), timeOf(one.until, when(one.until)), withTimes(after)];
}

/** Tell screen readers what has changed, and only that. */
function announce(found) {
  const now = Object.fromEntries(found.rollouts.map((one) => [one.name, one.state]));
  if (said !== null) {
    const news = Object.entries(now).filter(([name, state]) => said[name] !== state).map(([name, state]) => `${name}: ${state}.`);
    if (news.length) $("live").textContent = news.join(" ");
  }
  said = now;
}
