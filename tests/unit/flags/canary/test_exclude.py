"""Users who are kept with the champion by a constraint, and let in again."""

from typing import Any

import pytest

from flags.canary import history
from flags.canary.exclude import ExcludedUsers, exclude, include, parse_users
from flags.canary.marks import quarantine
from flags.unleash.admin import UnleashAdmin
from flags.unleash.errors import (
    AdminError,
    ChangedMeanwhile,
    FlagArchived,
    FlagMissing,
    Quarantined,
    StickinessUnsafe,
    StrategyAmbiguous,
    StrategyDisabled,
)
from tests.unit.flags.fake_unleash import FakeUnleash, error, gradual

NORWAY, SWEDEN, FREE = (
    ExcludedUsers("country", "NO"),
    ExcludedUsers("country", "SE"),
    ExcludedUsers("plan", "free"),
)
PLAN = {"contextName": "plan", "operator": "IN", "values": ["pro"], "mine": 1}


def not_in(*values: str, name: str = "country") -> dict[str, Any]:
    return {
        "contextName": name,
        "operator": "NOT_IN",
        "values": [*values],
        "caseInsensitive": False,
        "inverted": False,
    }


def constraints(unleash: FakeUnleash) -> list[dict[str, Any]]:
    (strategy,) = unleash.here()["strategies"]
    return list(strategy["constraints"])


@pytest.mark.parametrize("text", ["country", "=NO", "country=", "country= ", "my country=NO", ""])
def test_what_names_no_users(text: str) -> None:
    with pytest.raises(ValueError, match="no property and value such as country=NO"):
        parse_users(text)


def test_users_are_told_by_property_and_value() -> None:
    assert parse_users("country=NO") == NORWAY
    assert parse_users("plan= a=b ") == ExcludedUsers("plan", "a=b")


