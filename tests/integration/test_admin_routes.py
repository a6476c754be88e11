"""/admin/canary on the real Unleash."""

from typing import Any

import pytest
import requests

from flags.admin import UnleashAdmin
from flags.canary import read_state, turn_off
from stack.api import Stack
from tests.integration.conftest import FLAG, SEEN_WITHIN_SECONDS, Service, wait_for


def call(stack: Stack, method: str, body: Any = None) -> requests.Response:
    token = stack.secret("service-admin.token")
    return requests.request(
        method,
        f"{stack.addresses.service}/admin/canary",
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
