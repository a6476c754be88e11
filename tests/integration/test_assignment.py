"""Who gets which model: sticky, growing only, of the right size, and following a product manager."""

import math
import time

import pytest

from flags.canary.share import set_share, turn_off, turn_on
from flags.unleash.admin import UnleashAdmin
from tests.integration.conftest import FLAG, SEEN_WITHIN_SECONDS, Service, wait_for

USERS = [f"user-{number}" for number in range(10_000)]
ASKED_AGAIN = 2_000
ASKED_OF_EVERY_WORKER = 100


def exposed(service: Service, admin: UnleashAdmin, percent: int) -> set[str]:
    """Those of USERS whom the challenger is for at `percent`."""
    set_share(admin, FLAG, percent)
    time.sleep(SEEN_WITHIN_SECONDS)
    return challenged(service)


def challenged(service: Service, users: list[str] = USERS) -> set[str]:
    """Those of `users` whom the challenger is for now."""
    answers = service.predict_all(users)
    # The challenger has the lowest priority: a machine that is busy with the tests may miss its deadline.
    fell_back = [answer for answer in answers if answer["reason"].startswith("fallback")]
    assert len(fell_back) <= 0.05 * len(answers)
    assert all(answer["model"] == answer["assigned"] for answer in answers if answer not in fell_back)
    return {user for user, answer in zip(users, answers, strict=True) if answer["assigned"] == "challenger"}


def test_ten_thousand_users_are_sticky_and_a_higher_share_only_adds(
    service: Service, admin: UnleashAdmin
) -> None:
    five = exposed(service, admin, 5)
    twenty_five = exposed(service, admin, 25)

    assert five < twenty_five
    for share, users in ((0.05, five), (0.25, twenty_five)):
        standard_error = math.sqrt(share * (1 - share) / len(USERS))
        assert abs(len(users) / len(USERS) - share) <= 4 * standard_error

    again = USERS[:ASKED_AGAIN]
    assert challenged(service, again) == twenty_five.intersection(again)
    for user in USERS[:ASKED_OF_EVERY_WORKER]:
        answers = service.by_worker(user)
        expected = "challenger" if user in twenty_five else "champion"
        assert {answer["assigned"] for answer in answers.values()} == {expected}


@pytest.mark.parametrize("percent", [100, 0])
def test_every_worker_follows_a_change_of_the_share(
    service: Service, admin: UnleashAdmin, percent: int
) -> None:
    wanted, before = ("challenger", 0) if percent else ("champion", 100)
    set_share(admin, FLAG, before)
    wait_for(lambda: not service.all_say("u", wanted), 10, "the share before")
    set_share(admin, FLAG, percent)
    wait_for(lambda: service.all_say("u", wanted), SEEN_WITHIN_SECONDS, f"{wanted} on every worker")


def test_every_worker_follows_off_and_on(service: Service, admin: UnleashAdmin) -> None:
    set_share(admin, FLAG, 100)
    wait_for(lambda: service.all_say("u", "challenger"), SEEN_WITHIN_SECONDS, "on")
    turn_off(admin, FLAG)
    wait_for(lambda: service.all_say("u", "champion"), SEEN_WITHIN_SECONDS, "off")
    turn_on(admin, FLAG)
    wait_for(lambda: service.all_say("u", "challenger"), SEEN_WITHIN_SECONDS, "on again")