def test_the_state_tells_who_is_kept_out(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    inverted = {"contextName": "plan", "operator": "IN", "values": ["free"], "inverted": True}
    unleash.add("canary", gradual(25, id="s", constraints=[PLAN, inverted]))
    assert exclude(admin, "canary", [NORWAY, SWEDEN]).kept_out == (str(FREE), str(NORWAY), str(SWEDEN))


def test_out_and_in_again(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(25, id="s", constraints=[PLAN]))
    state = exclude(admin, "canary", [NORWAY])
    assert state.constraints == ("plan IN pro", "country NOT_IN NO")
    assert (state.percent, state.enabled) == (25, True)
    assert constraints(unleash) == [PLAN, not_in("NO")]  # what others wrote stays, to the letter
    assert unleash.writes() == [("PATCH", "s")]
    (patch,) = [call.body for call in unleash.calls if call.method == "PATCH"]
    assert patch[0] == {"op": "test", "path": "/constraints", "value": [PLAN]}
    assert include(admin, "canary", [NORWAY]).constraints == ("plan IN pro",)
    assert constraints(unleash) == [PLAN]


def test_twice_is_as_once(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(25, id="s"))
    for _ in range(2):
        exclude(admin, "canary", [NORWAY, NORWAY])
    assert constraints(unleash) == [not_in("NO")]
    for _ in range(2):
        include(admin, "canary", [NORWAY])
    assert constraints(unleash) == []
    assert unleash.writes() == [("PATCH", "s")] * 2


def test_values_of_one_property_share_a_list(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(25, id="s"))
    exclude(admin, "canary", [NORWAY])
    exclude(admin, "canary", [SWEDEN, FREE])
    assert constraints(unleash) == [not_in("NO", "SE"), not_in("free", name="plan")]
    include(admin, "canary", [NORWAY, FREE])
    assert constraints(unleash) == [not_in("SE")]


def test_what_a_person_wrote_in_the_ui_counts(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    theirs = {"contextName": "country", "operator": "IN", "values": ["NO"], "inverted": True, "value": ""}
    unleash.add("canary", gradual(25, id="s", constraints=[theirs]))
    exclude(admin, "canary", [NORWAY])
    assert unleash.writes() == []
    exclude(admin, "canary", [SWEDEN])
    assert constraints(unleash) == [theirs | {"values": ["NO", "SE"]}]
    include(admin, "canary", [NORWAY])
    assert constraints(unleash) == [theirs | {"values": ["SE"]}]


def test_a_property_that_unleash_does_not_know_is_made_known_first(
    unleash: FakeUnleash, admin: UnleashAdmin
) -> None:
    unleash.add("canary", gradual(25, id="s"))
    exclude(admin, "canary", [FREE, ExcludedUsers("plan", "trial"), NORWAY])
    assert unleash.context == {"userId", "country", "plan"}
    assert unleash.writes() == [("POST", "context"), ("PATCH", "s")]


def test_to_exclude_is_no_raise_and_to_include_is_one(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(25, id="s"))
    quarantine(admin, "canary", "2.0 abc")
    exclude(admin, "canary", [NORWAY])
    for version in ("2.0 abc", None):
        with pytest.raises(Quarantined):
            include(admin, "canary", [NORWAY], version=version)
    assert constraints(unleash) == [not_in("NO")]
    include(admin, "canary", [NORWAY], version="2.1 def")
    exclude(admin, "canary", [NORWAY])
    include(admin, "canary", [NORWAY], version="2.0 abc", override="it is mended")
    assert constraints(unleash) == []
    assert {"type": "canario-resume", "value": "it is mended"} in unleash.tags["canary"]


def test_at_no_share_nobody_is_let_in(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(0, id="s", constraints=[not_in("NO")]))
    quarantine(admin, "canary", "2.0 abc")
    assert include(admin, "canary", [NORWAY]).constraints == ()


@pytest.mark.parametrize(
    ("changes", "refused"),
    [({"disabled": True}, StrategyDisabled), ({"parameters": {"stickiness": "random"}}, StickinessUnsafe)],
)
def test_an_odd_strategy_can_be_narrowed_and_not_widened(
    unleash: FakeUnleash, admin: UnleashAdmin, changes: dict[str, Any], refused: type[Exception]
) -> None:
    unleash.add("canary", gradual(25, id="s", **changes))
    exclude(admin, "canary", [NORWAY])
    with pytest.raises(refused):
        include(admin, "canary", [NORWAY])
    assert constraints(unleash) == [not_in("NO")]


def test_flags_that_need_a_person(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    with pytest.raises(FlagMissing):
        exclude(admin, "canary", [NORWAY])
    unleash.add("canary", gradual(25), gradual(5))
    with pytest.raises(StrategyAmbiguous):
        exclude(admin, "canary", [NORWAY])
    unleash.archive["canary"] = unleash.flags.pop("canary")
    unleash.log("feature-archived", "canary", "ada")
    with pytest.raises(FlagArchived):
        include(admin, "canary", [NORWAY])
    assert unleash.writes() == []


def test_who_was_faster_stays(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(25, id="s"))
    unleash.just_before("PATCH", "strategies/s", lambda: unleash.save(constraints=[PLAN]))
    with pytest.raises(ChangedMeanwhile, match="changed in the meantime"):
        exclude(admin, "canary", [NORWAY])
    assert constraints(unleash) == [PLAN]
    exclude(admin, "canary", [NORWAY])
    assert constraints(unleash) == [PLAN, not_in("NO")]


def test_what_unleash_overwrote_comes_back(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(25, id="s"))
    unleash.overwrite("strategies/s", lambda: unleash.save(parameters={"rollout": "5"}, title="slower"))
    state = exclude(admin, "canary", [NORWAY])
    assert (state.percent, state.constraints) == (5, ("country NOT_IN NO",))
    assert unleash.here()["strategies"][0]["title"] == "slower"
    unleash.overwrite("strategies/s", lambda: unleash.save(constraints=[PLAN]))
    exclude(admin, "canary", [SWEDEN])  # and she had just replaced the constraint by another
    assert constraints(unleash) == [not_in("NO", "SE"), PLAN]


def test_who_narrows_in_the_same_moment_keeps_users_out(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(25, id="s", constraints=[not_in("NO")]))
    unleash.overwrite("strategies/s", lambda: unleash.save(constraints=[not_in("NO", "SE")]))
    with pytest.raises(ChangedMeanwhile, match="still keep country=NO out: somebody"):
        include(admin, "canary", [NORWAY])
    assert constraints(unleash) == [not_in("NO", "SE")]


def test_somebody_undoes_it_at_once(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(25, id="s"))

    def before_the_last_look() -> None:
        unleash.just_before("GET", "default/features/canary", lambda: unleash.save(constraints=[]))

    unleash.just_before("GET", "/context", before_the_last_look)
    with pytest.raises(ChangedMeanwhile, match="of canary in production do not keep country=NO out"):
        exclude(admin, "canary", [NORWAY])


def test_the_history_tells_it_plainly(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(25, id="s"))
    unleash.save(parameters={"rollout": "20"})
    exclude(admin, "canary", [NORWAY])
    include(admin, "canary", [NORWAY])
    told = [change.words for change in history.history(admin, "canary")]
    assert told[-2:] == ["constraint country NOT_IN NO added", "constraint country NOT_IN NO removed"]


def test_a_fault_of_unleash_is_told(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(25, id="s"))
    unleash.fail("PATCH", "strategies/s", error(500, "out of order"))
    with pytest.raises(AdminError, match="out of order"):
        exclude(admin, "canary", [NORWAY])
