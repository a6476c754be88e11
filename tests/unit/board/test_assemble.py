"""The whole answer: each source down, and each state that a rollout can be in."""

from dataclasses import asdict, replace
from datetime import timedelta
from itertools import combinations
from typing import Any

import orjson
import pytest

from board.assemble import assemble
from board.document import Board, Scale, Source
from board.facts import Facts
from board.sources import Told
from board.watch import Reading
from common.measured import Measured
from flags.canary.marks import ROLLED_BACK as ROLLED_BACK_MARK
from flags.rollout.situation import Situation
from rollback.decisions.record import Decision, Kind, RollbackRecord, Turn
from tests.unit.board.scenes import DOWN, facts, history, numbers
from tests.unit.flags.rollout.scenes import (
    GOOD,
    JOB,
    NOW,
    PERSON,
    VERSION,
    at,
    changes,
    flag,
    off,
    share,
)

ROLLED_BACK = at(5, share(PERSON, 0, 5), off(JOB), enabled=False, quarantined=(VERSION,))


def rollback(of: Situation) -> Told:
    """The decision that turned the flag off."""
    last = of.changes[-1]
    record = RollbackRecord(
        guardrail="errors", breached_at=None, verified=True, seconds=0.2, off_by=JOB, off_revision=last.id
    )
    decision = Decision(
        id="20261123T120000.000Z-rollback-aaaa",
        time=last.at,
        kind=Kind.ROLLBACK,
        flag="canary",
        environment="production",
        share=5,
        rollback=record,
    )
    return Told(decision, None)


def source(board: Board, name: str) -> Source:
    return next(one for one in board.sources if one.name == name)


def test_all_is_told_while_all_answer() -> None:
    board = assemble(facts())
    assert [(one.name, one.ok) for one in board.sources] == [
        ("Unleash", True),
        ("Prometheus", True),
        ("decisions log", True),
    ]
    assert board.rollout is not None
    assert [(one.name, one.state) for one in board.rollout.stages] == [
        ("shadow", "done"),
        ("1%", "skipped"),
        ("5%", "now"),
        ("25%", "next"),
        ("100%", "later"),
        ("champion", "later"),
    ]
    assert (board.rollout.step, board.rollout.challenger) == ("wait", VERSION)
    assert board.numbers is not None
    assert board.numbers.observed_share == pytest.approx(5.0)
    assert board.numbers.agreement == 0.97
    champion, challenger = board.numbers.models
    assert (champion.p99, challenger.p99, challenger.requests) == (0.012, 0.014, 5_000)
    assert challenger.error_rate is None  # it has no series, which is not 0
    assert board.charts is not None
    assert {one.key for one in board.charts.all} >= {
        "traffic",
        "p99",
        "errors",
        "agreement",
        "guardrail/errors",
    }


def test_outcomes_have_their_intervals() -> None:
    board = assemble(facts())
    assert board.numbers is not None
    champion, challenger = board.numbers.outcomes
    assert (challenger.count, challenger.requests) == (450, 5_000)
    assert challenger.low < challenger.share == 0.09 < challenger.high
    assert (round(challenger.low, 4), round(challenger.high, 4)) == (0.0824, 0.0983)  # Wilson's
    assert champion.high - champion.low < challenger.high - challenger.low


def test_more_outcomes_than_requests_are_an_artefact_of_prometheus() -> None:
    told = numbers(outcomes={("challenger", "bought"): 5_003.0})
    board = assemble(facts(told=told))
    assert board.numbers is not None
    assert [(one.model, one.share) for one in board.numbers.outcomes] == [
        ("champion", 0.0),
        ("challenger", 1.0),
    ]


def test_without_unleash_the_numbers_are_shown() -> None:
    board = assemble(facts(unleash=Reading(None, None, "refused")))
    assert board.rollout is None
    assert board.changes == ()
    assert board.numbers is not None
    assert board.answer.tone == "bad"
    assert source(board, "Unleash") == Source("Unleash", False, "refused", None)


