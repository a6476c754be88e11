"""The same user, the same version, through a real Envoy that asks /assign of the real service."""

import math
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from UnleashClient import UnleashClient

from flags.canary.share import set_share
from flags.unleash.admin import UnleashAdmin
from stack.api import Stack
from tests.integration.conftest import FLAG, Service, wait_for
from tests.integration.own_service import free_port
from tests.integration.proxies import Load, Proxy, running, until

SHARE = 25
SPOOFED = {"x-canario-model": "challenger"}


@pytest.fixture
def proxy(stack: Stack, service: Service, admin: UnleashAdmin, tmp_path: Path) -> Iterator[Proxy]:
    """Envoy before both arms, which asks the service; 25% of the users have the challenger."""
    set_share(admin, FLAG, SHARE)
    port = int(service.url.rpartition(":")[2])
    some = [user["x-user-id"] for user in _users(100)]

    def followed() -> bool:
        inside = [user for user in some if service.predict(user)["assigned"] == "challenger"]
        return bool(inside) and service.all_say(inside[0], "challenger")

    wait_for(followed, 20, "every worker follows the flag")
    with running("header", tmp_path, {8000: port}) as envoy:
        yield envoy


def _users(count: int, **headers: str) -> list[dict[str, str]]:
    return [{"x-user-id": f"user-{number}", **headers} for number in range(count)]


def said_by_the_sdk(stack: Stack, users: list[dict[str, str]]) -> list[str]:
    """What Unleash's own client says of each."""
    client = UnleashClient(
        f"{stack.addresses.unleash}/api",
        "test-of-the-proxy",
        custom_headers={"Authorization": stack.secret("unleash-sdk.token")},
        disable_metrics=True,
    )
    client.initialize_client()
    try:
        return [
            "challenger" if client.is_enabled(FLAG, {"userId": user["x-user-id"]}) else "champion"
            for user in users
        ]
    finally:
        client.destroy()


@pytest.mark.parametrize(
    "count", [pytest.param(20_000, marks=[pytest.mark.slow, pytest.mark.timeout(600)]), 1_500]
)
def test_each_user_has_the_arm_that_the_sdk_says_on_every_call(
    stack: Stack, proxy: Proxy, count: int
) -> None:
    users = _users(count)
    first, second = proxy.ask(users), proxy.ask(users)
    wanted = said_by_the_sdk(stack, users)
    assert {*first} == {"champion", "challenger"}
    assert sum(one != other for one, other in zip(first, second, strict=True)) == 0
    assert sum(one != other for one, other in zip(first, wanted, strict=True)) == 0
    share = first.count("challenger") / count
    error = math.sqrt(SHARE / 100 * (1 - SHARE / 100) / count)
    print(f"{count} users, twice: share {share:.4f}, {(share - SHARE / 100) / error:+.2f} standard errors")
    assert abs(share - SHARE / 100) <= 4 * error


def test_a_client_cannot_choose_its_arm(stack: Stack, proxy: Proxy) -> None:
    users = _users(300)
    assert proxy.ask(_users(300, **SPOOFED)) == said_by_the_sdk(stack, users)
    assert proxy.ask([SPOOFED] * 20) == ["champion"] * 20  # who has no user has the champion


def test_the_endpoint_killed_in_mid_run_fails_no_request(stack: Stack, proxy: Proxy) -> None:
    load = Load(proxy.url)
    try:
        wait_for(lambda: {"champion", "challenger"} <= {*load.answers}, 20, "both arms")
        until(load, 200)
        before = len(load.answers)
        stack.kill("service", signal.SIGKILL)
        wait_for(lambda: len(load.answers) - last_of(load, "challenger") > 100, 20, "the champion for all")
        away = len(load.answers)
        wait_for(lambda: last_of(load, "challenger") > away, 60, "the challenger again")
    finally:
        answers = load.close()
    print(f"{len(answers)} requests, {len(answers) - before} of them since the endpoint was killed")
    assert {*answers} == {"champion", "challenger"}  # and nothing that went wrong


def last_of(load: Load, arm: str) -> int:
    """At which answer this arm was seen last."""
    return max(at for at, one in enumerate([*load.answers]) if one == arm)


def test_without_the_endpoint_everybody_has_the_champion_and_nothing_fails(tmp_path: Path) -> None:
    """Also who sends the header: Envoy would have chosen a route by it before it asks."""
    with running("header", tmp_path, {8000: free_port()}) as envoy:
        answers = envoy.ask(_users(300) + _users(300, **SPOOFED))
    assert answers == ["champion"] * 600
