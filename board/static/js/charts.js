// The charts: uPlot on a canvas, and behind each a sentence and a table for those who do not see it.
import uPlot from "../vendor/uplot-1.6.32/uPlot.esm.js";
import { $, h, show } from "./dom.js";
import { capital, duration, hour, percent, share, timeOf, when, withTimes } from "./words.js";

const SPANS = { "15m": "15 min", "1h": "1 hour", "6h": "6 hours", "1d": "1 day", "7d": "7 days" };
const LASTS = { ...SPANS, "1h": "hour", "1d": "day" };
const ROWS = 12; // of a chart's table
const BIG = {
  traffic: { title: "Users with the challenger", format: percent, least: 5, most: 100 },
  p99: { title: "p99 latency of each model's own calls", format: duration, least: 0.001 },
  errors: { title: "Error rate", format: share, least: 0.01, most: 1 },
  agreement: { title: "Agreement", format: share, from: 0.8, least: 1, most: 1 },
};
const OUTCOME = "outcome/"; // each has a chart of its own, by its name

const dark = matchMedia("(prefers-color-scheme: dark)");
const plots = new Map();
let latest = null;
const colours = () => {
  const style = getComputedStyle(document.documentElement);
  return (name) => style.getPropertyValue(`--${name}`).trim();
};

export function spanPicker(fieldset, picked, pick) {
  for (const [value, words] of Object.entries(SPANS)) {
    const input = h("input", { type: "radio", name: "span", value, id: `span-${value}`, checked: value === picked });
    input.addEventListener("change", () => pick(value));
    fieldset.append(input, h("label", { for: `span-${value}` }, words));
  }
}

const big = (key) => (key.startsWith(OUTCOME) ? { title: `Outcome: ${key.slice(OUTCOME.length)}`, counted: true, format: share, least: 0.001, close: true } : BIG[key]);

export function showCharts(board) {
  latest = board;
  const charts = (board.charts?.all ?? []).filter((one) => big(one.key));
  show("charts", charts.map((one) => [one.key, one.missing]), () => charts.map((one) => (one.missing ? none(big(one.key), one.missing) : figure(one.key, big(one.key)))));
  for (const chart of charts.filter((one) => !one.missing)) draw(board, chart, big(chart.key));
}

/** In place of a chart of what the service does not tell. */
const none = ({ title }, why) =>
  h("div", { class: "card chart" }, h("p", { class: "chart-title" }, title), h("p", { class: "note" }, withTimes(`${capital(why)}.`)));

export function figure(key, { title, counted, small }) {
  const id = idOf(key);
  const table = h("details", { class: "numbers", id: `${id}-table` }, h("summary", {}, "As a table"), h("div", { class: "rows" }));
  table.addEventListener("toggle", () => latest && rows(key));
  return h("figure", { class: small ? "chart small-chart" : "card chart", id: `${id}-figure` },
    h("figcaption", {}, title ? h("span", { class: "chart-title" }, title) : null, h("span", { id: `${id}-legend`, class: "legend" })),
    h("div", { class: "plot", id: `${id}-plot`, role: "img" }),
    counted ? h("p", { class: "small", id: `${id}-note` }) : null,
    table);
}

const idOf = (key) => `chart-${key.replace("/", "-").replace(/[^a-z0-9-]/g, (sign) => `_${sign.codePointAt(0)}`)}`;

function look(key, line, colour) {
  if (key === "traffic") {
    return line === "wanted"
      ? { stroke: colour("soft"), width: 2, dash: [5, 4], paths: uPlot.paths.stepped({ align: 1 }) }
      : { stroke: colour("challenger"), width: 2, fill: colour("challenger-fill") };
  }
  if (line === "champion") return { stroke: colour("champion"), width: 2, dash: [7, 3] };
  if (line === "challenger") return { stroke: colour("challenger"), width: 2 };
  return { stroke: colour("ink"), width: 1.75 };
}

export function draw(board, chart, how) {
  const id = idOf(chart.key);
  const holder = $(`${id}-plot`);
  if (!holder) return;
  const { times } = board.charts;
  // Evidence that all is well grows without end: its line runs along the bottom instead of out of sight.
  const floor = how.small ? range({ chart, how }).min * 0.9 : -Infinity;
  const above = (value) => (value === null ? null : Math.max(value, floor));
  const sides = chart.lines.filter((line) => line.high.length).flatMap((line) => [line.high, line.low]);
  const data = [times, ...chart.lines.map((line) => line.values.map(above)), ...sides];
  const some = chart.lines.some((line) => line.values.some((value) => value !== null));
  const legend = chart.lines.map((line) => [line.name, said(line, latestOf(line), how)]);
  show(`${id}-legend`, [legend, how.small], () =>
    how.small ? [] : legend.map(([name, value]) => h("span", {}, h("span", { class: `swatch ${name}`, "aria-hidden": "true" }), `${name} ${value}`)));
  if (how.counted) {
    show(`${id}-note`, chart.since, () => ["Counted from the beginning of each stage and version, with 95% intervals; now since ", timeOf(chart.since, when(chart.since)), "."]);
  }
  const told = legend.map(([name, value]) => `${name} ${value}`).join(", ");
  const limit = how.limit ? `; the limit is ${how.format(how.limit)}` : "";
  holder.setAttribute("aria-label", some ? `In the last ${LASTS[board.charts.span]}; now ${told}${limit}` : "No numbers in this time");
  holder.dataset.empty = some ? "" : how.small ? "never judged in this time" : "no numbers in this time";
  const state = plots.get(id) ?? {};
  Object.assign(state, { board, chart, how, data });
  plots.set(id, state);
  if (!state.plot || state.holder !== holder || state.lines !== chart.lines.length) make(id, holder);
  else {
    state.plot.setData(data, false);
    state.plot.setScale("x", { min: times[0], max: times.at(-1) });
    state.plot.setScale("y", range(state));
  }
  if ($(`${id}-table`)?.open) rows(chart.key);
}

