"""What a rollout needs, as a table of situations, and who stands on top."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from board.facts import Facts
from board.overview import broken, overview, row
from board.watch import Reading
from common.measured import Measured
from tests.unit.board.conftest import ROLLED_BACK
from tests.unit.board.scenes import DOWN, facts, numbers
from tests.unit.flags.rollout.scenes import GOOD, NOW, PERSON, PLAN, PLAN_JOB, VERSION, at, flag, share

BY_HAND = PLAN.model_copy(update={"begin": "by_hand"})


def judged(verdict: str, **fields: Any) -> Facts:
    return facts(at(1), told=numbers(replace(GOOD, guardrails=(Measured("errors", verdict),), **fields)))


@pytest.mark.parametrize(
    ("known", "state", "needs_person", "tone", "guards"),
    [
        (judged("ok"), "under way", False, "good", "all fine"),
        (judged("no data"), "under way", False, "wait", "too few calls"),
        (judged("breach"), "breached", True, "bad", "errors breached"),
        (judged("cannot measure"), "cannot measure", True, "bad", "errors not measured"),
        (judged("ok", last_pass=None), "not guarded", True, "bad", "not known"),
        (facts(at(1), numbers=Reading(numbers(), NOW, DOWN)), "cannot measure", True, "bad", "not known"),
        (facts(at(1), numbers=Reading()), "being asked", False, "plain", "not known"),
        (facts(ROLLED_BACK), "rolled back", True, "bad", "breached"),
        (
            facts(at(0, quarantined=(VERSION,), shadow=flag(0))),
            "blocked",
            True,
            "wait",
            "nothing to judge",
        ),
        (facts(at(1, paused=("lunch",))), "paused", True, "wait", "1 of 2 fine"),
        (
            facts(at(1, share(PLAN_JOB, 0, 5), share(PERSON, 5, 1))),
            "held",
            True,
            "wait",
            "1 of 2 fine",
        ),
        (facts(at(5)), "needs approval", True, "wait", "1 of 2 fine"),
        (facts(at(0, shadow=flag(0)), plan=BY_HAND), "needs approval", True, "wait", "nothing to judge"),
        (
            facts(at(1), told=numbers(now={})),
            "plan's job silent",
            True,
            "wait",
            "1 of 2 fine",
        ),
        (facts(at(1, trouble="two strategies")), "flag needs a person", True, "bad", "1 of 2 fine"),
        (
            facts(at(1, lease_until=NOW - timedelta(minutes=1))),
            "safety timeout over",
            True,
            "bad",
            "1 of 2 fine",
        ),
        (facts(at(0)), "shadow", False, "plain", "nothing to judge"),
        (facts(at(0, shadow=flag(0))), "not begun", False, "plain", "nothing to judge"),
        (
            facts(at(100), plan=PLAN.model_copy(update={"promote": "by_hand"})),
            "to be promoted",
            True,
            "wait",
            "1 of 2 fine",
        ),
        (facts(unleash=Reading()), "being asked", False, "plain", "not known"),
        (facts(unleash=Reading(None, None, "refused")), "not known", True, "bad", "not known"),
        (facts(unleash=Reading(at(1), NOW, "refused")), "not known", True, "bad", "1 of 2 fine"),
    ],
)
def test_what_it_needs(known: Facts, state: str, needs_person: bool, tone: str, guards: str) -> None:
    found = row(known)
    assert (found.state, found.needs_person, found.tone, found.guards) == (state, needs_person, tone, guards)


def test_a_file_that_broke_is_told_beside_what_it_said_before() -> None:
    found = row(facts(at(1), name="ranker", file_fault="x/rollout.yaml:3: flag: no\nx/rollout.yaml:4: y"))
    assert (found.needs_person, found.tone) == (True, "bad")
    assert found.faults == ("goes by what its file said before: x/rollout.yaml:3: flag: no (and 1 more)",)


def test_who_needs_a_person_is_on_top_and_the_worst_first() -> None:
    rows = [
        replace(row(judged("ok")), name="a"),
        replace(row(facts(at(5))), name="b"),
        replace(row(facts(ROLLED_BACK)), name="c"),
        broken("d", "d/rollout.yaml:1: name: is e"),
    ]
    found = overview(rows, NOW)
    assert [one.name for one in found.rollouts] == ["c", "d", "b", "a"]
    assert (found.answer.now, found.answer.tone) == ("3 of 4 rollouts need a person.", "bad")
    assert overview(rows[1:2], NOW).answer.now == "The only rollout needs a person."
    fine = overview([rows[0], rows[0]], NOW).answer
    assert (fine.now, fine.tone) == ("None of the 2 rollouts needs a person.", "good")