def test_without_prometheus_the_flag_is_shown() -> None:
    board = assemble(facts(numbers=Reading(None, None, DOWN), history=Reading(None, None, DOWN)))
    assert board.rollout is not None
    assert board.rollout.share == 5
    assert board.numbers is None
    assert board.charts is None
    assert {one.verdict for one in board.guardrails} == {"not known"}
    assert source(board, "Prometheus").fault == DOWN
    assert board.changes


def test_old_numbers_are_not_told_as_those_of_now_and_old_charts_are() -> None:
    board = assemble(
        facts(numbers=Reading(numbers(), NOW, DOWN), history=Reading(history(), NOW, DOWN), later=16)
    )
    assert board.numbers is None
    assert board.charts is not None
    assert not source(board, "Prometheus").ok
    assert source(board, "Prometheus").read_at == NOW
    young = assemble(facts(numbers=Reading(numbers(), NOW, DOWN), later=1))
    assert young.numbers is None  # from the first look that failed
    assert "is not known, because Prometheus does not answer" in young.answer.now
    assert not source(young, "Prometheus").ok  # at once


def test_without_decisions_the_rest_is_shown() -> None:
    board = assemble(facts(decision=Reading(None, None, "the folder cannot be read")))
    assert board.decision is None
    assert not source(board, "decisions log").ok
    assert board.rollout is not None


def test_nothing_at_all_is_a_page_too() -> None:
    silent: dict[str, Any] = {
        name: Reading(None, None, "down") for name in ("unleash", "numbers", "history", "decision")
    }
    board = assemble(facts(**silent))
    assert board.answer.now.startswith("Unleash does not answer")
    assert len(board.guardrails) == 8  # what is watched is known from the file


@pytest.mark.parametrize(
    ("known", "stages"),
    [
        (facts(at(0, shadow=flag(0))), "next later later later later later"),
        (facts(at(0)), "now next later later later later"),
        (facts(at(100)), "done skipped skipped skipped now next"),
        (facts(at(7, share(PERSON, 0, 7))), "done skipped skipped now:7% next later later"),
        (facts(ROLLED_BACK), "done skipped rolled_back not_reached not_reached not_reached"),
    ],
    ids=["not begun", "shadow", "all", "a person's own", "rolled back"],
)
def test_the_plan_with_the_place_in_it(known: Facts, stages: str) -> None:
    board = assemble(known)
    assert board.rollout is not None
    own = [
        f"now:{one.name}" if one.name == "7%" else one.state.replace(" ", "_") for one in board.rollout.stages
    ]
    assert own == stages.split()


def test_a_rollback_is_told_with_its_reason() -> None:
    board = assemble(facts(ROLLED_BACK, decision=Reading(rollback(ROLLED_BACK), NOW)))
    assert "because of errors: everybody has the champion." in board.answer.now
    assert board.answer.next.startswith("Nothing comes by itself")
    assert board.changes[0].kind == "rollback" or board.changes[1].kind == "rollback"
    assert board.decision is not None
    assert board.decision.title == "canary rolled back in production, because of errors"
    assert board.decision.sentences[0].startswith("canary in production stood at 5%")
    assert board.rollout is not None
    assert board.rollout.quarantine == (VERSION,)
    assert {one.verdict for one in board.guardrails} == {"not judged"}  # that decision has no verdicts


def test_an_older_rollback_is_not_taken_for_this_one() -> None:
    told = rollback(ROLLED_BACK)
    assert told.decision.rollback
    older = replace(
        told,
        decision=told.decision.model_copy(
            update={"rollback": told.decision.rollback.model_copy(update={"off_revision": 1})}
        ),
    )
    assert "because" not in assemble(facts(ROLLED_BACK, decision=Reading(older, NOW))).answer.now


def test_no_traffic_is_no_number() -> None:
    quiet = numbers(replace(GOOD, champion_requests=0, challenger_requests=0), now={}, outcomes={})
    board = assemble(facts(told=quiet))
    assert board.numbers is not None
    assert board.numbers.observed_share is None
    assert board.numbers.outcomes == ()
    assert [one.p99 for one in board.numbers.models] == [None, None]


