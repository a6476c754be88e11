"""/admin/canary on the real Unleash."""

import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from common.model_store import ModelStore
from flags.canary.marks import label, lift, quarantine, resume
from flags.canary.share import read_state, set_share, turn_off
from flags.unleash.admin import UnleashAdmin
from stack.api import Stack
from tests.integration.conftest import FLAG, SEEN_WITHIN_SECONDS, Service, wait_for
from tests.integration.own_service import own_service


def call(stack: Stack, method: str, body: Any = None, route: str = "canary") -> requests.Response:
    token = stack.secret("service-admin.token")
    return requests.request(
        method,
        f"{stack.addresses.service}/admin/{route}",
        json=body,
        headers={"Authorization": f"Bearer {token}"},
        timeout=10,
    )


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_share_that_is_set_is_what_unleash_says_and_what_users_get(
    stack: Stack, service: Service, admin: UnleashAdmin, method: str
) -> None:
    answer = call(stack, method, {"percent": 100}).json()
    assert (answer["percent"], answer["enabled"], answer["exposed"]) == (100, True, True)
    assert answer["changed_by"] == "canario-service"
    assert read_state(admin, FLAG).percent == 100
    wait_for(lambda: service.all_say("u", "challenger"), SEEN_WITHIN_SECONDS, "the challenger for everybody")


def test_reading_tells_who_changed_it_last(stack: Stack, service: Service, admin: UnleashAdmin) -> None:
    turn_off(admin, FLAG)
    answer = call(stack, "GET").json()
    assert (answer["enabled"], answer["changed_by"]) == (False, "canario-flags")
    assert answer["change"] == "feature-environment-disabled"


def test_a_share_over_zero_turns_the_flag_on(stack: Stack, service: Service, admin: UnleashAdmin) -> None:
    turn_off(admin, FLAG)
    assert call(stack, "PUT", {"percent": 5}).json()["enabled"] is True


def test_a_wrong_bearer_changes_nothing(stack: Stack, service: Service, admin: UnleashAdmin) -> None:
    response = requests.put(
        f"{stack.addresses.service}/admin/canary",
        json={"percent": 100},
        headers={"Authorization": "Bearer wrong"},
        timeout=10,
    )
    assert response.status_code == 401
    assert read_state(admin, FLAG).percent == 0


def test_the_shadows_share_is_another_flags(stack: Stack, service: Service, admin: UnleashAdmin) -> None:
    answer = call(stack, "PUT", {"percent": 20}, "shadow").json()
    assert (answer["flag"], answer["percent"], answer["changed_by"]) == ("shadow", 20, "canario-service")
    assert read_state(admin, FLAG).percent == 0
    assert call(stack, "PUT", {"percent": 0}, "shadow").json()["percent"] == 0
    assert call(stack, "GET", route="shadow").json()["percent"] == 0


def test_a_version_in_quarantine_needs_a_reason(stack: Stack, service: Service, admin: UnleashAdmin) -> None:
    release = ModelStore(stack.site.home.models).read()
    challenger = release.roles.challenger
    assert challenger
    version = label(challenger.version, challenger.sha256)
    quarantine(admin, FLAG, version)
    try:
        refused = call(stack, "PUT", {"percent": 5})
        assert refused.status_code == 409
        assert f"{version} was rolled back" in refused.json()["detail"]
        answer = call(stack, "PUT", {"percent": 5, "override": "the cause was found"}).json()
        assert (answer["percent"], answer["quarantined"]) == (5, [version])
    finally:
        lift(admin, FLAG, "a test")


def test_where_the_rollout_stands(stack: Stack, service: Service, admin: UnleashAdmin) -> None:
    set_share(admin, FLAG, 5)
    resume(admin, FLAG, "a test")  # other tests have lowered it
    told = call(stack, "GET", route="rollout").json()
    assert (told["stage"]["name"], told["stage"]["stages"][0]) == ("5%", "shadow")
    assert told["step"]["kind"] == "wait"
    assert {"time", "requests"} <= {gate["name"] for gate in told["gates"]}
    assert told["changes"][0]["who"] == "canario-flags"
    assert told["challenger"]


def test_predictions_go_on_while_many_ask_for_the_rollout_and_prometheus_hangs(
    stack: Stack, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as hangs:
        url = f"http://127.0.0.1:{hangs.getsockname()[1]}"
        with (
            own_service(stack, tmp_path, workers="2", prometheus_url=url) as service,
            ThreadPoolExecutor(24) as pool,
        ):
            token = {"Authorization": f"Bearer {stack.secret('service-admin.token')}"}
            asked = [
                pool.submit(requests.get, f"{service.url}/admin/rollout", headers=token, timeout=30)
                for _ in range(24)
            ]
            seconds = []
            for number in range(12):
                began = time.monotonic()
                service.predict(f"user-{number}")
                seconds.append(time.monotonic() - began)
            statuses = Counter(each.result().status_code for each in asked)
    print(f"slowest of 12 predictions {max(seconds):.3f} s; {dict(statuses)}")
    assert max(seconds) < 2
    assert set(statuses) == {200, 503}
