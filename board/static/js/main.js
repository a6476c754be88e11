// The page of one rollout.
import { beginActions, showActions } from "./actions.js";
import { showAnswer, showFacts, showFaults, showSources, showStages, tick } from "./answer.js";
import { showCharts, spanPicker } from "./charts.js";
import { $, h, show } from "./dom.js";
import { showGuardrails } from "./guardrails.js";
import { showModels } from "./models.js";
import { begin } from "./session.js";
import { showChanges, showDecision, showGates } from "./side.js";

const VERSION = 1; // of the shape that this page knows: board/document.py
const PARTS = [showFaults, showStages, showFacts, showModels, showCharts, showGuardrails, showGates, showDecision, showChanges, showSources, showActions, showAnswer];
const NAME = location.pathname.startsWith("/rollouts/") ? decodeURIComponent(location.pathname.slice("/rollouts/".length)) : null; // else the only one

let silent = []; // sources that do not answer
let picked = new URLSearchParams(location.search).get("span") ?? "1h";

const poll = begin({
  version: VERSION,
  every: 3000,
  address: () => `/api/board?span=${encodeURIComponent(picked)}${NAME === null ? "" : `&rollout=${encodeURIComponent(NAME)}`}`,
  told(board) {
    $("all").hidden = $("about").hidden = board.rollouts < 2;
    $("name").textContent = board.rollouts < 2 ? "" : board.name;
    $("about").textContent = board.description;
    $("flag").replaceChildren(h("a", { href: board.flag_page, target: "_blank", rel: "noreferrer" }, `${board.flag} in ${board.environment}`));
    for (const part of PARTS) part(board);
    silent = board.sources.filter((one) => !one.ok).map((one) => one.name);
  },
  failed(status, found) {
    if (status === 400 && NAME === null && found.rollouts) return location.reload(); // there are several now: the list
    $("all").hidden = !(found.rollouts?.length > 1);
    const others = status === 404 ? found.rollouts ?? [] : [];
    const [title, why] = others.length ? [`There is no rollout ${NAME}`] : status === 409 ? ["The file of this rollout does not fit", found.error] : [found.error];
    show("first", [title, why, others], () => [
      h("h1", {}, title),
      why ? why.split("\n").map((line) => h("p", {}, line)) : null,
      others.length ? h("ul", {}, others.map((name) => h("li", {}, h("a", { href: `/rollouts/${encodeURIComponent(name)}` }, name)))) : null]);
    document.title = `⚠ ${title}`;
  },
  silent: () => silent,
  tick,
});

spanPicker($("spans"), picked, (span) => {
  picked = span;
  history.replaceState(null, "", span === "1h" ? location.pathname : `?span=${span}`);
  poll.now();
});

beginActions(() => poll.now()).then(() => poll.now());
