// What the next step waits for, the last decision, and who changed what.
import { h, show } from "./dom.js";
import { capital, timeOf, when, withTimes } from "./words.js";

const SAYS_SO = /^share \d+% -> \d+%$/;
const PROGRAMS = {
  "canario-rollback": "the rollback job",
  "canario-rollout": "the rollout plan",
  "canario-flags": "the command line",
  "canario-service": "the service's admin routes",
};

export function showGates(board) {
  const rollout = board.rollout;
  show("gates", rollout && [rollout.gates, rollout.step, rollout.why, rollout.hold, rollout.paused, rollout.quarantine], () => {
    if (!rollout) return h("p", { class: "note" }, "Not known.");
    const notes = [
      ...(rollout.step === "refuse" || rollout.step === "finished" ? [rollout.why] : []),
      ...(rollout.step === "refuse" ? [] : rollout.quarantine.map((one) => (one === "unknown version" ? "Blocked: any version, because the service does not say which it serves" : `Blocked: version ${one}`))),
    ];
    return [
      notes.map((note) => h("p", { class: "hold" }, withTimes(capital(note)), ".")),
      rollout.gates.length
        ? h("ul", { class: "gates" }, [...rollout.gates].sort((one, other) => one.holds - other.holds).map(gate))
        : h("p", { class: "note" }, "There is nothing to wait for."),
    ];
  });
}

function gate(one) {
  return h("li", { "data-holds": one.holds },
    h("span", { class: "mark", "aria-hidden": "true" }, one.holds ? "✓" : "…"),
    h("div", {},
      h("strong", {}, one.name), h("span", { class: "unseen" }, one.holds ? " is met: " : " is not met: "),
      h("span", { class: "why" }, withTimes(one.sentence)),
      one.until ? h("span", { class: "small" }, "met ", timeOf(one.until, when(one.until)), one.name === "time" ? null : " at this pace") : null));
}

export function showDecision(board) {
  const decision = board.decision;
  const known = board.sources.find((one) => one.name === "decisions log")?.read_at;
  show("decision", [decision, Boolean(known)], () => {
    if (!decision) return h("p", { class: "note" }, known ? "The rollback job has decided nothing yet." : "Not known.");
    const told = [];
    let verdicts = null;
    for (const sentence of decision.sentences) {
      if (sentence.startsWith("  ")) {
        if (!verdicts) told.push((verdicts = h("ul", { class: "verdicts" })));
        const [name, ...rest] = sentence.trim().split(": ");
        verdicts.append(h("li", { "data-breach": rest.join(": ").startsWith("breach") }, h("strong", {}, `${name}: `), withTimes(rest.join(": "))));
      } else {
        verdicts = null;
        told.push(h("p", {}, withTimes(sentence)));
      }
    }
    return [
      h("p", { class: "title" }, h(decision.guardrail ? "strong" : "span", {}, capital(decision.title.replaceAll("->", "→"))), " ", timeOf(decision.at)),
      h("details", { open: decision.current }, h("summary", {}, "Explained"), told),
    ];
  });
}

export function showChanges(board) {
  show("changes", board.changes, () =>
    board.changes.length
      ? h("ol", { class: "changes" }, board.changes.map(change))
      : h("p", { class: "note" }, "Nothing yet."));
}

function change(one) {
  const who = PROGRAMS[one.who];
  const moved = one.users_before !== one.users_after;
  const users = one.copies ? "of the requests are copied" : "of the users";
  return h("li", { "data-kind": one.kind, "data-person": one.person },
    h("p", {}, one.kind === "rollback" ? h("strong", { class: "pill bad" }, "rollback") : null,
      h("strong", {}, one.person ? one.who : capital(who ?? one.who)), one.person ? h("span", { class: "small inline" }, " (a person)") : null),
    h("p", { class: moved ? "moved" : "" }, `${one.flag}: ${one.what.replaceAll("->", "→")}`,
      moved && !SAYS_SO.test(one.what) ? `, ${one.users_before}% → ${one.users_after}% ${users}` : null),
    h("p", { class: "small" }, timeOf(one.at)));
}
