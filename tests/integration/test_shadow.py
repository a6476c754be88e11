"""Shadow at 100% on the real servers: the challenger sees every request, and nobody sees the challenger."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.names import Metric
from flags.canary.share import set_share, turn_on
from flags.unleash.admin import UnleashAdmin
from service.metrics.models import DROPS, FAILURES
from stack.api import Stack
from tests.integration.conftest import SEEN_WITHIN_SECONDS, Service, wait_for
from tests.integration.own_service import OwnService, own_service

SHADOW = "shadow"
REQUESTS = 2000


@pytest.fixture
def own(stack: Stack, service: Service, admin: UnleashAdmin, tmp_path: Path) -> Iterator[OwnService]:
    """A service with one worker, with shadow at 100% and the canary at 0%."""
    set_share(admin, SHADOW, 100)
    turn_on(admin, SHADOW)
    with own_service(stack, tmp_path / "own") as running:
        wait_for(lambda: shadowed(running), 10, "shadow at 100%")
        yield running
    set_share(admin, SHADOW, 0)


def shadowed(service: OwnService) -> bool:
    before = service.metric(Metric.SHADOW_SAMPLES)
    service.predict("anyone")
    try:
        wait_for(lambda: service.metric(Metric.SHADOW_SAMPLES) > before, 1, "a sample")
    except pytest.fail.Exception:
        return False
    return True


def lost(service: OwnService) -> float:
    return sum(
        service.metric(f'{name}{{reason="{reason}"}}')
        for name, reasons in ((Metric.SHADOW_DROPS, DROPS), (Metric.SHADOW_ERRORS, FAILURES))
        for reason in reasons
    )


def test_every_request_is_shadowed_and_answered_by_the_champion(own: OwnService) -> None:
    before = own.metric(Metric.SHADOW_SAMPLES)
    answers = own.predict_all([f"user-{number}" for number in range(REQUESTS)])
    assert {(answer["model"], answer["reason"]) for answer in answers} == {("champion", "flag_off")}
    wait_for(lambda: own.metric(Metric.SHADOW_SAMPLES) == before + REQUESTS, 10, "all samples")
    assert lost(own) == 0
    # All requests have the same row, about which the models agree or do not.
    assert own.metric(Metric.SHADOW_AGREEMENTS) in (0, own.metric(Metric.SHADOW_SAMPLES))
    # Guardrails see none of it.
    assert own.metric(f'{Metric.CALLS}{{model="challenger"}}') == 0
    assert own.metric(f'{Metric.LATENCY}_count{{model="challenger"}}') == 0


def test_a_canary_user_is_not_shadowed_and_the_others_are(own: OwnService, admin: UnleashAdmin) -> None:
    set_share(admin, "canary", 50)
    users = [f"user-{number}" for number in range(200)]
    wait_for(
        lambda: any(answer["assigned"] == "challenger" for answer in own.predict_all(users)),
        SEEN_WITHIN_SECONDS,
        "a canary",
    )
    settle(own)
    before = own.metric(Metric.SHADOW_SAMPLES)
    answers = own.predict_all(users)
    champions = sum(answer["assigned"] == "champion" for answer in answers)
    assert 50 < champions < 150
    wait_for(lambda: own.metric(Metric.SHADOW_SAMPLES) >= before + champions, 10, "all samples")
    settle(own)
    assert own.metric(Metric.SHADOW_SAMPLES) == before + champions
    assert lost(own) == 0


def settle(service: OwnService) -> None:
    """Wait until no sample waits any more: nothing new came for longer than the linger."""
    seen = -1.0

    def same() -> bool:
        nonlocal seen
        last, seen = seen, service.metric(Metric.SHADOW_SAMPLES)
        if last != seen:
            time.sleep(0.6)
        return last == seen

    wait_for(same, 10, "an empty queue")
