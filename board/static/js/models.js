// Champion and challenger side by side, and what users made of their answers.
import { h, show, svg } from "./dom.js";
import { capital, count, duration, percent, rate, share, span, timeOf, withTimes } from "./words.js";

const ROWS = [
  ["Answers a second", "requests_per_second", (one) => rate(one.requests_per_second)],
  ["Requests in this stage", "requests", (one) => count(one.requests)],
  ["Median latency, last 5 min", "p50", (one) => duration(one.p50)],
  ["p99 latency, last 5 min", "p99", (one) => duration(one.p99)],
  ["Error rate, last 5 min", "error_rate", (one) => share(one.error_rate)],
];

export function showModels(board) {
  const numbers = board.numbers;
  show("models", numbers && [numbers.models, numbers.outcomes, numbers.agreement, numbers.since, numbers.rates_over, board.missing, board.shadow], () =>
    numbers
      ? [table(numbers, board), outcomes(numbers, board)]
      : h("p", { class: "note" }, "Prometheus does not answer, so there are no numbers of now."));
}

const sentence = (text) => h("span", { class: "small" }, withTimes(`${capital(text)}.`));
const swatch = (model) => [h("span", { class: `swatch ${model}`, "aria-hidden": "true" }), model];

function table(numbers, { missing, shadow, own_service }) {
  const told = (name, key) => (key === "requests_per_second" ? `${name}, last ${numbers.rates_over === 60 ? "minute" : span(numbers.rates_over)}` : name);
  const body = ROWS.map(([name, key, of]) =>
    h("tr", {}, h("th", { scope: "row" }, told(name, key)),
      missing[key] ? h("td", { colspan: 2, class: "lacks" }, sentence(missing[key])) : numbers.models.map((one) => h("td", {}, of(one)))));
  if (shadow) body.push(
    h("tr", {}, h("th", { scope: "row" }, "Agreement, last 5 min"),
      h("td", { colspan: 2 }, numbers.agreement === null ? h("span", { class: "small" }, "no copied requests now") : share(numbers.agreement))));
  return [h("table", { class: "models" },
    h("thead", {}, h("tr", {}, h("td", {}), numbers.models.map((one) => h("th", { scope: "col" }, swatch(one.model))))),
    h("tbody", {}, body)),
    own_service ? h("p", { class: "small" }, "Latency is of the model's own calls: when the challenger is late, its user gets the champion's answer.") : null];
}

function outcomes(numbers, { missing, own_service }) {
  if (missing.outcomes) return h("p", { class: "note" }, withTimes(`What users did is ${missing.outcomes}.`));
  if (!numbers.outcomes.length) {
    return h("p", { class: "note" }, own_service ? "No feedback in this stage: POST /feedback tells what came of a prediction." : "No outcomes were counted in this stage.");
  }
  const most = Math.max(...numbers.outcomes.map((one) => one.high), 1e-9);
  return h("table", { class: "outcomes" },
    h("caption", {}, "What users did, since ", timeOf(numbers.since), ", with 95% intervals"),
    h("thead", {}, h("tr", {}, ["Outcome", "Model", "Share", "Interval"].map((name) => h("th", { scope: "col" }, name)), h("td", {}))),
    h("tbody", {}, numbers.outcomes.map((one, place) =>
      h("tr", {},
        h("th", { scope: "row" }, place && numbers.outcomes[place - 1].outcome === one.outcome ? h("span", { class: "unseen" }, one.outcome) : one.outcome),
        h("td", { class: "left" }, swatch(one.model)),
        h("td", {}, share(one.share), h("span", { class: "small" }, ` ${count(one.count)} of ${count(one.requests)}`),
          h("span", { class: "small narrow" }, `${share(one.low)} – ${share(one.high)}`)),
        h("td", { class: "roomy" }, `${share(one.low)} – ${share(one.high)}`),
        h("td", { class: "plot" }, interval(one, most))))));
}

function interval(one, most) {
  const x = (value) => (4 + (192 * value) / most).toFixed(1);
  return svg("svg", { viewBox: "0 0 200 20", class: `interval ${one.model}`, "aria-hidden": "true", preserveAspectRatio: "none" },
    svg("line", { x1: 4, x2: 196, y1: 10, y2: 10, class: "base" }),
    svg("line", { x1: x(one.low), x2: x(one.high), y1: 10, y2: 10, class: "reach" }),
    svg("line", { x1: x(one.share), x2: x(one.share), y1: 3, y2: 17, class: "here" }));
}

export { swatch, percent };
