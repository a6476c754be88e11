"""A Prometheus that says what a test wants, behind real HTTP, and a canary without Unleash."""

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs

import pytest

from common.arms import Arms
from flags.canary.exclude import ExcludedUsers
from flags.canary.state import CanaryState
from rollback.guardrails.file import Policy

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Answer:
    """What the server sends: a status, a body, and how long it takes over it."""

    body: bytes
    status: int = 200
    delay: float = 0
    claimed_length: int | None = None
    """Content-Length when it is to be another than that of the body."""


def result(kind: str, value: object) -> Answer:
    """A successful answer of the query API."""
    return Answer(json.dumps({"status": "success", "data": {"resultType": kind, "result": value}}).encode())


@dataclass
class Server:
    """An HTTP server of one test; `reply` gets the path and the form of each request."""

    url: str
    reply: Callable[[str, dict[str, str]], Answer] = lambda _path, _form: result("vector", [])
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on a free port; the request it is busy with does not outlive the test."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(text).items()}
            state.asked.append((self.path, form))
            answer = state.reply(self.path, form)
            time.sleep(answer.delay)  # a server that is slow, for the deadlines of real clients
            length = len(answer.body) if answer.claimed_length is None else answer.claimed_length
            with suppress(BrokenPipeError):  # the client has given up, as it should
                self.send_response(answer.status)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the output of the tests clean."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    state = Server(f"http://127.0.0.1:{http.server_address[1]}")
    thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    http.shutdown()
    thread.join()
    http.server_close()


MODEL = {"model": "challenger", "name": "breast-cancer", "version": "2.0.0", "sha256": "ab" * 32}


def standing_still(answers: Sequence[float] = (9, 9, 9, 9, 9)) -> Answer:
    """One instance that counts `answers` of the challenger at its last scrapes, 5 s apart, up to NOW."""
    labels = {"job": "service", "instance": "a"}
    stamps = [NOW.timestamp() - 5 * back for back in reversed(range(len(answers)))]
    counts = [[stamp, str(count)] for stamp, count in zip(stamps, answers, strict=True)]
    return result(
        "matrix",
        [
            {"metric": labels | {"__name__": "up"}, "values": [(stamp, "1") for stamp in stamps]},
            {
                "metric": labels | {"__name__": "predictions_total", "model": "challenger"},
                "values": counts,
            },
        ],
    )


MARKED = re.compile(r'label_replace\((.*?), "canario_query", "([^"]*)", "", ""\)(?: or )?')

Reading = Callable[[float], float | None]
"""A raw counter: its value at a time in seconds, None where there is none."""


ARMS = Arms("canary", "production")
Told = list[tuple[dict[str, str], float]]
Fleet = dict[str, Told]
"""Answers by the mark of their question."""


def serving(
    *challengers: str, champion: str = "1.0.0", instances: int = 1, gone: dict[str, float] | None = None
) -> Fleet:
    """What Prometheus says of a service whose instances serve these versions.

    Args:
        challengers: versions, each on as many instances.
        champion: a version; "" for none.
        instances: all of them.
        gone: how many seconds ago other challengers were seen the last time, by version.
    """
    now = NOW.timestamp()
    served = [{**MODEL, "version": each} for each in challengers]
    if champion:
        served.append({**MODEL, "model": "champion", "version": champion})
    left = [({**MODEL, "version": version}, now - ago) for version, ago in (gone or {}).items()]
    return {
        "targets": [({}, instances)],
        "live": [({}, instances)],
        "follow": [({"flag": "canary", "environment": "production"}, instances)],
        "serve": [(each, instances / max(len(challengers), 1)) for each in served],
        "last": [*((each, now) for each in served), *left],
        "arms": [({"model": model}, 2) for model in ("champion", "challenger")],
    }


def at_zero(*names: str, **labels: str) -> list[tuple[dict[str, str], Reading]]:
    """Counters as the service makes them for both models when it starts."""
    return [
        ({"__name__": name, "model": model, **labels}, lambda _at: 0.0)
        for name in names
        for model in ("champion", "challenger")
    ]


