"""The operations on a canary, in every state that a person can bring a flag into."""

from datetime import UTC, datetime
from typing import Any

import pytest

from flags.canary.share import read_state, set_share, turn_off, turn_on
from flags.canary.state import CanaryState
from flags.unleash.admin import UnleashAdmin
from flags.unleash.errors import (
    ChangedMeanwhile,
    EnvironmentMissing,
    FlagArchived,
    FlagError,
    FlagMissing,
    Forbidden,
    NotVerified,
    ServerFault,
    StickinessUnsafe,
    StrategyAmbiguous,
    StrategyDisabled,
    StrategyMissing,
    Unreachable,
)
from tests.unit.flags.conftest import QUICK, TOKEN
from tests.unit.flags.fake_unleash import FakeUnleash, error, gradual
from tests.unit.flags.server import Answer

DEFAULT = {"name": "default", "disabled": False, "parameters": {}}
NO_SHARE = [
    pytest.param([], StrategyMissing, "add one in the Unleash UI, or run `./canario apply`", id="none"),
    pytest.param([DEFAULT], StrategyMissing, "only default: replace that", id="another kind"),
    pytest.param([gradual(5), DEFAULT], StrategyAmbiguous, "(flexibleRollout 5%, default)", id="two kinds"),
    pytest.param([gradual(5), gradual(50)], StrategyAmbiguous, "keep one in the Unleash UI", id="two shares"),
    pytest.param(
        [gradual(5, disabled=True), gradual(50, disabled=True)],
        StrategyAmbiguous,
        "has 2 strategies",
        id="two disabled shares",
    ),
]


def set_5(admin: UnleashAdmin, flag: str) -> CanaryState:
    return set_share(admin, flag, 5)