const latestOf = (line) => line.values.findLastIndex((value) => value !== null);

/** A value in words, with its interval where it has one. */
function said(line, place, how) {
  const value = how.format(line.values[place] ?? null);
  return line.high[place] == null ? value : `${value} (${how.format(line.low[place])} to ${how.format(line.high[place])})`;
}

function range({ chart, how }) {
  const values = chart.lines.flatMap((line) => line.values).filter((value) => value !== null);
  if (how.close) return closeTo(values, chart.lines);
  if (how.limit) values.push(how.limit);
  const top = Math.max(how.least, ...values) || 1;
  if (how.from !== undefined) return { min: Math.max(0, Math.min(how.from, ...values) - 0.02), max: 1.005 };
  const floor = how.small ? Math.max(Math.min(0, ...values), -0.3 * top) : 0;
  return { min: floor, max: Math.min(top * 1.15, (how.most ?? Infinity) * 1.02) };
}

/** Both models and their intervals, from near the lowest on; the widest intervals, of few requests, may leave it. */
function closeTo(values, lines) {
  const top = Math.max(0.001, ...values);
  const bottom = Math.min(top, ...values);
  const least = Math.min(bottom, ...lines.flatMap((line) => line.low).filter((value) => value !== null && value > bottom / 2));
  const most = Math.max(top, ...lines.flatMap((line) => line.high).filter((value) => value !== null && value < 1.5 * top));
  const room = Math.max(0.15 * (most - least), 0.02 * most);
  return { min: least > 0.3 * most ? least - room : 0, max: Math.min(most + room, 1.02) };
}

