"""The real servers: PostgreSQL, Unleash, Prometheus and the service, on free ports, gone with the test run.

One stack serves all tests of the session; each test begins with the canary on at 0% and no fault switched on.
`./canario up` need not run, and is not disturbed if it does.
"""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from playwright.sync_api import Browser, sync_playwright
from sklearn.datasets import load_breast_cancer

from flags.canary.marks import lift, quarantined
from flags.canary.share import set_share, turn_on
from flags.unleash.admin import UnleashAdmin
from flags.unleash.models import Segment
from stack.api import Stack
from stack.servers.debian import find_browser

FLAG = "canary"
# The sandbox needs a user namespace, which containers do not have; without the others it calls home.
CHROMIUM_ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu"),
    *("--disable-background-networking", "--disable-component-update"),
)
SEEN_WITHIN_SECONDS = 3.0  # in which every worker must follow a change in Unleash
# By seconds that they took, from two minutes to half of one. Files are given to processes one by one, in this
# order: of a long one that comes last, all other processes would wait for the end.
LONGEST = (
    *("example_fastapi", "whose", "exclude_by_job", "rollback", "balancer", "board_ui", "unleash_ui"),
    *("swapped_challenger", "lease", "runbook", "damaged_models", "native_histograms", "dashboard"),
    *("no_worse", "assignment", "promote", "host_faults", "prediction_log", "service_faults"),
    *("shadow_metrics", "mesh"),
)
BOARD_TOKEN = "for the tests of this run alone"
ROW = [float(value) for value in load_breast_cancer().data[0]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder need the servers. Those of the longest files come first, as in LONGEST."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.integration)
    places = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> float:
    """Seconds until `condition` held; fails the test with `what` when it does not in time."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > seconds:
            pytest.fail(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.05)
    return time.monotonic() - begun


@dataclass(frozen=True)
class Service:
    """The service as a client sees it."""

    url: str

    def predict(self, user: str, **context: Any) -> dict[str, Any]:
        """The answer for `user`, with the `worker` that gave it. Each call has a connection of its own."""
        with self._connected() as connection:
            return self._asked(connection, user, context)

    def tell(self, request_id: str, outcome: str) -> None:
        """What came of an answer."""
        with self._connected() as connection:
            self._post(connection, "/feedback", {"request_id": request_id, "outcome": outcome}, 202)

    def predict_all(self, users: list[str], **context: Any) -> list[dict[str, Any]]:
        """The answers for `users`, in their order; over many connections, so that every worker gets some."""
        connections = min(16, len(users))

        def some(first: int) -> list[dict[str, Any]]:
            with self._connected() as connection:
                return [self._asked(connection, user, context) for user in users[first::connections]]

        answers: list[dict[str, Any]] = [{}] * len(users)
        with ThreadPoolExecutor(16) as pool:
            for first, found in enumerate(pool.map(some, range(connections))):
                answers[first::connections] = found
        return answers

    def _connected(self) -> "closing[HTTPConnection]":
        """Without `requests`, which takes as long to ask as the service to answer."""
        return closing(HTTPConnection(self.url.removeprefix("http://"), timeout=5))

    def _asked(self, connection: HTTPConnection, user: str, context: dict[str, Any]) -> dict[str, Any]:
        return self._post(connection, "/predict", {"user_id": user, "features": ROW, "context": context}, 200)

    @staticmethod
    def _post(connection: HTTPConnection, path: str, body: dict[str, Any], status: int) -> dict[str, Any]:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        told = response.read()
        assert response.status == status, f"{response.status} {told!r}"
        answer: dict[str, Any] = json.loads(told)
        return answer | {"worker": response.headers["Canario-Worker"]}

    def by_worker(self, user: str, workers: int = 2, **context: Any) -> dict[str, dict[str, Any]]:
        """An answer of each worker for `user`."""
        answers: dict[str, dict[str, Any]] = {}
        end, at_once = time.monotonic() + 20, 4
        while len(answers) < workers:
            assert time.monotonic() < end, f"only {len(answers)} of {workers} workers answered"
            for answer in self.predict_all([user] * at_once, **context):
                answers[answer["worker"]] = answer
            at_once = 16  # one that is alone with a few requests may answer them all
        return answers

    def all_say(self, user: str, model: str, **context: Any) -> bool:
        """Whether every worker assigns `model` to `user`; the first that does not is reason enough."""
        if self.predict(user, **context)["assigned"] != model:
            return False
        return all(answer["assigned"] == model for answer in self.by_worker(user, **context).values())


class ProductManager:
    """Sends what the Unleash UI sends when somebody clicks there, with the session of a login."""

    def __init__(self, url: str, password: str) -> None:
        self._session = requests.Session()
        self._url = f"{url}/api/admin/projects/default"
        login = self._session.post(
            f"{url}/auth/simple/login", json={"username": "admin", "password": password}, timeout=10
        )
        login.raise_for_status()

    def archive(self, flag: str) -> None:
        self._send("DELETE", f"/features/{flag}")

    def revive(self, flag: str) -> None:
        self._send("POST", f"/../../archive/revive/{flag}")

    def strategies(self, flag: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._send(
            "GET", f"/features/{flag}/environments/production/strategies"
        ).json()
        return found

    def delete_strategies(self, flag: str) -> None:
        for strategy in self.strategies(flag):
            self._send("DELETE", f"/features/{flag}/environments/production/strategies/{strategy['id']}")

    def edit_strategy(self, flag: str, **changes: Any) -> None:
        """Save the one strategy's form: the UI sends the whole strategy back."""
        (strategy,) = self.strategies(flag)
        path = f"/features/{flag}/environments/production/strategies/{strategy['id']}"
        self.save(path, strategy | changes)

    def save(self, path: str, form: dict[str, Any]) -> None:
        """Save a form as it was opened some time ago."""
        self._send("PUT", path, form)

    def set_share(self, flag: str, percent: int) -> None:
        """Move the slider and save."""
        (strategy,) = self.strategies(flag)
        self.edit_strategy(flag, parameters=strategy["parameters"] | {"rollout": str(percent)})

    def switch(self, flag: str, *, on: bool) -> None:
        self._send("POST", f"/features/{flag}/environments/production/{'on' if on else 'off'}")

    def delete_segment(self, segment: int) -> None:
        self._send("DELETE", f"/../../segments/{segment}")

    def save_segment(self, segment: Segment, constraints: list[dict[str, Any]]) -> None:
        """Save the form of a segment."""
        body = {"name": segment.name, "project": segment.project, "description": segment.description}
        self._send("PUT", f"/../../segments/{segment.id}", body | {"constraints": constraints})

    def remove_tag(self, flag: str, kind: str, value: str) -> None:
        self._send("DELETE", f"/../../features/{flag}/tags/{kind}/{quote(value)}")

    def _send(self, method: str, path: str, body: Any = None) -> requests.Response:
        response = self._session.request(method, f"{self._url}{path}", json=body, timeout=10)
        assert response.ok, f"{method} {path}: {response.status_code} {response.text}"
        return response


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for the tests that look at pages; it has the loop of this thread while it runs."""
    chromium = find_browser()
    if not chromium:
        pytest.fail(
            "the browser tests need Chromium: `sudo apt-get install chromium`, or `make test BROWSER=0`"
        )
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=str(chromium), args=list(CHROMIUM_ARGUMENTS))
        yield running
        running.close()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The servers, the service, and the rollback job, which only the tests that want it start."""
    programs = ("postgres", "unleash", "prometheus", "service", "rollback", "board")
    # The job is stopped, so nobody would renew a lease; tests of leases make their own.
    environment = {
        "flags": {"CANARIO_LEASE": "off"},
        "board": {"CANARIO_BOARD_TOKEN": BOARD_TOKEN},
        "service": {"CANARIO_SEGMENTS": "country=NO, country=SE"},
    }
    home = tmp_path_factory.mktemp("stack")
    with Stack(home, only=programs, ports="free", environment=environment) as running:
        running.stop("rollback")
        yield running


@pytest.fixture
def admin(stack: Stack) -> UnleashAdmin:
    """Unleash as the user of the flags command line."""
    return UnleashAdmin(stack.addresses.unleash, stack.secret("canario-flags.token"))


@pytest.fixture(scope="session")
def manager(stack: Stack) -> ProductManager:
    """Somebody who is logged in to Unleash's UI."""
    return ProductManager(stack.addresses.unleash, stack.secret("unleash-admin.password"))


@pytest.fixture
def own_flag(admin: UnleashAdmin, request: pytest.FixtureRequest) -> str:
    """A flag of this test alone, on for everybody."""
    name = f"test-{time.time_ns()}"
    admin.create_feature(name, kind="release", description=request.node.name)
    admin.add_strategy(name, percent=100, stickiness="userId", group=name)
    admin.switch(name, on=True)
    return name


@pytest.fixture
def service(stack: Stack, admin: UnleashAdmin) -> Service:
    """The service, with the canary on at 0% and every worker aware of it."""
    stack.site.home.drill.unlink(missing_ok=True)
    set_share(admin, FLAG, 0)
    if quarantined(admin, FLAG):
        lift(admin, FLAG, "the next test")
    turn_on(admin, FLAG)
    service = Service(stack.addresses.service)
    wait_for(lambda: service.all_say("anyone", "champion"), 10, "the champion for everybody")
    return service
