// Polls of the flags as the SDK makes them: each client knows what it has by the ETag, and is told 304 where nothing changed.
// Unleash counts the polls of each address, and believes a proxy that names it.
import http from "k6/http";
import { Counter } from "k6/metrics";

const unchanged = new Counter("unchanged");
const refused = new Counter("refused");
const failed = new Counter("failed");

export const options = {
  vus: Number(__ENV.USERS),
  duration: __ENV.DURATION,
  summaryTrendStats: ["count", "med", "p(99)", "max"],
};

let etag = "";

export default function () {
  const pod = (__ITER * Number(__ENV.USERS) + __VU) % Number(__ENV.ADDRESSES);
  const headers = { Authorization: __ENV.TOKEN, "X-Forwarded-For": `10.1.${pod >> 8}.${pod & 255}` };
  if (etag && __ENV.ETAG === "1") headers["If-None-Match"] = etag;
  const answer = http.get(__ENV.URL, { headers, responseType: "none", timeout: "10s" });
  if (answer.status === 304) unchanged.add(1);
  else if (answer.status === 200) etag = answer.headers["Etag"];
  else if (answer.status === 429) refused.add(1);
  else failed.add(1);
}

export function handleSummary(data) {
  return { stdout: JSON.stringify(data.metrics) };
}
