// The buttons, where the board allows any: roll back now, pause, resume, approve.
import { $, h, show } from "./dom.js";

const ASKED = {
  "roll back": ["Roll back now", "Every user gets the champion, and the plan is paused."],
  pause: ["Pause", "The share stays as it is until somebody resumes. The rollback job goes on guarding."],
  resume: ["Resume", "The plan goes on after a pause, or after a share that a person lowered."],
  approve: ["Approve", "What the plan waits for may start, when its other conditions are met."],
};
let allowed = { on: false, needs_token: false };
let token = ""; // kept as long as this page is open
let wanted = null;
let poll = null;

/** Ask once whether there are buttons. `again` asks the board anew after an order. */
export async function beginActions(again) {
  poll = again;
  try {
    allowed = await (await fetch("/api/actions")).json();
  } catch {
    return; // the page says that the board is away
  }
  $("order").addEventListener("submit", send);
  $("order-cancel").addEventListener("click", () => $("order-dialog").close());
}

/** Those that make sense now. */
export function showActions(board) {
  const rollout = board.rollout;
  const open = (name) => rollout?.gates.some((one) => one.name === name && !one.holds);
  const names = !allowed.on || !rollout ? [] : [
    rollout.enabled && rollout.share !== 0 ? "roll back" : null,
    rollout.paused.length ? null : "pause",
    rollout.paused.length || rollout.hold ? "resume" : null,
    rollout.step !== "refuse" && (open("begin") || open("approval")) ? "approve" : null,
  ].filter(Boolean);
  $("actions").hidden = !names.length;
  show("actions", [names, board.name], () => names.map((name) => {
    const button = h("button", { type: "button", class: name === "roll back" ? "danger" : "second" }, ASKED[name][0]);
    button.addEventListener("click", () => ask(name, board.name));
    return button;
  }));
}

function ask(name, rollout) {
  wanted = { action: name, rollout };
  $("order-title").textContent = `${ASKED[name][0]}?`;
  $("order-why").textContent = ASKED[name][1];
  $("order-fault").textContent = "";
  $("order-secret").hidden = !allowed.needs_token || token !== "";
  $("order-token").required = !$("order-secret").hidden;
  $("order-dialog").showModal();
}

async function send(event) {
  event.preventDefault();
  const given = $("order-secret").hidden ? token : $("order-token").value.trim();
  try {
    const answer = await fetch("/api/actions", {
      method: "POST",
      headers: { "Content-Type": "application/json", "Canario-Act": encodeURIComponent(given) || "yes" },
      body: JSON.stringify(wanted),
    });
    const found = await answer.json();
    if (!answer.ok) {
      token = answer.status === 403 ? "" : given;
      $("order-secret").hidden = !allowed.needs_token || token !== "";
      $("order-fault").textContent = found.error;
      return;
    }
    token = given;
    $("order-token").value = "";
    $("order-dialog").close();
    $("live").textContent = $("done").textContent = found.done;
    poll();
  } catch {
    $("order-fault").textContent = "The board does not answer. Try again, or use ./canario off.";
  }
}
