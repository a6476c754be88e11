import { showAnswer, showFacts, showFaults, showSources, showStages, tick } from "./answer.js";
import { showCharts, showGuardrails, spanPicker } from "./charts.js";
import { $, h } from "./dom.js";
import { showModels } from "./models.js";
import { Poll } from "./poll.js";
import { showChanges, showDecision, showGates } from "./side.js";
import { capital, span, when, zone } from "./words.js";

const VERSION = 1; // of the shape that this page knows: board/document.py
const PARTS = [showFaults, showStages, showFacts, showModels, showCharts, showGuardrails, showGates, showDecision, showChanges, showSources, showAnswer];

let silent = []; // sources that do not answer
let picked = new URLSearchParams(location.search).get("span") ?? "1h";

const poll = new Poll({
  address: () => `/api/board?span=${encodeURIComponent(picked)}`,
  told(board, loggedIn) {
    $("logout").hidden = !loggedIn;
    if (board.version !== VERSION) {
      $("away").hidden = false;
      $("away").textContent = "This page is older than its board: reload it.";
      return;
    }
    $("first").hidden = $("login").hidden = $("away").hidden = true;
    $("board").hidden = $("fresh").hidden = false;
    $("flag").replaceChildren(h("a", { href: board.flag_page, target: "_blank", rel: "noreferrer" }, `${board.flag} in ${board.environment}`));
    for (const part of PARTS) part(board);
    silent = board.sources.filter((one) => !one.ok).map((one) => one.name);
    pass();
  },
  refused(status) {
    $("first").hidden = $("board").hidden = $("fresh").hidden = true;
    if (status === 403) {
      $("away").hidden = false;
      $("away").textContent = "This board has no token, so it answers only under the names 127.0.0.1 and localhost.";
      return;
    }
    $("logout").hidden = true;
    $("login").hidden = false;
    $("token").focus();
  },
  away(last) {
    const words = last
      ? `The board itself does not answer. Last seen ${when(last, { seconds: true })}; trying again.`
      : "The board does not answer; trying again.";
    $("away").hidden = false;
    if ($("away").textContent !== words) $("away").textContent = words; // it is read out once
  },
});

$("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = $("token");
  try {
    const answer = await fetch("/login", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token: field.value }),
    });
    $("login-fault").textContent = answer.ok ? "" : "That is not the token.";
    if (answer.ok) {
      field.value = "";
      $("first").hidden = false;
      $("login").hidden = true;
      $("main").focus();
      poll.now();
    }
  } catch {
    $("login-fault").textContent = "The board does not answer. Try again.";
  }
});

$("logout").addEventListener("click", async () => {
  await fetch("/logout", { method: "POST" });
  location.reload();
});

function pass() {
  tick();
  if (poll.last === null) return;
  const age = (Date.now() - poll.last) / 1000;
  $("fresh").dataset.old = age > 10 || silent.length > 0;
  $("fresh-words").textContent = age >= 5 ? `${span(age)} old` : silent.length ? `without ${silent.join(" and ")}` : "live";
}

spanPicker($("spans"), picked, (span) => {
  picked = span;
  history.replaceState(null, "", span === "1h" ? location.pathname : `?span=${span}`);
  poll.now();
});
$("zone").textContent = `Times are those of ${capital(zone)}. This board only shows; shares are moved in Unleash.`;
setInterval(pass, 1000);
poll.now();
