"""What Prometheus is asked about a service that is not ours, and what becomes of its answers."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qs

import orjson
import pytest

from board.assemble import assemble
from board.history import Span, read_history
from board.numbers import read_numbers
from board.series import OF_NOW, Queries, missing
from board.watch import Reading
from common.arms import OURS, Arms, Signals
from common.names import JobMetric, PlanMetric, Recorded
from common.prometheus import Prometheus
from flags.canary.aftermath import UNKNOWN, ways_on
from flags.rollout.readings import Readings
from flags.rollout.situation import DeployedModels, Rollout
from rollback.guardrails.file import load_policy
from rollback.rollouts import TEMPLATES
from tests.unit.board.scenes import facts, numbers
from tests.unit.flags.rollout.scenes import GOOD, NOW, PLAN, at

SIGNALS = Signals.model_validate(
    {
        "calls": "shop_requests_total",
        "errors": 'shop_requests_total{status=~"5.."}',
        "latency": {"metric": "shop_duration", "unit": "milliseconds"},
        "outcomes": {"counter": "shop_orders_total", "label": "kind"},
        "heard": "shop_flags_heard",
        "up": None,
    }
)
ARMS = Arms("ranker-v2", "production", 'job="shop"', "variant", "control", "ranker-v2", SIGNALS)
QUERIES = Queries(ARMS, "ranker", timedelta(seconds=30))
BOTH = r'job="shop", variant=~"control|ranker\\-v2"'
LITTLE = Signals.model_validate({"calls": "c_total", "up": None})
LEAST = Arms("f", "production", 'job="shop"', signals=LITTLE)
WITHOUT_SHADOW = PLAN.model_copy(update={"stages": PLAN.stages[1:]})


def parts(query: str | None) -> dict[tuple[str, str], str]:
    """The expressions that are joined, by the name and the model that each is given."""
    found = {}
    pattern = (
        r"""label_replace\((.*?), "what", "([^"]+)", "", ""\)(?:, "model", "(\w+)", "", ""\))?(?: or |$)"""
    )
    for expression, name, model in re.findall(pattern, query or "", re.S):
        found[name, model] = expression.removeprefix("label_replace(").replace("\n", " ")
    return found


def test_what_is_recorded_is_asked_and_who_is_heard() -> None:
    heard = 'shop_flags_heard{job="shop"}'
    recorded, _, others = QUERIES.now().partition(" or ")
    assert recorded == (
        '{__name__=~"model_requests:rate1m|latency_seconds:p50|latency_seconds:p99|error_rate|agreement_rate",'
        ' rollout="ranker"}'
    )
    assert parts(others) == {
        ("flag_state_age_seconds", ""): f"max(time() - ({heard} and time() - timestamp({heard}) < 90))",
        ("up", ""): 'max(group by (instance) (shop_requests_total{job="shop"}))',
        ("plan", ""): 'max(rollout_last_step_timestamp_seconds{rollout="ranker"})',
    }
    assert QUERIES.lately == timedelta(minutes=2)


def test_what_is_not_recorded_is_worked_out_from_the_services_own_series() -> None:
    found = parts(QUERIES.worked_out(OF_NOW, set()))
    calls = 'sum(rate(shop_requests_total{job="shop", variant="ranker-v2"}[5m]))'
    errors = 'sum(rate(shop_requests_total{status=~"5..", job="shop", variant="ranker-v2"}[5m]))'
    buckets = 'sum by (le) (rate(shop_duration_bucket{job="shop", variant="ranker-v2"}[5m]))'
    assert {name: found[name, model] for name, model in found if model == "challenger"} == {
        "model_requests:rate1m": calls.replace("5m", "2m"),
        "latency_seconds:p50": f"histogram_quantile(0.5, {buckets}) / 1000",
        "latency_seconds:p99": f"histogram_quantile(0.99, {buckets}) / 1000",
        "error_rate": f"({errors} or 0 * {calls}) / ({calls} > 0)",
    }
    assert 'variant="control"' in found["error_rate", "champion"]