def test_before_a_rollback_the_last_change_of_a_verdict_is_told() -> None:
    turns = tuple(Turn(guardrail=name, before="fine", after="cannot measure") for name in "abc")
    turns += (Turn(guardrail="d", before="no data", after="fine"),)
    decision = rollback(ROLLED_BACK).decision.model_copy(
        update={"kind": Kind.VERDICT, "rollback": None, "turns": turns}
    )
    told = assemble(facts(decision=Reading(Told(decision, None), NOW))).decision
    assert told
    assert not told.current
    assert told.title == (
        "no rollback; the last change of a verdict: 3 guardrails fine -> cannot measure, d no data -> fine"
    )


def test_changes_are_the_latest_of_both_flags() -> None:
    many = tuple(changes(*[share(PERSON, 0, 1 + place % 2) for place in range(50)]))
    seen = replace(at(5), changes=many, shadow_changes=tuple(changes(share(PERSON, 0, 50))))
    board = assemble(facts(seen))
    assert len(board.changes) == 30
    assert [one.id for one in board.changes] == sorted((one.id for one in board.changes), reverse=True)
    assert board.changes[0].person


TAKEN = "the challenger is rolled back"
LOOK = "nothing is turned off, somebody should look"


@pytest.mark.parametrize(
    ("told", "words", "tone", "reached"),
    [
        (
            Measured("errors", "ok", score=1.2, threshold=4.0),
            "Fine: test score 1.2, threshold 4.0.",
            "good",
            0.3,
        ),
        (
            Measured("errors", "ok", score=0.0, threshold=4.0, warm_up=135.0, warm_up_start=1795428120.0),
            "Fine: test score 0.0, threshold 4.0. 2m15s of warm-up left out, the last after the start"
            " at 10:02 UTC.",
            "good",
            0.0,
        ),
        (
            Measured("errors", "ok", score=-0.5, threshold=4.0),
            "Fine: test score -0.5, threshold 4.0.",
            "good",
            0.0,
        ),
        (
            Measured("errors", "breach", score=4.5, threshold=4.0),
            f"Breached: test score 4.5, threshold 4.0; {TAKEN}.",
            "bad",
            1.125,
        ),
        (
            Measured("challenger-p99", "ok", value=0.12, limit=0.2),
            "Fine: 120 ms (limit 200 ms).",
            "good",
            0.6,
        ),
        (
            Measured("agreement", "breach", binding=False, value=0.45, limit=0.9),
            f"Breached: 45% (at least 90%); {LOOK}.",
            "wait",
            5.5,
        ),
        (
            Measured("agreement", "ok", binding=False, value=0.97, limit=0.9),
            "Fine: 97.0% (at least 90%).",
            "good",
            0.3,
        ),
        (Measured("errors", "no data"), "Too few calls yet to judge it.", "plain", None),
        (
            Measured("errors", "cannot measure"),
            "Cannot be measured: the log of the rollback job says why.",
            "bad",
            None,
        ),
        (Measured("my-own", "ok"), "Fine.", "good", None),
    ],
)
def test_verdicts_in_words(told: Measured, words: str, tone: str, reached: float | None) -> None:
    board = assemble(facts(told=numbers(replace(GOOD, guardrails=(told,)))))
    one = next(each for each in board.guardrails if each.name == told.name)
    assert (one.words, one.tone) == (words, tone)
    assert one.reached == pytest.approx(reached)


@pytest.mark.parametrize("verdict", ["no data", "cannot measure"])
def test_a_guardrail_that_does_not_judge_tells_which_values_the_label_has(verdict: str) -> None:
    readings = replace(GOOD, guardrails=(Measured("errors", verdict), Measured("my-own", "ok")))
    board = assemble(facts(told=numbers(readings, unseen='no series has model="challenger"')))
    words = {each.name: each.words for each in board.guardrails}
    assert words["errors"].endswith(' No series has model="challenger".')
    assert words["my-own"] == "Fine."


