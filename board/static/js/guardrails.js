// A tile for each guardrail: the difference first, with its interval and its limit, then how it came so far.
import { draw, figure } from "./charts.js";
import { $, h, show, svg } from "./dom.js";
import { capital, plain, timeOf, withTimes } from "./words.js";

const ACTIONS = {
  rollback: " Beyond its limit the challenger is rolled back.",
  pause: " Beyond its limit the share stays as it is.",
  warn: " It only warns.",
};
const TERMS = {
  Difference: "Challenger less champion. Points are percentage points: from 1% to 2.5% are +1.5 points.",
  Interval: "Where the true difference lies with 95% certainty. “At every look”: for all looks of the stage together, so that checking often does no harm. “At this moment”: for one look.",
  Limit: "What is just allowed. It follows the champion where the champion is the measure.",
  "Test score": "The evidence against the challenger since the stage began. At its threshold the guardrail is breached.",
  Sample: "How many calls of the challenger the value rests on, and of what time.",
};
const STATUS = {
  "safe to ship": "all of the interval is within the limit",
  "within its limit": "the value is within the limit; it has no interval, or one that reaches beyond",
  "keep watching": "nothing is breached, and more calls are needed to call it safe",
  breached: "the limit is crossed",
  "rolled back": "the limit was crossed, and the challenger was rolled back for it",
};
const TONES = { "safe to ship": "good", "within its limit": "good", "keep watching": "plain" };
const WIDE = 240; // of the scale, in units of its picture
const EDGE = 8;

export function showGuardrails(board) {
  const names = board.guardrails.map((one) => one.name);
  const charts = Object.fromEntries((board.charts?.all ?? []).map((one) => [one.key, one]));
  show("guardrails", names, () => names.map((name) => h("article", { class: "card guardrail", id: `guardrail-${name}`, "aria-labelledby": `h-${name}` })));
  show("glossary", "", glossary);
  for (const one of board.guardrails) {
    const id = `guardrail-${one.name}`;
    const key = `guardrail/${one.name}`;
    $(id).dataset.tone = one.tone;
    show(id, [one.name, one.description, one.action, one.measures, key in charts], () => [
      h("header", {}, h("h3", { id: `h-${one.name}` }, one.name), h("span", { id: `${id}-pill` })),
      h("p", { id: `${id}-words`, class: "words" }),
      h("div", { id: `${id}-scale` }),
      h("div", { id: `${id}-figures` }),
      h("div", { id: `${id}-meter`, class: "meter", "aria-hidden": "true" }),
      key in charts ? figure(key, { small: true, title: capital(charts[key].lines[0].name) }) : null,
      h("p", { class: "small" }, one.measures ? `Measures ${one.measures}. ` : "", `${one.description}${ACTIONS[one.action] ?? ""}`),
    ]);
    show(`${id}-pill`, [one.status, one.tone], () => h("span", { class: `pill ${one.tone === "bad" || one.tone === "wait" ? one.tone : TONES[one.status] ?? one.tone}`, title: STATUS[one.status] ?? null }, one.status));
    show(`${id}-words`, one.words, () => withTimes(one.words));
    show(`${id}-scale`, one.scale, () => (one.scale ? scale(one) : []));
    show(`${id}-figures`, [one.figures, one.then?.at], () => figures(one));
    $(`${id}-meter`).hidden = one.reached === null;
    show(`${id}-meter`, [one.reached, one.tone], () => meter(one));
    if (charts[key]) draw(board, charts[key], { format: plain, least: 0, small: true, limit: charts[key].limit, fewer: one.below });
  }
}

function figures({ figures: told, then }) {
  return [
    then ? h("p", { class: "small" }, "As judged ", timeOf(then.at)) : null,
    told.length ? h("dl", { class: "then" }, told.map((one) => h("div", {}, h("dt", {}, TERMS[one.name] ? h("abbr", { title: TERMS[one.name] }, one.name) : one.name), h("dd", {}, one.value)))) : null,
  ];
}

/** The difference with its interval between the champion, who is at 0, and the limit; beyond it is shaded. */
function scale({ scale: { difference, low, high, limit, fewer }, figures: told }) {
  const marks = [0, difference, low ?? difference, high ?? difference, limit ?? 0];
  const [least, most] = [Math.min(...marks), Math.max(...marks)];
  const room = 0.12 * (most - least) || 1;
  const x = (value) => (EDGE + ((WIDE - 2 * EDGE) * (value - least + room)) / (most - least + 2 * room)).toFixed(1);
  const upright = (value, name) => svg("line", { x1: x(value), x2: x(value), y1: 4, y2: 30, class: name });
  const beyond = limit === null ? [] : [svg("rect", { x: fewer ? 0 : x(limit), y: 4, width: fewer ? x(limit) : WIDE - x(limit), height: 26, class: "beyond" })];
  const value = Object.fromEntries(told.map((one) => [one.name, one.value]));
  const near = limit !== null && Math.abs(x(limit) - x(0)) < 64;
  const word = (at, text, name) => svg("text", { x: Math.min(Math.max(x(at), 3 * text.length), WIDE - 3 * text.length), y: 42, class: name }, text);
  return svg("svg", { viewBox: `0 0 ${WIDE} 46`, class: "scale", role: "img", "aria-label": `Difference ${value.Difference}${value.Interval ? `, ${value.Interval}` : ""}${value.Limit ? `; limit ${value.Limit}` : ""}` },
    ...beyond,
    upright(0, "zero"),
    ...(limit === null ? [] : [upright(limit, "limit")]),
    ...(low === null ? [] : [svg("line", { x1: x(low), x2: x(high), y1: 17, y2: 17, class: "reach" })]),
    svg("circle", { cx: x(difference), cy: 17, r: 5, class: "here" }),
    ...(near ? [word(limit, Math.abs(limit) < 1e-12 ? "champion = limit" : "champion, limit", "zero")] : [word(0, "champion", "zero"), ...(limit === null ? [] : [word(limit, "limit", "limit")])]));
}

function meter(one) {
  const bar = h("span", { class: "reached" });
  bar.style.inlineSize = `${Math.min(100, Math.max(0, 80 * (one.reached ?? 0)))}%`;
  return [bar, h("span", { class: "limit" })];
}

const glossary = () => [
  h("summary", {}, "What the words on these tiles mean"),
  h("dl", {}, Object.entries({ ...STATUS, ...TERMS }).map(([name, text]) => h("div", {}, h("dt", {}, capital(name)), h("dd", {}, capital(text.endsWith(".") ? text : `${text}.`))))),
];
