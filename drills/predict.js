// Load on /predict, in two ways: `RATE` requests a second whatever the answers do (open loop), or `USERS` users who
// ask again as soon as they are answered (closed loop, for the ceiling). The answer says which model the flag wanted,
// and so which users are outside the canary.
import http from "k6/http";
import { Counter, Trend } from "k6/metrics";

const outside = new Trend("outside", true);
const inside = new Trend("inside", true);
const failed = new Counter("failed");
const fellBack = new Counter("fell_back");
const body = JSON.parse(open(__ENV.BODY));

const open_loop = {
  executor: "constant-arrival-rate",
  rate: Number(__ENV.RATE || 0),
  timeUnit: "1s",
  duration: __ENV.DURATION,
  preAllocatedVUs: 100,
  maxVUs: 400,
};
const closed_loop = { executor: "constant-vus", vus: Number(__ENV.USERS || 0), duration: __ENV.DURATION };

export const options = {
  scenarios: { load: __ENV.RATE ? open_loop : closed_loop },
  summaryTrendStats: ["count", "med", "p(99)", "max"],
};

export default function () {
  body.user_id = `drill-${Math.floor(Math.random() * 10000)}`;
  const answer = http.post(__ENV.URL, JSON.stringify(body), {
    headers: { "Content-Type": "application/json" },
    timeout: "10s",
  });
  if (answer.status !== 200) {
    failed.add(1);
    return;
  }
  const said = answer.json();
  (said.assigned === "champion" ? outside : inside).add(answer.timings.duration);
  if (said.reason.startsWith("fallback")) fellBack.add(1);
}

export function handleSummary(data) {
  return { stdout: JSON.stringify(data.metrics) };
}
