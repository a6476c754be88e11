"""The two sentences on top, as a table of situations."""

import ast
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from board.answer import GATE_WORDS, answer_of, listed, next_of
from board.assemble import assemble
from board.document import Answer
from board.facts import Facts
from board.watch import Reading
from common.figures import moment
from common.measured import Measured
from common.names import Recorded
from flags.rollout import conditions
from flags.rollout.condition import Condition
from flags.rollout.decide import StepKind, decide
from flags.rollout.readings import Readings
from tests.unit.board.scenes import DOWN, facts, numbers
from tests.unit.flags.rollout.scenes import GOOD, JOB, NOW, PERSON, PLAN, VERSION, at, flag, off, share

FIVE = "5% of the users have the challenger"
CHAMPION = "everybody has the champion"
BY_HAND = PLAN.model_copy(update={"begin": "by_hand"})


def judged(*guardrails: Measured, **fields: Any) -> Facts:
    readings = replace(GOOD, guardrails=guardrails, **fields)
    return facts(told=numbers(readings))


ROLLED_BACK = at(5, share(PERSON, 0, 5), off(JOB), enabled=False)


@pytest.mark.parametrize(
    ("known", "tone", "now"),
    [
        (
            judged(Measured("errors", "ok")),
            "good",
            f"{FIVE}; all guardrails are fine.",
        ),
        (
            facts(),
            "wait",
            f"{FIVE}; 1 of 2 guardrails are fine, the others need more calls, and agreement warns.",
        ),
        (
            judged(Measured("errors", "breach"), Measured("tail", "breach")),
            "bad",
            f"{FIVE}; errors and tail are breached.",
        ),
        (
            judged(Measured("errors", "cannot measure"), Measured("tail", "ok")),
            "bad",
            f"{FIVE}; errors is not to be measured.",
        ),
        (
            judged(Measured("errors", "no data")),
            "wait",
            f"{FIVE}; the guardrails need more calls to judge it.",
        ),
        (
            judged(Measured("errors", "ok"), judged=1),
            "bad",
            f"{FIVE}; the rollback job has not judged it: it cannot read the flag, its log says why.",
        ),
        (
            judged(Measured("errors", "ok"), last_pass=NOW - timedelta(minutes=7)),
            "bad",
            f"{FIVE}; nobody guards it: the rollback job was last heard of 7m ago.",
        ),
        (
            judged(last_pass=None),
            "bad",
            f"{FIVE}; nobody guards it: the rollback job is silent.",
        ),
        (
            facts(numbers=Reading(numbers(), NOW - timedelta(minutes=1), DOWN)),
            "bad",
            f"{FIVE}; how it does is not known, because Prometheus does not answer.",
        ),
        (
            facts(at(100), told=numbers(replace(GOOD, guardrails=(Measured("errors", "ok"),)))),
            "good",
            "All users have the challenger; all guardrails are fine.",
        ),
        (
            facts(
                at(5, constraints=("country IN NO",)),
                told=numbers(replace(GOOD, guardrails=(Measured("errors", "ok"),))),
            ),
            "good",
            "5% of the users where country IN NO have the challenger; all guardrails are fine.",
        ),
        (
            facts(at(5, lease_until=NOW - timedelta(minutes=2))),
            "bad",
            f"The lease ran out 2m ago: {CHAMPION} until the rollback job renews it.",
        ),
        (
            facts(at(0)),
            "plain",
            f"Nobody has the challenger yet: it gets copies of 100% of the users' requests, and {CHAMPION}.",
        ),
        (facts(at(0, shadow=flag(0))), "plain", f"Nobody has the challenger: {CHAMPION}."),
        (
            facts(
                at(
                    5,
                    share(PERSON, 0, 5),
                    off(PERSON),
                    enabled=False,
                    changed_by="ada",
                    change_in_words="turned off",
                )
            ),
            "plain",
            f"The flag is off, ada turned it off: {CHAMPION}.",
        ),
        (
            facts(ROLLED_BACK),
            "bad",
            f"The challenger was rolled back at {moment(ROLLED_BACK.changes[-1].at)}: {CHAMPION}.",
        ),
        (
            facts(at(0, exists=False, shadow=flag(0))),
            "bad",
            f"The flag canary is not there: {CHAMPION}.",
        ),
    ],
)
def test_who_has_the_challenger_and_whether_it_may(known: Facts, tone: str, now: str) -> None:
    answer = answer_of(known)
    assert (answer.now, answer.tone) == (now, tone)


def test_nothing_is_known_before_unleash_answers() -> None:
    assert (
        answer_of(facts(unleash=Reading())).now
        == "Unleash is being asked: who has the challenger is not known."
    )
    silent = answer_of(facts(unleash=Reading(None, None, "refused")))
    assert (silent.now, silent.tone, silent.next) == (
        "Unleash does not answer: who has the challenger is not known.",
        "bad",
        "",
    )


