// The answer, what is wrong with the sources, the stages, and the few facts that everybody asks for.
import { $, h, show } from "./dom.js";
import { MARKS } from "./marks.js";
import { DASH, capital, hourSeconds, percent, span, timeOf, when, withTimes } from "./words.js";

const SILENT = { "decisions log": "cannot be read", "rollout file": "does not fit, so this page goes by what it said before" };
const UNKNOWN = "unknown version"; // of a service that exports none
const TOLD = new Set(["now", "skipped", "rolled back", "not reached"]);

let said = null;

export function showAnswer(board) {
  const { answer } = board;
  $("answer").dataset.tone = answer.tone;
  show("answer-mark", answer.tone, (tone) => MARKS[tone]);
  show("answer-now", answer.now, withTimes);
  show("answer-next", [answer.next, answer.until], () => {
    const [before, after] = answer.next.split("{until}");
    return after === undefined
      ? withTimes(before)
      : [withTimes(before), timeOf(answer.until, when(answer.until)), withTimes(after)];
  });
  document.title = `${answer.tone === "bad" ? "⚠ " : ""}${answer.now.split(";")[0].split(":")[0]} – ${board.rollouts > 1 ? board.name : board.flag}`;
  announce(board);
}

/** Tell screen readers what has changed, and only that: new verdicts, another answer. */
function announce(board) {
  const verdicts = Object.fromEntries(board.guardrails.map((one) => [one.name, one.verdict]));
  const state = { now: board.answer.now, verdicts };
  if (said !== null) {
    const news = Object.entries(verdicts)
      .filter(([name, verdict]) => said.verdicts[name] !== verdict)
      .map(([name, verdict]) => `${name}: ${verdict}.`);
    if (said.now !== state.now) news.unshift(state.now);
    if (news.length) $("live").textContent = news.join(" ");
  }
  said = state;
}

export function showFaults(board) {
  const faults = board.sources.filter((one) => one.fault);
  show("faults", faults.map((one) => [one.name, one.fault, one.read_at]), () =>
    faults.map((one) =>
      h("p", { class: "fault-line" },
        h("strong", {}, `${capital(one.name)} ${SILENT[one.name] ?? "does not answer"}. `),
        one.name === "rollout file" ? null : one.read_at ? ["Last read ", timeOf(one.read_at), "; trying again. "] : "Trying again. ",
        h("span", { class: "small" }, one.fault)),
    ));
}

export function showStages(board) {
  const stages = board.rollout?.stages ?? [];
  show("stages", stages, () =>
    stages.map((stage) =>
      h("li", { "data-state": stage.state, "aria-current": stage.state === "now" ? "step" : null },
        h("span", { class: "stop", "aria-hidden": "true" }),
        h("span", { class: "name" }, stage.name),
        h("span", { class: "lasts" },
          TOLD.has(stage.state) ? stage.state : stage.lasts ? span(stage.lasts) : "",
          h("span", { class: "unseen" }, TOLD.has(stage.state) ? "" : ` ${stage.state}`))),
    ));
}

export function showFacts(board) {
  const { rollout, numbers } = board;
  const facts = [];
  const add = (name, value, note, tone = "") => facts.push({ name, value, note, tone });
  const unleash = board.sources.find((one) => one.name === "Unleash");
  if (rollout && !unleash.ok) {
    add("Wanted by the flag", "not known", `${rollout.enabled ? percent(rollout.share) : "off"} at ${hourSeconds(unleash.read_at)}`, "bad");
  } else if (rollout) {
    const wanted = rollout.enabled ? percent(rollout.share) : "off";
    add("Wanted by the flag", wanted, !rollout.enabled ? "everybody has the champion" : rollout.only_where.length ? `only where ${rollout.only_where.join(" and ")}` : "of the users");
  }
  add("Observed", percent(numbers?.observed_share), numbers && numbers.rates_over !== 60 ? `of the answers of the last ${span(numbers.rates_over)}` : "of the last minute's answers");
  if (rollout?.began) add("In this stage", { since: rollout.began }, rollout.stage);
  if (rollout) {
    const lease = rollout.lease;
    const exposed = rollout.enabled && rollout.share !== 0;
    const then = exposed ? "then everybody has the champion" : "nobody has the challenger now";
    add("Safety timeout", lease ? { until: lease.until } : "none", lease ? then : "the share holds by itself", exposed && lease && lease.seconds_left <= 0 ? "bad" : "");
  }
  add("Guarded", numbers?.guard_seen ? { since: numbers.guard_seen, ago: true } : DASH, numbers && !numbers.guarded ? "the rollback job is silent" : "last iteration of the rollback job", numbers?.guarded ? "" : "bad");
  for (const one of board.served) {
    add(capital(one.model), `version ${one.version}`, { name: one.name, since: one.since });
  }
  const told = board.served.some((one) => one.model === "challenger");
  if (!told && rollout?.challenger === UNKNOWN) add("Challenger", "version not known", "the service does not say which it serves");
  else if (!told && rollout) add("Challenger", rollout.challenger ? `version ${rollout.challenger.split(" ")[0]}` : "none", rollout.challenger?.split(" ").slice(1).join(" ") ?? "");
  show("facts", facts, () =>
    facts.map((fact) =>
      h("div", { "data-tone": fact.tone },
        h("dt", {}, fact.name),
        h("dd", {}, ticking(fact.value), h("span", { class: "small" }, typeof fact.note === "object" ? served(fact.note) : fact.note))),
    ));
}

const served = ({ name, since }) => [name ? `${name}, ` : "", since ? ["since ", timeOf(since, when(since))] : "for 15 days or longer"];

function ticking(value) {
  if (typeof value !== "object") return h("span", { class: "value" }, value);
  return h("span", { class: "value", "data-since": value.since, "data-until": value.until, "data-ago": value.ago ?? null });
}

/** Times that pass, once a second. */
export function tick() {
  for (const element of document.querySelectorAll("[data-since], [data-until]")) {
    const { since, until, ago } = element.dataset;
    const left = until ? (new Date(until) - Date.now()) / 1000 : 0;
    const text = until ? (left > 0 ? span(left) : "over") : span((Date.now() - new Date(since)) / 1000) + (ago === undefined ? "" : " ago");
    if (element.textContent !== text) element.textContent = text;
  }
}

export function showSources(board) {
  show("sources", board.sources, () =>
    board.sources.map((one) =>
      h("li", { "data-ok": one.ok }, h("span", { class: "dot", "aria-hidden": "true" }),
        one.name === "rollout file" ? "Rollout file: does not fit" : `${capital(one.name)}: ${one.ok ? "read at" : "silent since"} ${one.read_at ? hourSeconds(one.read_at) : "the start"}`)));
}
