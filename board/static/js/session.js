// What the list and the page of a rollout share: who may read, the polling, and how fresh it all is.
import { $ } from "./dom.js";
import { Poll } from "./poll.js";
import { capital, span, when, zone } from "./words.js";

/**
 * Begin to ask `address()`, and call `told(document)` with each answer.
 * `version`: of the shape that the page knows. `failed(status, document)`: it answers, and cannot tell.
 * `silent()`: names of sources that do not answer. `tick()`: once a second.
 */
export function begin({ address, every, version, told, failed, silent, tick }) {
  const poll = new Poll({
    address,
    every,
    told(found, loggedIn) {
      $("logout").hidden = !loggedIn;
      if (found.version !== version) return away("This page is older than its board: reload it.");
      $("first").hidden = $("login").hidden = $("away").hidden = true;
      $("board").hidden = $("fresh").hidden = false;
      told(found);
      pass();
    },
    failed(status, found) {
      $("board").hidden = $("fresh").hidden = $("login").hidden = $("away").hidden = true;
      $("first").hidden = false;
      failed(status, found);
    },
    refused(status) {
      $("first").hidden = $("board").hidden = $("fresh").hidden = true;
      if (status === 403) return away("This board has no token, so it answers only under the names 127.0.0.1 and localhost.");
      $("logout").hidden = true;
      $("login").hidden = false;
      $("token").focus();
    },
    away: (last) => away(last
      ? `The board itself does not answer. Last seen ${when(last, { seconds: true })}; trying again.`
      : "The board does not answer; trying again."),
  });

  function pass() {
    tick();
    if (poll.last === null) return;
    const age = (Date.now() - poll.last) / 1000;
    const without = silent();
    $("fresh").dataset.old = age > 10 || without.length > 0;
    $("fresh-words").textContent = age >= 5 + poll.every / 1000 - 3 ? `${span(age)} old` : without.length ? `without ${without.join(" and ")}` : "live";
  }

  form(poll);
  $("zone").textContent = `Times are those of ${capital(zone)}. This board only shows; shares are moved in Unleash.`;
  setInterval(pass, 1000);
  poll.now();
  return poll;
}

function away(words) {
  $("away").hidden = false;
  if ($("away").textContent !== words) $("away").textContent = words; // it is read out once
}

function form(poll) {
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
}