def test_a_service_that_goes_by_old_flags_is_told() -> None:
    def answer(age: float, **fields: Any) -> Answer:
        recorded = numbers().now | {(str(Recorded.FLAG_AGE), ""): age}
        return answer_of(facts(told=numbers(now=recorded), **fields))

    assert answer(29.0) == answer_of(facts())
    stale = answer(150.0)
    assert stale.tone == "bad"
    assert stale.now.startswith(FIVE)
    assert stale.now.endswith(
        ". The service has not heard from Unleash for 2m30s: users have what was so then."
    )
    assert "has not heard" not in answer(150.0, unleash=Reading(at(5), NOW, "refused")).now  # nobody hears it


def test_what_was_known_is_told_as_what_it_is() -> None:
    answer = answer_of(facts(unleash=Reading(at(5), NOW, "refused"), later=60))
    assert answer.tone == "bad"
    assert answer.now.startswith(
        "Unleash does not answer: who has the challenger is not known now."
        " At 2026-12-24 06:00:00 UTC it was so: 5% of the users"
    )


@pytest.mark.parametrize("enabled", [True, False])
def test_a_blocked_version_and_the_three_ways_on(enabled: bool) -> None:
    told = answer_of(facts(at(5, enabled=enabled, quarantined=(VERSION,)))).next
    assert told.startswith("Nothing comes by itself. Version ")
    assert " is blocked. Try it again: `./canario lift canary" in told
    assert "A new version: `./canario models challenger FOLDER`" in told
    assert told.endswith("Keep it off: nothing to do.")


@pytest.mark.parametrize(
    ("known", "told"),
    [
        (facts(), "25% waits for a person's approval."),
        (facts(numbers=Reading(None, None, DOWN)), "25% waits for Prometheus and a person's approval."),
        (facts(at(0)), "1% may come now: all conditions are met."),
        (facts(at(0, shadow=flag(0))), "The shadow may come now: all conditions are met."),
        (facts(at(100)), "It becomes the champion now: the challenger has come through the whole plan."),
        (
            facts(at(5, paused=("lunch",))),
            'Nothing comes by itself: it is paused (lunch) until `./canario rollout resume --reason "..."`.',
        ),
        (
            facts(plan=BY_HAND),
            "Nothing comes by itself until a person begins the rollout: `./canario rollout begin`.",
        ),
        (facts(at(5, begun=(VERSION,)), plan=BY_HAND), "25% waits for a person's approval."),
        (
            facts(at(5, trouble="the flag has two strategies")),
            "The flag needs a person: the flag has two strategies.",
        ),
    ],
)
def test_what_comes_next(known: Facts, told: str) -> None:
    assert answer_of(known).next == told


def test_the_earliest_time_is_told_where_one_gate_knows_it() -> None:
    seen = at(1)
    young = replace(seen, now=seen.changes[-1].at + timedelta(hours=1))
    known = replace(facts(young, told=numbers(Readings(fault=None, last_pass=young.now))), now=young.now)
    known = replace(known, unleash=Reading(young, young.now), numbers=Reading(known.numbers.value, young.now))
    answer = answer_of(known)
    assert answer.next.startswith(
        "5% comes {until} at the earliest, if the guardrails stay fine. It waits for time"
    )
    assert answer.until == seen.changes[-1].at + timedelta(hours=24)


def test_a_command_names_the_rollout_where_there_are_several() -> None:
    known = facts(plan=BY_HAND, name="ranker")
    assert answer_of(known).next.endswith("`./canario rollout begin`.")
    board = assemble(replace(known, rollouts=2))
    assert board.answer.next.endswith("`./canario rollout begin --rollout ranker`.")
    assert board.rollout
    assert "rollout begin --rollout ranker`" in board.rollout.gates[0].sentence


def test_a_list_reads_as_one() -> None:
    assert [listed("abc"[:count]) for count in range(4)] == ["", "a", "a and b", "a, b and c"]


def test_what_is_compared_is_told_in_one_go() -> None:
    names = ("time", "no worse: errors", "no worse: bought")
    step = decide(PLAN, at(1))
    waits = replace(step, kind=StepKind.WAIT, conditions=tuple(Condition(name, False, "") for name in names))
    assert next_of(waits)[0].endswith("waits for time and evidence that it is no worse in errors and bought.")


def test_every_condition_that_is_no_guardrail_has_words() -> None:
    """What has none is taken for a guardrail: "waits for a good verdict of window"."""
    tree = ast.parse(Path(conditions.__file__).read_text(encoding="utf-8"))
    named = {
        each.args[0].value
        for each in ast.walk(tree)
        if isinstance(each, ast.Call)
        and ast.unparse(each.func) == "Condition"
        and isinstance(each.args[0], ast.Constant)
    }
    assert {"window", "challenger", "time"} <= named
    assert named <= set(GATE_WORDS)