def test_what_is_there_is_not_asked_again() -> None:
    rest = QUERIES.worked_out(OF_NOW, {"latency_seconds:p50", "latency_seconds:p99", "error_rate"})
    assert {name for name, _ in parts(rest)} == {"model_requests:rate1m"}
    assert QUERIES.worked_out(OF_NOW, {name.value for name in OF_NOW}) is None
    ours = Queries(Arms("canary", "production"), "ours")
    assert {name for name, _ in parts(ours.worked_out(OF_NOW, {"error_rate"}))} == {
        *("model_requests:rate1m", "latency_seconds:p50", "latency_seconds:p99", "agreement_rate")
    }


def test_what_is_not_named_is_not_asked_and_told_with_the_signal() -> None:
    queries = Queries(LEAST)
    assert set(parts(queries.now())) == {("up", ""), ("plan", "")}
    assert {name for name, _ in parts(queries.worked_out(OF_NOW, set()))} == {"model_requests:rate1m"}
    assert queries.outcomes(timedelta(hours=1)) is None
    assert queries.counters() == 'c_total{job="shop", model=~"champion|challenger"}'
    found = missing(LITTLE)
    assert found[Recorded.LATENCY_P99] == "not available: the rollout names no signal `latency`"
    assert set(found) == {
        *(Recorded.LATENCY_P50, Recorded.LATENCY_P99, Recorded.ERROR_RATE, Recorded.AGREEMENT_RATE),
        *(Recorded.FLAG_AGE, "outcomes", "versions"),
    }
    assert missing(OURS) == {}