@dataclass
class Numbers:
    """Answers of a healthy Prometheus at NOW: each query by the first of `values` that it begins with.

    A number is the same at all looks; None is an empty result; an Answer is sent as it is, also to a request
    that asks for more than that query.
    """

    values: dict[str, float | Answer | None]
    up: float | None = 1
    still: Answer = field(default_factory=standing_still)
    counters: list[tuple[dict[str, str], Reading]] = field(default_factory=list)
    fleet: Fleet = field(default_factory=lambda: serving(MODEL["version"]))
    settled: float | None = None
    """How many seconds ago every instance was first seen to serve this challenger, where another one left."""
    whole: float | None = None
    """Series of a histogram that has no buckets."""
    before: dict[str, float] = field(default_factory=dict)
    """The champion's calls before the stage, by the edge of their bucket."""
    started: Reading | None = field(default=lambda _at: NOW.timestamp() - 7200)
    """When the challenger was started last, as it is read at a time in seconds; None where nothing tells."""

    def __call__(self, path: str, form: dict[str, str]) -> Answer:
        query, found = form["query"], []
        if query == "time()":
            return result("scalar", [NOW.timestamp(), str(NOW.timestamp())])
        if query.startswith("{__name__=") and query.endswith("]"):
            return self.still
        if query.startswith("model_info"):
            return result("matrix", [{"metric": MODEL, "values": [[NOW.timestamp(), "1"]]}])
        if query.startswith("max by (instance) (") and self.started:
            starts: list[tuple[dict[str, str], Reading]] = [({"instance": "a"}, self.started)]
            return self._range([], starts, *(float(form[name]) for name in ("start", "end", "step")))
        marked = MARKED.findall(query)
        for part, mark in marked or [(query, None)]:
            if mark in self.fleet:
                found += [({"canario_query": mark, **labels}, number) for labels, number in self.fleet[mark]]
                continue
            if mark == "started" and self.started:
                labels = {"canario_query": mark, "instance": "a"}
                found.append((labels, self.started(NOW.timestamp()) or 0.0))
                continue
            value = self._value(part)
            if isinstance(value, Answer):
                return value
            if isinstance(value, dict):
                found += [({"canario_query": mark, "le": le}, number) for le, number in value.items()]
            elif value is not None:
                found.append(({} if mark is None else {"canario_query": mark}, value))
        rest = MARKED.sub("", query) if marked else query
        counters = self.counters if rest.startswith("{__name__") else []
        if path.endswith("/query"):
            return self._instant(found, counters, float(form.get("time", NOW.timestamp())))
        return self._range(found, counters, *(float(form[name]) for name in ("start", "end", "step")))

    def _value(self, query: str) -> float | Answer | dict[str, float] | None:
        if query.startswith("min_over_time((vector(time())"):
            return None if self.settled is None else NOW.timestamp() - self.settled
        if query == "vector(time())":
            return NOW.timestamp()
        if query.startswith("count("):
            return self.whole
        if query.startswith("max(max_over_time(up"):
            return self.up
        if query.startswith("max by (instance) ("):
            return None
        if query.startswith("sum by (le)") and "_bucket" in query:
            return self.before
        if query.startswith("{__name__"):
            return None
        return next(self.values[key] for key in self.values if query.startswith(key))

    @staticmethod
    def _instant(
        found: list[tuple[dict[str, str], float]], counters: list[tuple[dict[str, str], Reading]], at: float
    ) -> Answer:
        now = [(labels, read(at)) for labels, read in counters]
        every = [*found, *((labels, value) for labels, value in now if value is not None)]
        return result("vector", [{"metric": labels, "value": [at, str(value)]} for labels, value in every])

    @staticmethod
    def _range(
        found: list[tuple[dict[str, str], float]],
        counters: list[tuple[dict[str, str], Reading]],
        start: float,
        end: float,
        step: float,
    ) -> Answer:
        stamps = [start + step * look for look in range(round((end - start) / step) + 1)]
        every: list[tuple[dict[str, str], list[float | None]]] = [
            *[(labels, list[float | None]([value] * len(stamps))) for labels, value in found],
            *[(labels, [read(stamp) for stamp in stamps]) for labels, read in counters],
        ]
        series = [
            (
                labels,
                [[at, str(value)] for at, value in zip(stamps, values, strict=True) if value is not None],
            )
            for labels, values in every
        ]
        return result("matrix", [{"metric": labels, "values": values} for labels, values in series if values])


def make_policy(**changes: object) -> Policy:
    """One guardrail `slow`: `value_slow` over 0.2, on a `sample_slow` of 50 at least."""
    guardrail: dict[str, object] = {
        "kind": "threshold",
        "name": "slow",
        "description": "Slow answers are lost answers.",
        "value": "value_slow[{window}]",
        "direction": "above",
        "limit": 0.2,
        "window": "1m",
        "sample": "sample_slow[{window}]",
        "smallest_sample": 50,
        "action": "rollback",
    }
    return Policy.model_validate({"scrape_interval": "5s", "guardrails": [guardrail | changes]})


SEQUENTIAL: dict[str, object] = {
    "kind": "sequential",
    "name": "errors",
    "description": "Failed calls are lost calls.",
    "bad": "bad_total",
    "total": "calls_total",
    "share_of_alpha": 0.4,
    "action": "rollback",
}
TAIL: dict[str, object] = {
    **{name: value for name, value in SEQUENTIAL.items() if name not in {"bad", "total"}},
    "name": "tail",
    "histogram": "x",
    "quantile": 0.99,
    "margin": 1.2,
}


def policy_of(*guardrails: dict[str, object], **changes: object) -> Policy:
    """A policy of these guardrails."""
    return Policy.model_validate({"scrape_interval": "5s", "guardrails": list(guardrails), **changes})


STATE = CanaryState(
    flag="canary",
    environment="production",
    exists=True,
    archived=False,
    enabled=True,
    percent=5,
    stickiness="userId",
    strategies=1,
    constraints=(),
    segments=(),
    variants=0,
    trouble=None,
    changed_by="paula",
    changed_at=NOW - timedelta(hours=1),
    change="feature-strategy-update",
)


@dataclass
class FakeCanary:
    """A flag in memory. `read_fault` and `off_fault` are raised by what they name."""

    state: CanaryState = STATE
    read_fault: Exception | None = None
    off_fault: Exception | None = None
    exclude_fault: Exception | None = None
    excluded: list[str] = field(default_factory=list)
    obeys: bool = True
    """Whether an order to turn off is carried out, also when its answer is a fault."""
    orders: int = 0
    flag: str = "canary"
    environment: str = "production"

    def read(self) -> CanaryState:
        if self.read_fault:
            raise self.read_fault
        return self.state

    def turn_off(self) -> CanaryState:
        self.orders += 1
        if self.obeys:
            self.state = replace(self.state, enabled=False)
        if self.off_fault:
            raise self.off_fault
        return self.state

    def exclude(self, users: ExcludedUsers) -> CanaryState:
        self.excluded.append(str(users))
        if self.exclude_fault:
            raise self.exclude_fault
        self.state = replace(self.state, kept_out=(*self.state.kept_out, str(users)))
        return self.state
