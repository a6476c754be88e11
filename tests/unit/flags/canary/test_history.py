"""The replay of the event log, and what people's changes leave to automation, as tables."""

from datetime import timedelta

import pytest

from flags.canary.history import Hold, held
from flags.unleash.models import EnvironmentState
from tests.unit.flags.fake_unleash import gradual
from tests.unit.flags.histories import (
    BEGAN,
    CLI,
    JOB,
    PERSON,
    Line,
    add,
    changes,
    life,
    off,
    on,
    remove,
    share,
    tag,
)

START = (life(CLI, "created"), add(CLI, 0), on(CLI), share(CLI, 0, 25))


@pytest.mark.parametrize(
    ("lines", "limit"),
    [
        pytest.param([], None, id="automation alone"),
        pytest.param([share(PERSON, 25, 5)], 5, id="lowered"),
        pytest.param([share(PERSON, 25, 0)], 0, id="to 0"),
        pytest.param([share(PERSON, 25, 50)], None, id="raised"),
        pytest.param([share(PERSON, 25, 5), share(PERSON, 5, 3)], 3, id="lowered twice"),
        pytest.param([share(PERSON, 25, 5), share("eve", 5, 6)], None, id="another person raises"),
        pytest.param([share(PERSON, 25, 5), share(CLI, 5, 6)], 5, id="automation raises all the same"),
        pytest.param([share(PERSON, 25, 5), tag(PERSON)], None, id="resumed in the UI"),
        pytest.param([share(PERSON, 25, 5), tag(CLI)], None, id="resumed by the command line"),
        pytest.param([share(PERSON, 25, 5), tag(CLI, "canario-quarantine")], 5, id="another mark"),
        pytest.param([share(PERSON, 25, 5), tag(PERSON, "canario-lift")], 5, id="lifted: another matter"),
        pytest.param([tag(PERSON), share(PERSON, 25, 5)], 5, id="resumed before"),
        pytest.param([off(PERSON)], 0, id="off"),
        pytest.param([off(PERSON), on(PERSON)], None, id="off and on"),
        pytest.param([off(PERSON), on(CLI)], 0, id="automation turns it on all the same"),
        pytest.param([off(PERSON), share(PERSON, 25, 50)], 0, id="raised while off: nobody gets more"),
        pytest.param([off(PERSON), share(PERSON, 25, 50), on(PERSON)], None, id="raised and on"),
        pytest.param([off(JOB)], None, id="a rollback is for the quarantine"),
        pytest.param([share(PERSON, 25, 5), off(JOB)], 5, id="a rollback ends no hold"),
        pytest.param([off(CLI)], 0, id="off by the command line is a person's order"),
        pytest.param([off("canario-service")], 0, id="off by the admin routes, too"),
        pytest.param([off(PERSON), remove(PERSON, 25)], 0, id="the last strategy deleted"),
        pytest.param([remove(PERSON, 25)], 0, id="deleted while on"),
        pytest.param([share(PERSON, 25, 25, disabled=True), off(PERSON)], 0, id="disabled"),
        pytest.param([life(PERSON, "archived")], 0, id="archived"),
        pytest.param([life(PERSON, "archived"), life(PERSON, "revived")], 0, id="revived is off"),
        pytest.param(
            [life(PERSON, "deleted"), life(CLI, "created"), add(CLI, 5), on(CLI)], 0, id="made again"
        ),
        pytest.param(
            [share(PERSON, 25, 25, constraints=[{"contextName": "a", "operator": "IN"}])], None, id="narrowed"
        ),
        pytest.param([add(PERSON, 50, "s2"), remove(PERSON, 50, "s2")], 25, id="a second one came and went"),
        pytest.param(
            [(PERSON, "feature-strategy-add", {"id": "s2", "name": "default"}, None), off(PERSON)],
            0,
            id="one for everybody",
        ),
        pytest.param([share(PERSON, 25, "abc")], None, id="unreadable counts as all"),
        pytest.param([share(PERSON, 25, "abc"), share(PERSON, "abc", 25)], 25, id="readable again"),
    ],
)
def test_automation_never_raises_what_a_person_lowered(lines: list[Line], limit: int | None) -> None:
    found = held(changes(*START, *lines))
    assert (found.limit if found else None) == limit


def test_a_hold_tells_who_when_and_how() -> None:
    found = held(changes(*START, share(PERSON, 25, 5), share(CLI, 5, 3, constraints=[])))
    assert found == Hold(3, CLI, BEGAN + timedelta(minutes=5), "share 5% -> 3%")
    assert found.refusal(3) is None
    assert found.refusal(4) == (
        "canario-flags lowered it at 2026-11-23 06:05:00 UTC (share 5% -> 3%), so it stays at 3% at most"
        ' until a person raises it, or says `./canario rollout resume --reason "..."`'
    )


def test_another_environment_holds_nothing_here() -> None:
    lines = (*START, add(PERSON, 50, "d1"), on(PERSON), off(PERSON))
    assert held(changes(*lines, other=(4, 5, 6))) is None


def test_shares_before_and_after() -> None:
    told = changes(*START, off(PERSON), share(PERSON, 25, 5), on(PERSON), add(PERSON, 7, "s2"))
    assert [(one.before.share, one.after.share) for one in told] == [
        (None, None),
        (None, 0),
        (0, 0),
        (0, 25),
        (25, 25),
        (25, 5),
        (5, 5),
        (5, None),
    ]
    assert [one.after.reach for one in told] == [0, 0, 0, 25, 0, 0, 5, 7]
    assert [one.after.on for one in told] == [False, False, True, True, False, False, True, True]
    assert [one.is_automation for one in told[-5:]] == [True, False, False, False, False]


@pytest.mark.parametrize("enabled", [True, False])
def test_a_log_that_was_cut_is_read_from_the_flag_as_it_is(enabled: bool) -> None:
    now = EnvironmentState.model_validate(
        {"name": "production", "enabled": enabled, "strategies": [gradual(5, id="s1")]}
    )
    (only,) = changes(share(PERSON, 25, 5), now=now)
    assert (only.before.reach, only.after.reach) == ((25, 5) if enabled else (0, 0))
    first, _ = changes(on(PERSON), off(PERSON), now=now)
    assert (first.before.reach, first.after.reach) == (0, 5)
    (gone,) = changes(remove(PERSON, 25), now=None)
    assert gone.before.share == 25