def test_a_stage_that_the_job_has_not_come_to_is_not_judged_yet() -> None:
    readings = replace(GOOD, judged=1, guardrails=(Measured("errors", "ok"),))  # of the stage before
    board = assemble(facts(told=numbers(readings)))
    assert {one.verdict for one in board.guardrails} == {"not judged yet"}
    assert {one.words for one in board.guardrails} == {
        "Not judged yet: the rollback job has not come to it in this stage."
    }
    assert {one.tone for one in board.guardrails} == {"plain"}


def test_a_silent_job_judges_nothing() -> None:
    silent = replace(GOOD, last_pass=NOW - timedelta(minutes=5))
    board = assemble(facts(told=numbers(silent)))
    assert {one.verdict for one in board.guardrails} == {"not known"}
    assert board.numbers is not None
    assert not board.numbers.guarded


def test_it_is_json_without_nan() -> None:
    document = orjson.loads(
        orjson.dumps(assemble(facts(ROLLED_BACK, decision=Reading(rollback(ROLLED_BACK), NOW))))
    )
    assert document["version"] == 1
    assert set(document) == set(asdict(assemble(facts())))
    traffic = next(one for one in document["charts"]["all"] if one["key"] == "traffic")
    assert [line["name"] for line in traffic["lines"]] == ["wanted", "observed"]
    assert traffic["lines"][1]["values"] == [0.0, 5.0, 5.0]
    evidence = next(one for one in document["charts"]["all"] if one["key"] == "guardrail/errors")
    assert evidence["lines"][0]["values"] == [None, -0.3, 1.2346]
    assert evidence["limit"] == 3.7


def judged_at_the_rollback() -> Told:
    """Errors were breached, and a p99 of 229 ms was over its limit of 200 ms."""
    told = rollback(ROLLED_BACK)
    counts = {
        "champion_total": [900, 100],
        "champion_bad": [1, 0],
        "challenger_total": [60, 40],
        "challenger_bad": [9, 20],
    }
    weighed = {
        "guardrail": "errors",
        "verdict": "breach",
        "value": 0.29,
        "limit": 0.001,
        "sample": 100.0,
        "unit": "share",
        "difference_low": 0.2,
        "difference_high": 0.39,
        "log_e": 4.5,
        "log_e_needed": 3.7,
        "window": "12m",
        "evidence": {"counts": counts, "edges": None, "log_e_highest": 4.9},
    }
    number = {"guardrail": "challenger-p99", "verdict": "ok", "value": 0.1, "limit": 0.2, "sample": 1350.0}
    nan = {"guardrail": "agreement", "verdict": "no data", "value": "nan", "limit": 0.9, "window": "15m"}
    verdicts = tuple(each | {"sentence": "so it was"} for each in (weighed, number | {"window": "45m"}, nan))
    return replace(told, decision=told.decision.model_copy(update={"verdicts": verdicts}))


def test_after_a_rollback_the_cards_show_what_was_judged() -> None:
    board = assemble(facts(ROLLED_BACK, decision=Reading(judged_at_the_rollback(), NOW)))
    cards = {one.name: one for one in board.guardrails}
    errors = cards["errors"]
    assert (errors.verdict, errors.tone, errors.words) == (
        "breach",
        "bad",
        "Breached: the challenger was rolled back.",
    )
    assert errors.then
    assert errors.then.at == ROLLED_BACK.changes[-1].at
    assert {one.name: one.value for one in errors.then.figures} == {
        "Challenger": "29%",
        "Champion": "0.10%",
        "Difference": "+29 points",
        "Interval": "+20 to +39 points, 95% at every look",
        "Limit": "at most 0.10%",
        "How sure": "sure: by chance that comes in 1 of 40 stages at most",
        "Test score": "4.9, threshold 3.7",
        "Sample": "100 calls, 12m since the stage began",
    }
    assert errors.figures == errors.then.figures
    assert errors.status == "rolled back"
    assert errors.measures == "the share of calls that a model failed, each user once in 10 minutes"
    assert errors.scale == Scale(0.29 - 0.001, 0.2, 0.39, 0.0, fewer=False)
    p99 = cards["challenger-p99"]
    assert (p99.verdict, p99.tone, p99.words) == ("ok", "plain", "At the rollback: ok.")
    assert p99.then
    assert {one.name: one.value for one in p99.then.figures} == {
        "Value": "100 ms",
        "Limit": "at most 200 ms",
        "How sure": "one number on 1,350 calls, held against the limit as it is",
        "Sample": "1,350 calls, the last 45m",
    }
    assert (p99.status, p99.scale) == ("within its limit", None)
    assert "nan" not in str(cards["agreement"])
    assert cards["conversion"].words == "Not judged at the rollback."


