// Numbers and times for people, in the language of times that the browser has.
import { h } from "./dom.js";

const language = navigator.language || "en";
const clock = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const clockSeconds = new Intl.DateTimeFormat(language, {
  hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});
const dayNames = new Intl.DateTimeFormat("en", { weekday: "long", day: "numeric", month: "long" });
const MARK = /\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC/g;

export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

function midnight(date) {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
}

/** "today at 14:10", "tomorrow at 14:10", "on Wednesday, November 25 at 14:10". */
export function when(iso, { seconds = false } = {}) {
  const date = new Date(iso);
  const days = Math.round((midnight(date) - midnight(new Date())) / 86400000);
  const day = { "-1": "yesterday", 0: "today", 1: "tomorrow" }[days] ?? `on ${dayNames.format(date)}`;
  return `${day} at ${(seconds ? clockSeconds : clock).format(date)}`;
}

export const hour = (seconds) => clock.format(new Date(seconds * 1000));
export const hourSeconds = (iso) => clockSeconds.format(new Date(iso));

/** An element with a time, which says the same in UTC when asked. */
export function timeOf(iso, text) {
  const date = new Date(iso);
  const utc = `${date.toISOString().slice(0, 19).replace("T", " ")} UTC`;
  return h("time", { datetime: date.toISOString(), title: utc }, text ?? when(iso, { seconds: true }));
}

/** Sentences name times in UTC; here they stand in the reader's zone. */
export function withTimes(text) {
  const parts = [];
  let end = 0;
  for (const found of text.matchAll(MARK)) {
    let before = text.slice(end, found.index);
    if (before.endsWith("at ")) before = before.slice(0, -3);
    if (before.endsWith("At ")) before = before.slice(0, -3);
    const iso = `${found[0].slice(0, 10)}T${found[0].slice(11, 19)}Z`;
    const told = when(iso, { seconds: true });
    parts.push(withCode(before), timeOf(iso, /(^|[.!?]\s*)$/.test(before.trim()) ? capital(told) : told));
    end = found.index + found[0].length;
  }
  return [...parts, withCode(text.slice(end))];
}

/** What stands between backticks is to be typed: no word of it is cut in two. */
const withCode = (text) => text.split("`").map((part, place) => (place % 2 ? h("code", {}, typed(part)) : part));
const typed = (text) => text.split(/( )/).map((word) => (word === " " ? word : h("span", { class: "word" }, word)));

export const capital = (text) => text.slice(0, 1).toUpperCase() + text.slice(1);

/** "3 min", "2 h 5 min", "7 days". */
export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return whole < 600 && whole % 60 ? `${minutes} min ${whole % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  const days = Math.floor(hours / 24);
  return hours % 24 ? `${days} days ${hours % 24} h` : `${days} days`;
}

export const DASH = "–";
const known = (format) => (value) => (value === null || value === undefined ? DASH : format(value));
const digits = (value, most = 3) =>
  new Intl.NumberFormat("en", { maximumSignificantDigits: most, useGrouping: true }).format(value);

export const count = known((value) => new Intl.NumberFormat("en").format(Math.round(value)));
export const rate = known((value) => `${digits(value)}/s`);
export const share = known((value) => `${digits(100 * value)}%`);
export const percent = known((value) => `${digits(value)}%`);
export const plain = known((value) => digits(value));
export const duration = known((value) =>
  value >= 1 ? `${digits(value)} s` : value >= 0.001 || value === 0 ? `${digits(1000 * value)} ms` : `${digits(1e6 * value, 2)} µs`,
);