class FakePrometheus:
    """Answers each query by what it asks for, as a Prometheus that scrapes the shop would."""

    def __init__(self) -> None:
        self.queries: list[str] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = {name: values[0] for name, values in parse_qs(body).items()}
                fake.queries.append(form["query"])
                told = orjson.dumps({"status": "success", "data": fake.answer(form)})
                self.send_response(200)
                self.send_header("Content-Length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, form: dict[str, str]) -> dict[str, Any]:
        series = [*self._series(form["query"])]
        if "step" not in form:
            at_now = [{"metric": labels, "value": [0, str(values[-1])]} for labels, values in series]
            return {"resultType": "vector", "result": at_now}
        start, step = float(form["start"]), float(form["step"])
        points = [start + place * step for place in range(4)]
        told = [
            {
                "metric": labels,
                "values": [[moment, str(value)] for moment, value in zip(points, values, strict=True)],
            }
            for labels, values in series
        ]
        return {"resultType": "matrix", "result": told}

    @staticmethod
    def _series(query: str) -> Iterator[tuple[dict[str, str], list[float]]]:
        names = {"control": 40.0, "ranker-v2": 10.0}
        if "increase(shop_orders_total" in query:
            yield {"variant": "control", "kind": "bought"}, [30.0] * 4
            yield {"variant": "ranker-v2", "kind": "bought"}, [9.0] * 4
            if "increase(shop_requests_total" in query:
                yield {"variant": "ranker-v2"}, [100.0] * 4
            return
        if not re.search(
            "label_replace|max by", query
        ):  # raw counters; the service has a label `outcome` of its own
            for name, pace in names.items():
                labels = {"instance": "a", "variant": name, "outcome": "http"}
                yield labels | {"__name__": "shop_requests_total"}, [pace * each for each in range(4)]
            orders = {
                "__name__": "shop_orders_total",
                "instance": "a",
                "variant": "control",
                "kind": "bought",
            }
            yield orders, [0.0, 4.0, 4.0, 8.0]
            return
        if "max by (__name__" in query or PlanMetric.LAST in query:  # of the latencies there are rules
            for model, seconds in (("champion", 0.04), ("challenger", 0.01)):
                told = {"__name__": "latency_seconds:p99", "rollout": "ranker", "model": model}
                yield told, [seconds] * 4
            yield {"__name__": JobMetric.LOG_E, "guardrail": "errors"}, [0.1] * 4
            if PlanMetric.LAST in query:
                yield {"what": "plan"}, [NOW.timestamp()] * 4
            return
        yield {"model": "challenger", "what": "model_requests:rate1m"}, [10.0] * 4
        yield {"model": "champion", "what": "error_rate"}, [0.0] * 4


@pytest.fixture
def shop() -> Iterator[FakePrometheus]:
    fake = FakePrometheus()
    thread = Thread(target=fake.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield fake
    fake.server.shutdown()
    fake.server.server_close()
    thread.join()


def test_a_strangers_answers_come_under_our_names(shop: FakePrometheus) -> None:
    asked = SimpleNamespace(
        prometheus=Prometheus(shop.url), plan=PLAN, arms=ARMS, measure=lambda _seen: Readings(version="1")
    )
    found = read_numbers(cast(Rollout, asked), at(5), QUERIES)
    assert found.of(Recorded.REQUEST_RATE, "challenger") == 10.0
    assert found.of(Recorded.LATENCY_P99, "champion") == 0.04
    assert found.of("plan") == NOW.timestamp()
    assert found.outcomes == {("champion", "bought"): 30.0, ("challenger", "bought"): 9.0}
    assert found.lately == timedelta(minutes=2)
    assert len(shop.queries) == 3
    assert "shop_duration_bucket" in shop.queries[1]  # of the median, which is not recorded
    assert "0.99" not in shop.queries[1]


def test_a_strangers_history_is_counted_by_its_own_labels(shop: FakePrometheus) -> None:
    long_ago = datetime.now(UTC) - timedelta(hours=3)
    found = read_history(Prometheus(shop.url), Span.HOUR, ARMS, long_ago, QUERIES)
    assert set(found.lines) == {
        (Recorded.REQUEST_RATE, "challenger"),
        *((Recorded.LATENCY_P99, model) for model in ("champion", "challenger")),
        (Recorded.ERROR_RATE, "champion"),
        (JobMetric.LOG_E, "errors"),
    }
    assert found.counts.requests["challenger"][:3].tolist() == [10.0, 10.0, 10.0]
    assert found.counts.outcomes["bought", "champion"][:3].tolist() == [4.0, 0.0, 4.0]
    assert found.counts.requests_before == {"challenger": 100.0}
    assert found.counts.outcomes_before == {("bought", "champion"): 30.0, ("bought", "challenger"): 9.0}
    assert shop.queries[0].startswith(
        'max by (__name__, model, guardrail) ({__name__=~"rollback_log_e|rollback_log_e_limit|rollback_value|'
        'rollback_limit", flag="ranker-v2", environment="production"} or {__name__=~"model_requests:rate1m|'
    )


def test_the_page_says_what_is_not_available_and_has_no_shadow_without_one() -> None:
    readings = replace(GOOD, version=UNKNOWN, judged_version=UNKNOWN)
    with_errors = LITTLE.model_copy(update={"errors": SIGNALS.errors})
    known = facts(
        at(5, models=DeployedModels()),
        told=numbers(readings),
        plan=WITHOUT_SHADOW,
        policy=load_policy(TEMPLATES["http-service"], with_errors),
        signals=LEAST.signals,
    )
    board = assemble(known)
    assert board.missing["p99"] == "not available: the rollout names no signal `latency`"
    assert (board.shadow, board.own_service) == (False, False)
    assert board.charts is not None
    charts = {one.key: one for one in board.charts.all}
    assert "agreement" not in charts
    assert (charts["p99"].lines, charts["p99"].missing) == ((), board.missing["p99"])
    assert charts["traffic"].missing == ""
    assert board.rollout is not None
    assert board.rollout.challenger == UNKNOWN
    assert [stage.name for stage in board.rollout.stages] == ["1%", "5%", "25%", "100%", "champion"]
    lacks = [one for one in board.guardrails if one.verdict == "not available"]
    assert "tail-latency" in {one.name for one in lacks}
    assert lacks[0].words == "Not available: the rollout names no signal `latency`. It judges nothing."
    assert assemble(facts()).shadow


def test_a_version_that_is_not_known_is_blocked_in_good_words() -> None:
    known = facts(
        at(0, enabled=False, quarantined=(UNKNOWN,), models=DeployedModels()),
        told=numbers(replace(GOOD, version=UNKNOWN)),
        unleash=Reading(at(0, enabled=False, quarantined=(UNKNOWN,), models=DeployedModels()), NOW),
        plan=WITHOUT_SHADOW,
    )
    assert assemble(known).answer.next == (
        "Nothing comes by itself. Any version is blocked, because the service does not say which one it"
        " serves. " + ways_on("canary")
    )