function make(id, holder) {
  const state = plots.get(id);
  state.plot?.destroy();
  state.watcher?.disconnect();
  const colour = colours();
  const { chart, how } = state;
  const axis = { stroke: colour("soft"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line"), size: 4 }, font: "11px system-ui, sans-serif" };
  const height = how.small ? 92 : 170;
  state.holder = holder;
  state.lines = chart.lines.length;
  state.plot = new uPlot(
    {
      width: Math.max(holder.clientWidth, 120),
      height,
      legend: { show: false },
      cursor: { sync: { key: "board" }, points: { size: 6 }, drag: { x: false, y: false } },
      scales: { x: { time: true, auto: false }, y: { auto: false } },
      axes: [
        { ...axis, space: 60, size: 26, values: (_plot, ticks) => ticks.map((tick) => label(tick, state)) },
        { ...axis, size: 52, space: 30, values: (_plot, ticks) => ticks.map((tick) => state.how.format(tick)) },
      ],
      series: [{}, ...chart.lines.map((line) => ({ ...look(chart.key, line.name, colour), points: { show: false }, spanGaps: false })), ...chart.lines.flatMap(sidesOf)],
      bands: bandsOf(chart.lines, colour),
      hooks: { draw: [(plot) => marks(plot, state, colour)], setCursor: [(plot) => readout(plot, state, id)] },
    },
    state.data,
    holder,
  );
  state.plot.batch(() => {
    state.plot.setScale("x", { min: state.data[0][0], max: state.data[0].at(-1) });
    state.plot.setScale("y", range(state));
  });
  state.watcher = new ResizeObserver(() => {
    const width = Math.floor(holder.clientWidth);
    if (width > 0 && width !== state.plot.width) state.plot.setSize({ width, height });
  });
  state.watcher.observe(holder);
}

/** The two sides of a line's interval are lines that nobody sees, with a band between them. */
const sidesOf = (line) => (line.high.length ? [0, 1].map(() => ({ stroke: "transparent", width: 0, points: { show: false }, spanGaps: false })) : []);

function bandsOf(lines, colour) {
  let side = lines.length + 1; // uPlot counts the times as the first
  return lines.filter((line) => line.high.length).map((line) => ({ series: [side++, side++], fill: colour(`${line.name}-fill`) }));
}

function label(seconds, state) {
  if (state.board.charts.span !== "7d") return hour(seconds);
  const date = new Date(seconds * 1000);
  return date.getHours() ? hour(seconds) : date.toLocaleDateString("en", { weekday: "short", day: "numeric" });
}

/** The limit, where it was first crossed, and the moments at which the share was moved. */
function marks(plot, { board, chart, how }, colour) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  const ratio = devicePixelRatio || 1;
  for (const change of board.changes) {
    if (change.flag !== board.flag || change.users_before === change.users_after) continue;
    const x = plot.valToPos(new Date(change.at) / 1000, "x", true);
    if (!(x >= bbox.left && x <= bbox.left + bbox.width)) continue;
    const bad = change.kind === "rollback";
    line(ctx, x, bbox.top, x, bbox.top + bbox.height, bad ? colour("bad") : colour("soft"), bad ? 2 * ratio : ratio, bad ? [] : [2 * ratio, 3 * ratio]);
  }
  if (how.limit) {
    const y = plot.valToPos(how.limit, "y", true);
    line(ctx, bbox.left, y, bbox.left + bbox.width, y, colour("bad"), 1.5 * ratio, [6 * ratio, 4 * ratio]);
    ctx.fillStyle = colour("bad");
    ctx.font = `${11 * ratio}px system-ui, sans-serif`;
    if (!how.small || !breach(plot, chart, how, y, colour, ratio)) { // which names the line too
      ctx.textAlign = "left";
      ctx.textBaseline = y - bbox.top > 16 * ratio ? "bottom" : "top";
      ctx.fillText("limit", bbox.left + 4 * ratio, y - (ctx.textBaseline === "bottom" ? 2 : -2) * ratio);
    }
  }
  ctx.restore();
}

/** What lies beyond the limit is shaded, and the first moment of it named; false where nothing does. */
function breach(plot, chart, { limit, fewer }, y, colour, ratio) {
  const { ctx, bbox } = plot;
  const [times, values] = plot.data;
  const beyond = (value) => value !== null && (fewer ? value < limit : value > limit);
  const first = chart.lines[0].values.findIndex(beyond);
  if (first < 0) return false;
  const [top, bottom] = fewer ? [y, bbox.top + bbox.height] : [bbox.top, y];
  ctx.fillStyle = colour("bad-soft");
  ctx.globalCompositeOperation = "destination-over"; // under the line
  ctx.fillRect(bbox.left, top, bbox.width, bottom - top);
  ctx.globalCompositeOperation = "source-over";
  const x = plot.valToPos(times[first], "x", true);
  const at = plot.valToPos(values[first], "y", true);
  ctx.fillStyle = colour("bad");
  ctx.beginPath();
  ctx.arc(x, at, 4 * ratio, 0, 2 * Math.PI);
  ctx.fill();
  const right = x < bbox.left + bbox.width / 2;
  ctx.textAlign = right ? "left" : "right";
  ctx.textBaseline = fewer ? "top" : "bottom";
  const aside = Math.min(Math.max(at + (fewer ? 6 : -6) * ratio, bbox.top + 14 * ratio), bbox.top + bbox.height - 14 * ratio);
  ctx.fillText(`breach ${hour(times[first])}`, x + (right ? 6 : -6) * ratio, aside);
  return true;
}

function line(ctx, x1, y1, x2, y2, colour, width, dash) {
  ctx.beginPath();
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.setLineDash(dash);
  ctx.moveTo(x1, y1);
  ctx.lineTo(x2, y2);
  ctx.stroke();
}

/** Under the pointer: the values of that moment in place of those of now. */
function readout(plot, { chart, how }, id) {
  const legend = $(`${id}-legend`);
  const place = plot.cursor.idx;
  if (!legend || how.small) return;
  const away = place === null || place === undefined || plot.cursor.left < 0;
  [...legend.children].forEach((element, number) => {
    const line = chart.lines[number];
    element.lastChild.textContent = `${line.name} ${said(line, away ? latestOf(line) : place, how)}${away ? "" : ` at ${hour(plot.data[0][place])}`}`;
  });
}

/** Some of the numbers, the latest first. */
function rows(key) {
  const id = idOf(key);
  const { board, chart, how } = plots.get(id);
  const { times } = board.charts;
  const step = Math.max(1, Math.floor(times.length / ROWS));
  const places = [];
  for (let place = times.length - 1; place >= 0 && places.length < ROWS; place -= step) places.push(place);
  const table = h("table", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Time"), chart.lines.map((line) => h("th", { scope: "col" }, capital(line.name))))),
    h("tbody", {}, places.map((place) =>
      h("tr", {}, h("th", { scope: "row" }, hour(times[place])), chart.lines.map((line) => h("td", {}, said(line, place, how)))))));
  $(`${id}-table`).querySelector(".rows").replaceChildren(table);
}

dark.addEventListener("change", () => {
  for (const [id, state] of plots) if (state.holder?.isConnected) make(id, state.holder);
});