def test_a_state_tells_all_that_matters(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    country = {"contextName": "country", "operator": "IN", "values": ["NO"]}
    unleash.add("canary", gradual(25, constraints=[country], segments=[3], variants=[{"name": "a"}]))
    assert read_state(admin, "canary") == CanaryState(
        flag="canary",
        environment="production",
        exists=True,
        archived=False,
        enabled=True,
        percent=25,
        stickiness="userId",
        strategies=1,
        constraints=("country IN NO",),
        segments=(3,),
        variants=1,
        trouble=None,
        changed_by="ada",
        changed_at=datetime(2026, 11, 23, 6, 0, 2, tzinfo=UTC),
        change="feature-environment-enabled",
        change_in_words="turned on",
        revision=2,
    )


def test_a_state_as_json_has_the_time_as_text(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(25))
    shown = read_state(admin, "canary").as_json()
    assert shown["changed_at"] == "2026-11-23T06:00:02+00:00"
    assert shown["exposed"] is True
    assert read_state(admin, "other").as_json()["changed_at"] is None


def test_a_missing_flag_is_a_state_and_nothing_to_act_on(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    state = read_state(admin, "canary")
    assert (state.exists, state.archived, state.enabled, state.percent) == (False, False, False, None)
    assert not state.exposed
    for act in (set_5, turn_on):
        with pytest.raises(FlagMissing, match=r"no flag canary.*`./canario apply`"):
            act(admin, "canary")
    assert unleash.writes() == []
    with pytest.raises(FlagMissing, match="every user gets the champion"):
        turn_off(admin, "canary")


def test_an_archived_flag_is_told_from_a_missing_one(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(25))
    unleash.archive["canary"] = unleash.flags.pop("canary")
    unleash.log("feature-archived", "canary", "ada")
    state = read_state(admin, "canary")
    assert (state.exists, state.archived, state.change) == (False, True, "feature-archived")
    for act in (set_5, turn_on):
        with pytest.raises(FlagArchived, match="revive it in the Unleash UI"):
            act(admin, "canary")
    assert unleash.writes() == []  # a patch of an archived flag's strategy would have been taken
    with pytest.raises(FlagArchived):
        turn_off(admin, "canary")


def test_a_flag_deleted_from_the_archive_is_missing(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.log("feature-archived", "canary", "ada")
    unleash.log("feature-deleted", "canary", "eve")
    state = read_state(admin, "canary")
    assert (state.exists, state.archived, state.changed_by) == (False, False, "eve")


@pytest.mark.parametrize(("strategies", "kind", "sentence"), NO_SHARE)
def test_without_one_share_nothing_is_set_and_off_still_works(
    unleash: FakeUnleash,
    admin: UnleashAdmin,
    strategies: list[dict[str, Any]],
    kind: type[FlagError],
    sentence: str,
) -> None:
    unleash.add("canary", *strategies)
    state = read_state(admin, "canary")
    assert (state.percent, state.strategies, state.exposed) == (None, len(strategies), True)
    assert sentence in str(state.trouble)
    with pytest.raises(kind) as caught:
        set_share(admin, "canary", 5)
    assert str(caught.value) == state.trouble
    assert unleash.writes() == []
    assert not turn_off(admin, "canary").enabled


@pytest.mark.parametrize("others", [[{**DEFAULT, "disabled": True}], [gradual(50, disabled=True)]])
def test_disabled_strategies_beside_the_one_do_not_count(
    unleash: FakeUnleash, admin: UnleashAdmin, others: list[dict[str, Any]]
) -> None:
    unleash.add("canary", *others, gradual(5))
    assert set_share(admin, "canary", 10).percent == 10


def test_a_disabled_strategy_stays_disabled(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(7, disabled=True), enabled=False)
    state = read_state(admin, "canary")
    assert (state.percent, "is disabled: enable it" in str(state.trouble)) == (7, True)
    for act in (set_5, turn_on):
        with pytest.raises(StrategyDisabled, match="in the Unleash UI"):
            act(admin, "canary")
    assert unleash.writes() == []


@pytest.mark.parametrize("stickiness", ["random", "default", "sessionId", None])
def test_a_share_is_not_raised_where_users_would_flap(
    unleash: FakeUnleash, admin: UnleashAdmin, stickiness: str | None
) -> None:
    unleash.add("canary", gradual(5, parameters={"stickiness": stickiness}))
    assert "`./canario apply`" in str(read_state(admin, "canary").trouble)
    with pytest.raises(StickinessUnsafe, match="instead of userId"):
        set_share(admin, "canary", 10)
    assert unleash.rollout() == "5"
    assert set_share(admin, "canary", 0).percent == 0


@pytest.mark.parametrize("rollout", ["abc", "150", "5.5", ""])
def test_an_unreadable_share_is_trouble_that_setting_one_cures(
    unleash: FakeUnleash, admin: UnleashAdmin, rollout: str
) -> None:
    unleash.add("canary", gradual(rollout))
    state = read_state(admin, "canary")
    assert (state.percent, state.exposed) == (None, True)
    assert f"is {rollout!r}, no whole number from 0 to 100" in str(state.trouble)
    assert set_share(admin, "canary", 5).trouble is None


def test_setting_a_share_changes_the_share_alone_and_reads_it_back(
    unleash: FakeUnleash, admin: UnleashAdmin
) -> None:
    unleash.add("canary", gradual(5, segments=[3]))
    state = set_share(admin, "canary", 25)
    assert unleash.writes() == [("PATCH", "s1")]
    assert (state.percent, state.enabled, state.segments) == (25, True, (3,))
    assert (state.changed_by, state.change) == ("canario-flags", "feature-strategy-update")


def test_setting_the_share_that_is_writes_nothing(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(5))
    assert set_share(admin, "canary", 5).changed_by == "ada"
    assert unleash.writes() == []


@pytest.mark.parametrize(
    ("percent", "enable", "switched"),
    [(25, True, [("POST", "on")]), (25, False, []), (0, True, [])],
    ids=["turns on", "told not to", "zero leaves it off"],
)
def test_a_share_over_0_turns_the_flag_on(
    unleash: FakeUnleash, admin: UnleashAdmin, percent: int, enable: bool, switched: list[tuple[str, str]]
) -> None:
    unleash.add("canary", gradual(5), enabled=False)
    state = set_share(admin, "canary", percent, enable=enable)
    assert unleash.writes() == [("PATCH", "s1"), *switched]
    assert (state.percent, state.enabled) == (percent, bool(switched))


def test_zero_keeps_the_flag_on(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(5))
    state = set_share(admin, "canary", 0)
    assert (state.percent, state.enabled, state.exposed) == (0, True, False)


@pytest.mark.parametrize("percent", [-1, 101, True, 5.0, "5", None])
def test_what_is_no_share_is_refused_before_any_call(
    unleash: FakeUnleash, admin: UnleashAdmin, percent: Any
) -> None:
    with pytest.raises(ValueError, match="from 0 to 100"):
        set_share(admin, "canary", percent)
    assert unleash.calls == []


def test_the_last_write_wins_unless_a_value_is_expected(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(5))

    def a_person_sets_0() -> None:
        unleash.here()["strategies"][0]["parameters"]["rollout"] = "0"

    unleash.just_before("PATCH", "s1", a_person_sets_0)
    with pytest.raises(ChangedMeanwhile, match="Nothing was overwritten"):
        set_share(admin, "canary", 25, expect=5)
    assert unleash.rollout() == "0"
    unleash.just_before("PATCH", "s1", a_person_sets_0)
    assert set_share(admin, "canary", 25).percent == 25


def test_another_share_than_expected_is_told_with_who_set_it(
    unleash: FakeUnleash, admin: UnleashAdmin
) -> None:
    unleash.add("canary", gradual(5))
    unleash.log("feature-strategy-update", "canary", "eve", "production")
    with pytest.raises(
        ChangedMeanwhile, match=r"is 5%, not 10% \(last change: .* by eve at 2026-11-23 06:00:03"
    ):
        set_share(admin, "canary", 25, expect=10)
    assert unleash.writes() == []
    assert set_share(admin, "canary", 25, expect=5).percent == 25


def test_what_somebody_else_sets_right_after_is_what_is_answered(
    unleash: FakeUnleash, admin: UnleashAdmin
) -> None:
    unleash.add("canary", gradual(5))

    def a_person_sets_7() -> None:
        if unleash.rollout() == "25":
            unleash.here()["strategies"][0]["parameters"]["rollout"] = "7"
        else:
            unleash.just_before("GET", "features/canary", a_person_sets_7)

    unleash.just_before("GET", "features/canary", a_person_sets_7)
    assert set_share(admin, "canary", 25).percent == 7


def test_turning_on_with_the_strategies_there_are(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(5), DEFAULT, enabled=False)
    assert turn_on(admin, "canary").enabled
    assert len(unleash.here()["strategies"]) == 2


def test_turning_on_what_is_on_writes_nothing(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(5))
    assert turn_on(admin, "canary").enabled
    assert unleash.writes() == []


@pytest.mark.parametrize(
    ("strategies", "kind"),
    [([], StrategyMissing), ([gradual(5, disabled=True), {**DEFAULT, "disabled": True}], StrategyDisabled)],
)
def test_a_flag_without_active_strategies_is_not_turned_on(
    unleash: FakeUnleash, admin: UnleashAdmin, strategies: list[dict[str, Any]], kind: type[FlagError]
) -> None:
    unleash.add("canary", *strategies, enabled=False)
    with pytest.raises(kind, match="Unleash would add one for all users"):
        turn_on(admin, "canary")
    assert unleash.writes() == []


@pytest.mark.parametrize("how", ["deleted", "disabled"])
@pytest.mark.parametrize("act", ["turn_on", "set_share"])
def test_strategies_that_go_while_it_is_turned_on_leave_it_off(
    unleash: FakeUnleash, admin: UnleashAdmin, how: str, act: str
) -> None:
    unleash.add("canary", gradual(5), enabled=False)

    def a_person_takes_it_away() -> None:
        if how == "deleted":
            unleash.here()["strategies"].clear()
        else:
            unleash.here()["strategies"][0]["disabled"] = True

    unleash.just_before("POST", "/on", a_person_takes_it_away)
    with pytest.raises(ChangedMeanwhile, match="it is off again"):
        turn_on(admin, "canary") if act == "turn_on" else set_share(admin, "canary", 10)
    assert not unleash.here()["enabled"]


def test_turning_off_is_sent_first_and_verified(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(25))
    state = turn_off(admin, "canary")
    assert [call.method for call in unleash.calls] == ["POST", *["GET"] * 3]
    assert (state.enabled, state.percent, state.exposed) == (False, 25, False)
    assert (state.changed_by, state.change) == ("canario-flags", "feature-environment-disabled")


def test_turning_off_twice_is_no_fault(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(25))
    first, second = turn_off(admin, "canary"), turn_off(admin, "canary")
    assert first == second


def test_a_flag_that_is_on_after_turning_off_is_an_alarm(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(25))
    unleash.fail("POST", "/off", Answer())  # taken, and not done
    with pytest.raises(NotVerified, match=r"still says it is on \(last change: .* by ada"):
        turn_off(admin, "canary")


def test_turning_off_is_tried_again_after_a_fault(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(25))
    unleash.fail("POST", "/off", error(500, "a moment"), Answer(cut=True))
    assert not turn_off(admin, "canary").enabled


def test_a_fault_that_stays_is_told(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(25))
    unleash.fail("POST", "/off", *[error(500, "no database")] * 3)
    with pytest.raises(ServerFault, match="no database"):
        turn_off(admin, "canary")
    unleash.fail("GET", "features/canary", *[Answer(cut=True)] * 2)
    with pytest.raises(Unreachable):  # off, and not verified: no state is made up
        turn_off(admin, "canary")


def test_an_event_log_that_cannot_be_read_does_not_undo_a_rollback(
    unleash: FakeUnleash, admin: UnleashAdmin, caplog: pytest.LogCaptureFixture
) -> None:
    unleash.add("canary", gradual(25))
    unleash.fail("GET", "search/events", *[error(500, "log is away")] * 3)
    state = turn_off(admin, "canary")
    assert (state.enabled, state.changed_by, state.changed_at, state.change) == (False, None, None, None)
    assert "log is away" in caplog.text
    unleash.fail("GET", "search/events", *[error(500, "log is away")] * 3)
    with pytest.raises(ServerFault):
        read_state(admin, "canary")


def test_a_missing_environment_is_named_with_those_there_are(unleash: FakeUnleash) -> None:
    unleash.add("canary", gradual(25))
    admin = UnleashAdmin(unleash.url, TOKEN, environment="prod", timeouts=QUICK)
    for act in (read_state, turn_off, turn_on):
        with pytest.raises(EnvironmentMissing, match="no environment prod, only development, production"):
            act(admin, "canary")


def test_a_user_who_may_not_is_told_so(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(25))
    unleash.fail("POST", "/off", error(403, 'you need the "UPDATE_FEATURE_ENVIRONMENT" permission.'))
    with pytest.raises(Forbidden, match=r"UPDATE_FEATURE_ENVIRONMENT.*0003-unleash-roles\.md"):
        turn_off(admin, "canary")
