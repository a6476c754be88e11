"""Every query of the Grafana dashboard, asked of the real Prometheus while users and feedback come in.

Grafana itself is not to be had here: that it draws what Prometheus answers is not proved.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from board.history import Span, read_history
from common.arms import Arms
from common.names import Metric
from common.prometheus import Prometheus
from docs.metrics import of_job, of_service, of_token
from flags.canary.lease import ensure_lease, remove_lease
from flags.canary.share import read_state, set_share, turn_on
from flags.unleash.admin import UnleashAdmin
from rollback.guardrails.file import DEFAULT_FILE
from stack.api import Stack
from stack.paths import REPOSITORY
from tests.dashboard import Query, queries
from tests.integration.conftest import FLAG, Service, wait_for
from tests.integration.steady_load import Seen, steady_load

SHADOW = "shadow"
# What there is only after something happened: the test makes it happen.
AFTER_A_ROLLBACK = {"Rollbacks", "Alerts A"}
# Only while something critical fires, for half a minute and more. monitoring/tests makes each of them fire.
WHEN_CRITICAL = {"Critical alerts"}
OF_THE_PLAN = {"Files of all rollouts B"}  # whose job does not run here


# No fault is needed for a rollback, which would be in the windows of the tests that come after: whatever the
# challenger's p99 is, it is too much.
STRICT = {
    "limit: 0.2\n    unit: seconds": "limit: 0.0\n    unit: seconds",
    "smallest_sample: 1000 ": "smallest_sample: 1 ",
}


@contextmanager
def rollback_job(stack: Stack, folder: Path, changes: Mapping[str, str]) -> Iterator[None]:
    """The job, looking each second, with `changes` in its policy; its messages do not arrive."""
    text = DEFAULT_FILE.read_text(encoding="utf-8")
    for old, new in {"\nstep: 15s": "\nstep: 5s", **changes}.items():
        assert old in text
        text = text.replace(old, new, 1)
    policy = folder / "guardrails.yaml"
    policy.write_text(text, encoding="utf-8")
    environment = stack.env("rollback") | {
        "CANARIO_LEASE": "15m",
        "CANARIO_NOTIFY_URLS": "json://127.0.0.1:9/nobody",
    }
    command = (sys.executable, "-m", "rollback", "--every", "1s", "--guardrails", str(policy))
    with (folder / "rollback.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=log, stdout=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def feedback(service: Service, seen: Seen) -> Iterator[None]:
    """Every second request ends well, and is told."""
    stop = threading.Event()

    def tell() -> None:
        told = 0
        with requests.Session() as session:
            while not stop.wait(0.2):
                answers = list(seen.answers)
                for _, answer in answers[told::2]:
                    body = {"request_id": answer["request_id"], "outcome": "bought"}
                    session.post(f"{service.url}/feedback", json=body, timeout=5)
                told = len(answers)

    teller = threading.Thread(target=tell)
    teller.start()
    try:
        yield
    finally:
        stop.set()
        teller.join(20)


@pytest.fixture
def exposed(stack: Stack, service: Service, admin: UnleashAdmin) -> Iterator[None]:
    """Half of the users have the challenger, on a lease; it sees the requests of the others too."""
    ensure_lease(admin, FLAG, timedelta(minutes=15))
    set_share(admin, SHADOW, 100)
    turn_on(admin, SHADOW)
    set_share(admin, FLAG, 50)
    yield
    set_share(admin, SHADOW, 0)
    remove_lease(admin, FLAG)


def wait_for_series(prometheus: Prometheus, asked: list[Query]) -> None:
    """Until each query gives a number. One that Prometheus refuses is an error."""
    end = time.monotonic() + 40
    while silent := [query.asker for query in asked if not has_number(prometheus, query)]:
        assert time.monotonic() < end, f"no series for {silent}"
        time.sleep(1)


def has_number(prometheus: Prometheus, query: Query) -> bool:
    """Whether there is something to see, which NaN is not."""
    return any(sample.value == sample.value for sample in prometheus.vector(query.expression))


def live(address: str) -> set[str]:
    """The names of all metrics that a process tells now, but for when a counter was made."""
    text = requests.get(f"{address}/metrics", timeout=5).text
    found = text_string_to_metric_families(text)
    names = {family.name + ("_total" if family.type == "counter" else "") for family in found}
    return {name for name in names if not name.endswith("_created")}


@pytest.mark.usefixtures("exposed")
def test_every_query_of_the_dashboard_has_an_answer(
    stack: Stack, service: Service, admin: UnleashAdmin, tmp_path: Path
) -> None:
    prometheus = Prometheus(stack.addresses.prometheus)
    asked = [query for query in queries() if query.asker not in WHEN_CRITICAL | OF_THE_PLAN]
    assert len(asked) > 50
    for query in queries():
        prometheus.vector(query.expression)  # none is refused
    with steady_load(service.url, 60) as seen, feedback(service, seen):
        begun = time.monotonic()
        with rollback_job(stack, tmp_path, {}):
            early = [query for query in asked if query.asker not in AFTER_A_ROLLBACK]
            wait_for_series(prometheus, early)
            print(f"all but {AFTER_A_ROLLBACK} after {time.monotonic() - begun:.1f} s")
            outcomes = read_history(
                prometheus, Span.QUARTER, Arms(FLAG, "production")
            ).counts.outcomes  # the board's charts have them too
            assert outcomes.keys() == {("bought", "champion"), ("bought", "challenger")}
            of_one_output = {row.name for row in of_service()} - {Metric.SHADOW_OUTPUT_AGREEMENTS}
            assert live(stack.addresses.service) == of_one_output
            assert live(stack.addresses.rollback) == {row.name for row in (*of_job(), *of_token())}
        set_share(
            admin, FLAG, 0
        )  # until Prometheus has seen that nothing was rolled back: it must see a rise
        started = time.time()
        with rollback_job(stack, tmp_path, STRICT):
            created = f'rollback_orders_created{{rollout!=""}} > {started}'
            wait_for(lambda: bool(prometheus.vector(created)), 60, "the new job's counters")
            set_share(admin, FLAG, 50)
            wait_for(
                lambda: not read_state(admin, FLAG).enabled, 60, "a rollback"
            )  # the process starts first
            late = [query for query in asked if query.asker in AFTER_A_ROLLBACK]
            wait_for_series(prometheus, late)
            print(f"all of them after {time.monotonic() - begun:.1f} s")
    assert not seen.failures
