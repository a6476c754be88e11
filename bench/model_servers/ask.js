// Users who ask again as soon as they are answered. Whatever is no 200 counts as failed.
import http from "k6/http";
import { Counter } from "k6/metrics";

const failed = new Counter("failed");
const body = open(__ENV.BODY);

export const options = {
  scenarios: { load: { executor: "constant-vus", vus: Number(__ENV.USERS), duration: __ENV.DURATION } },
  summaryTrendStats: ["count", "med", "p(99)"],
};

export default function () {
  const answer = http.post(__ENV.URL, body, { headers: { "Content-Type": "application/json" }, timeout: "10s" });
  if (answer.status !== 200) failed.add(1);
}

export function handleSummary(data) {
  return { stdout: JSON.stringify(data.metrics) };
}