def test_a_tile_shows_the_difference_that_the_job_tells() -> None:
    told = Measured(
        "conversion", "ok", value=0.1, limit=0.1, champion=0.1, low=-0.02, high=0.02, sample=2e4,
        window=timedelta(hours=2), score=0.2, threshold=3.9,
    )  # fmt: skip
    board = assemble(facts(told=numbers(replace(GOOD, guardrails=(told,)))))
    tile = next(one for one in board.guardrails if one.name == "conversion")
    assert (tile.verdict, tile.status) == ("ok", "keep watching")
    assert {one.name: one.value for one in tile.figures}[
        "Interval"
    ] == "-2.0 to +2.0 points, 95% at every look"
    assert tile.scale == Scale(0.0, -0.02, 0.02, 0.0, fewer=True)


def test_without_the_decisions_log_the_mark_in_unleash_names_the_breach() -> None:
    marked = at(
        5,
        share(PERSON, 0, 5),
        off(JOB),
        (JOB, "feature-tagged", {"type": ROLLED_BACK_MARK, "value": "errors: 29% (limit 0.10%)"}, None),
        enabled=False,
    )
    board = assemble(facts(marked, decision=Reading(None, None, "the folder cannot be read")))
    cards = {one.name: one for one in board.guardrails}
    assert "29% (limit 0.10%)" in cards["errors"].words
    assert cards["errors"].tone == "bad"
    assert cards["conversion"].verdict == "not judged"


PARTS = ("unleash", "prometheus", "job", "plan", "service", "decisions")
COMBINATIONS = [each for size in range(7) for each in combinations(PARTS, size)]


@pytest.mark.parametrize("parts", COMBINATIONS, ids=lambda parts: "+".join(parts) or "none")
def test_whatever_is_down_nothing_looks_fine_that_is_not_seen(parts: tuple[str, ...]) -> None:
    down = set(parts)
    fine = replace(GOOD, guardrails=(Measured("errors", "ok"),))
    if "job" in down:
        fine = replace(fine, guardrails=(), last_pass=None, judged=None)
    elif "unleash" in down:
        fine = replace(fine, guardrails=(), judged=None)
    elif "service" in down:
        fine = replace(fine, guardrails=(Measured("errors", "cannot measure"),))
    now = numbers().now | {("up", ""): 0.0 if "service" in down else 1.0}
    if "plan" in down:
        del now["plan", ""]
    told = numbers(fine, now=now)
    board = assemble(
        facts(
            unleash=Reading(at(5), NOW, "refused" if "unleash" in down else None),
            numbers=Reading(told, NOW, DOWN if "prometheus" in down else None),
            decision=Reading(None, NOW, "cannot be read" if "decisions" in down else None),
        )
    )
    answer = board.answer
    assert (answer.tone == "good") == (not down - {"decisions"}), answer
    assert "not judged it yet" not in answer.now
    assert answer.now.startswith("Unleash does not answer") == ("unleash" in down)
    if "unleash" in down:
        assert answer.until is None
        assert answer.next == "What comes next is not known."
    elif "prometheus" in down:
        assert "is not known, because Prometheus does not answer" in answer.now
    else:
        assert ("nobody guards it" in answer.now) == ("job" in down)
        assert ("no instance of the service" in answer.now) == ("service" in down)
        assert ("the plan's job is silent" in answer.next) == ("plan" in down)
    assert [one.ok for one in board.sources] == [
        name not in down for name in ("unleash", "prometheus", "decisions")
    ]
