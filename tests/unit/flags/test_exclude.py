"""Users with a property keep the champion: one condition more, and nothing else of the strategy."""

from typing import Any

import pytest

from flags.admin import UnleashAdmin
from flags.errors import FlagMissing, NotVerified
from flags.exclude import exclude, parse_condition
from tests.unit.flags.unleash import FakeUnleash, gradual

NO: dict[str, Any] = {"contextName": "country", "operator": "NOT_IN", "values": ["NO"]}
PRO: dict[str, Any] = {"contextName": "plan", "operator": "IN", "values": ["pro"]}


def constraints(unleash: FakeUnleash) -> list[dict[str, Any]]:
    (strategy,) = unleash.here()["strategies"]
    found: list[dict[str, Any]] = strategy["constraints"]
    return found


def test_a_condition_is_added_to_those_that_are_there(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(25, constraints=[PRO]))
    state = exclude(admin, "canary", [("country", "NO"), ("country", "SE")])
    assert constraints(unleash) == [PRO, NO | {"values": ["NO", "SE"]}]
    assert state.constraints == ("plan IN pro", "country NOT_IN NO, SE")
    assert (state.percent, state.enabled) == (25, True)


def test_doing_it_twice_is_doing_it_once(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(25))
    exclude(admin, "canary", [("country", "NO")])
    written = len(unleash.writes())
    exclude(admin, "canary", [("country", "NO"), ("country", "NO")])
    assert constraints(unleash) == [NO]
    assert len(unleash.writes()) == written


def test_an_inverted_condition_keeps_nobody_out(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(25, constraints=[NO | {"inverted": True}]))
    exclude(admin, "canary", [("country", "NO")])
    assert constraints(unleash)[1:] == [NO]


def test_a_property_that_unleash_does_not_know_is_made(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(25))
    exclude(admin, "canary", [("device", "phone")])
    assert "device" in unleash.context


def test_what_a_person_saves_in_the_same_moment_is_put_back(
    unleash: FakeUnleash, admin: UnleashAdmin
) -> None:
    unleash.add("canary", gradual(25))
    unleash.overwrite("strategies", lambda: unleash.save(parameters={"rollout": "5"}, title="slower"))
    exclude(admin, "canary", [("country", "NO")])
    (strategy,) = unleash.here()["strategies"]
    assert strategy["title"] == "slower"
    assert constraints(unleash) == [NO]


def test_a_condition_of_a_person_in_the_same_moment_stays(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(25))
    unleash.overwrite("strategies", lambda: unleash.save(constraints=[PRO]))
    exclude(admin, "canary", [("country", "NO")])
    assert constraints(unleash) == [NO, PRO]


def test_a_condition_that_is_not_there_afterwards_is_told(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(25))
    unleash.log("feature-strategy-add", "canary", "ada", "production", data=gradual(25, id="s1"))

    def lose(*_: Any) -> None:
        """Unleash takes the order and does nothing."""

    admin.add_constraint = lose  # type: ignore[assignment, method-assign]
    with pytest.raises(NotVerified, match="is not there after it was set"):
        exclude(admin, "canary", [("country", "NO")])


def test_a_missing_flag_is_told(admin: UnleashAdmin) -> None:
    with pytest.raises(FlagMissing):
        exclude(admin, "canary", [("country", "NO")])


@pytest.mark.parametrize("text", ["country", "=NO", "country=", ""])
def test_what_is_no_condition(text: str) -> None:
    with pytest.raises(ValueError, match="such as country=NO"):
        parse_condition(text)


def test_a_value_may_hold_an_equals_sign() -> None:
    assert parse_condition("plan=a=b") == ("plan", "a=b")
