"""The decision as tables: what stands against the next stage, and in which order."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from common.measured import Measured
from flags.canary.aftermath import UNKNOWN
from flags.canary.events import UNTAGGED
from flags.canary.marks import APPROVE, BEGIN, PAUSE, QUARANTINE, RESUME
from flags.rollout.decide import Step, StepKind, decide
from flags.rollout.readings import Readings
from flags.rollout.schema import RolloutPlan
from flags.rollout.situation import DeployedModels, Situation
from tests.unit.flags.rollout.scenes import (
    GOOD,
    JOB,
    NOW,
    PERSON,
    PLAN,
    PLAN_JOB,
    START,
    VERSION,
    at,
    changes,
    flag,
    life,
    of_log,
    off,
    on,
    share,
    tag,
)

BLUE_GREEN = RolloutPlan.model_validate(
    {"begin": "by_itself", "promote": "by_itself", "stages": [{"share": 100}]}
)
APPROVED = ("ada", "feature-tagged", {"type": APPROVE, "value": "25%"}, None)
UP = share(PLAN_JOB, 0, 5)


def told(step: Step) -> tuple[str, str | None, set[str]]:
    return step.kind.value, step.to.name if step.to else None, {gate.name for gate in step.unmet}


def less(**fields: Any) -> Readings:
    return replace(GOOD, **fields)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param(at(0), ("advance", "1%", set()), id="shadow is through"),
        pytest.param(at(1), ("advance", "5%", set()), id="1% is through"),
        pytest.param(at(5), ("wait", "25%", {"approval"}), id="25% needs a word"),
        pytest.param(at(5, UP, APPROVED), ("advance", "25%", set()), id="approved"),
        pytest.param(
            at(5, APPROVED, UP),
            ("wait", "25%", {"approval"}),
            id="a word for the stage before counts no more",
        ),
        pytest.param(at(25), ("advance", "100%", set()), id="25% is through"),
        pytest.param(at(100), ("promote", None, set()), id="all have it"),
        pytest.param(at(100, kept_out=("country=NO",)), ("wait", None, {"excluded"}), id="all but Norway"),
        pytest.param(at(1, kept_out=("country=NO",)), ("advance", "5%", set()), id="Norway may wait"),
        pytest.param(
            at(0, shadow=flag(0), readings=less(samples=0)),
            ("advance", "shadow", set()),
            id="begin the shadow",
        ),
        pytest.param(
            at(0, shadow=flag(100, enabled=False)), ("advance", "shadow", set()), id="shadow is off: begin it"
        ),
        pytest.param(at(0, shadow=flag(50)), ("advance", "1%", set()), id="a smaller shadow of a person"),
        pytest.param(
            at(0, readings=less(samples=999, agreements=999, failures=0)),
            ("wait", "1%", {"samples"}),
            id="few samples",
        ),
        pytest.param(at(0, readings=less(agreements=17_999)), ("wait", "1%", {"agreement"}), id="disagree"),
        pytest.param(
            at(0, readings=less(samples=0, agreements=0, failures=0)),
            ("wait", "1%", {"samples", "agreement", "failures"}),
            id="nobody called",
        ),
        pytest.param(at(0, readings=less(failures=300)), ("wait", "1%", {"failures"}), id="it fails"),
        pytest.param(at(1, readings=less(challenger_requests=99)), ("wait", "5%", {"requests"}), id="few"),
        pytest.param(
            at(5, UP, APPROVED, readings=less(outcomes=49)),
            ("wait", "25%", {"outcomes"}),
            id="little feedback",
        ),
        pytest.param(
            at(5, UP, APPROVED, readings=less(champion_requests=95_000, challenger_requests=3_900)),
            ("wait", "25%", {"share"}),
            id="the flag gives less than it says",
        ),
        pytest.param(
            at(5, UP, APPROVED, readings=less(challenger_requests=600), constraints=("country IN NO",)),
            ("advance", "25%", set()),
            id="a person's condition narrows it",
        ),
        pytest.param(
            at(1, readings=less(guardrails=(Measured("errors", "no data"),))),
            ("wait", "5%", {"errors"}),
            id="not judged yet",
        ),
        pytest.param(
            at(
                1,
                readings=less(guardrails=(*GOOD.guardrails, Measured("p99", "breach", value=0.3, limit=0.2))),
            ),
            ("wait", "5%", {"p99"}),
            id="breached, and the job has not acted yet",
        ),
        pytest.param(
            at(1, readings=less(guardrails=(*GOOD.guardrails, Measured("p99", "cannot measure")))),
            ("wait", "5%", {"p99"}),
            id="cannot measure",
        ),
        pytest.param(at(1, readings=less(guardrails=())), ("wait", "5%", {"errors"}), id="a name unheard of"),
        pytest.param(
            at(100, readings=less(guardrails=(Measured("errors", "no data"),))),
            ("promote", None, set()),
            id="nobody to compare with",
        ),
        pytest.param(
            at(100, readings=less(guardrails=(Measured("errors", "breach"),))),
            ("wait", None, {"errors"}),
            id="bad",
        ),
        pytest.param(at(1, readings=less(last_pass=None)), ("wait", "5%", {"rollback job"}), id="no job"),
        pytest.param(
            at(1, readings=less(last_pass=NOW - timedelta(minutes=3))),
            ("wait", "5%", {"rollback job"}),
            id="a silent job",
        ),
        pytest.param(
            at(1, readings=less(judged=2)), ("wait", "5%", {"rollback job"}), id="it judged the stage before"
        ),
        pytest.param(
            at(1, readings=less(judged=None)), ("wait", "5%", {"rollback job"}), id="it judged none"
        ),
        pytest.param(
            at(0, readings=less(version="1 aaaaaaaaaaaa")),
            ("wait", "1%", {"challenger"}),
            id="the one before is seen to be served, and its samples are not this one's",
        ),
        pytest.param(
            at(1, readings=less(mixed="instances serve different models")),
            ("wait", "5%", {"challenger"}),
            id="instances serve different challengers",
        ),
        pytest.param(
            at(1, readings=less(judged_version="1 aaaaaaaaaaaa")),
            ("wait", "5%", {"rollback job"}),
            id="the job judged the one before",
        ),
        pytest.param(
            at(1, readings=less(judged_version=None)),
            ("wait", "5%", {"rollback job"}),
            id="the job does not say whom it judged",
        ),
        pytest.param(
            at(1, readings=less(version_since=NOW - timedelta(seconds=19))),
            ("wait", "5%", {"time", "rollback job"}),
            id="the job judged it when it was served before",
        ),
        pytest.param(
            at(1, readings=Readings(fault="Prometheus is down")), ("wait", "5%", {"prometheus"}), id="blind"
        ),
        pytest.param(
            at(1, lease_until=NOW - timedelta(minutes=1)), ("wait", "5%", {"lease"}), id="the lease ran out"
        ),
        pytest.param(at(1, lease_until=NOW + timedelta(minutes=1)), ("advance", "5%", set()), id="it runs"),
        pytest.param(
            at(1, readings=less(version_since=NOW - timedelta(hours=23))),
            ("wait", "5%", {"time"}),
            id="another version came into the stage",
        ),
    ],
)
def test_gates(seen: Situation, expected: tuple[str, str | None, set[str]]) -> None:
    assert told(decide(PLAN, seen)) == expected


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        pytest.param(
            at(5, enabled=False, trouble="the flag canary is archived", changed_by="ada", changed_at=NOW),
            "the flag canary is archived (None by ada at 2026-12-24 06:00:00 UTC)",
            id="archived",
        ),
        pytest.param(
            of_log(
                changes(*START, life(PERSON, "archived"), share(PLAN_JOB, 1, 0)),
                0,
                enabled=False,
                trouble="it is archived",
                changed_by=PLAN_JOB,
                changed_at=NOW,
            ),
            "it is archived (archived by ada at",
            id="archived, and a raise of that moment taken back",
        ),
        pytest.param(at(0, models=DeployedModels(known=True)), "there is no challenger", id="no challenger"),
        pytest.param(
            at(0, models=DeployedModels(), readings=less(version=None)),
            "there is no challenger",
            id="none is served",
        ),
        pytest.param(at(5, quarantined=(VERSION,)), f"{VERSION} was rolled back", id="in quarantine"),
        pytest.param(at(5, quarantined=(UNKNOWN,)), f"{UNKNOWN} was rolled back", id="it could be any"),
        pytest.param(
            at(5, quarantined=("1 abc",), models=DeployedModels(), readings=Readings(fault="gone")),
            "which version is deployed is not known",
            id="the version is not known",
        ),
        pytest.param(
            at(25, share(PLAN_JOB, 0, 25), off(JOB), enabled=False),
            "canario-rollback rolled it back at",
            id="rolled back, and not marked",
        ),
        pytest.param(at(5, paused=("holidays",)), "it is paused (holidays)", id="paused"),
        pytest.param(
            at(1, UP, share(PERSON, 5, 1)),
            "it stays at 1% at most until a person raises it",
            id="lowered by a person",
        ),
        pytest.param(
            at(5, share(PLAN_JOB, 0, 5), off(PERSON), enabled=False),
            "it stays at 0% at most",
            id="off by a person",
        ),
        pytest.param(
            of_log(changes(*START, off(PERSON)), 0, enabled=False),
            "ada lowered it at",
            id="off at 0% is an order, too",
        ),
        pytest.param(
            of_log(changes(*START, life(PERSON, "archived"), life(PERSON, "revived")), 0, enabled=False),
            "ada lowered it at",
            id="archived at 0% and revived, which is off",
        ),
        pytest.param(
            at(0, shadow=flag(0), shadow_changes=tuple(changes(*START, off(PERSON)))),
            "ada lowered it at",
            id="the shadow was stopped",
        ),
        pytest.param(
            at(0, shadow=flag(0, trouble="it has no strategy")), "it has no strategy", id="odd shadow"
        ),
    ],
)
def test_refusals(seen: Situation, words: str) -> None:
    step = decide(PLAN, seen)
    assert step.kind is StepKind.REFUSE
    assert words in step.sentence


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        pytest.param(at(25, share(PERSON, 5, 25)), StepKind.ADVANCE, id="raised by a person: adopted"),
        pytest.param(
            at(1, UP, share(PERSON, 5, 1), tag(PERSON)), StepKind.ADVANCE, id="lowered, then resumed"
        ),
        pytest.param(at(0, share(PERSON, 5, 0), tag(PERSON)), StepKind.ADVANCE, id="set to 0, then resumed"),
        pytest.param(
            at(0, off(PERSON), tag(PERSON), enabled=False), StepKind.ADVANCE, id="off, then resumed"
        ),
        pytest.param(at(0, off(PERSON), on(PERSON)), StepKind.ADVANCE, id="off and on"),
        pytest.param(
            at(25, share(PLAN_JOB, 0, 25), off(JOB), tag(JOB, QUARANTINE), enabled=False),
            StepKind.ADVANCE,
            id="another version after a rollback",
        ),
        pytest.param(
            at(25, share(PLAN_JOB, 0, 25), off(JOB), tag(PERSON, RESUME), enabled=False),
            StepKind.ADVANCE,
            id="a person answered for the rollback",
        ),
        pytest.param(at(5, quarantined=("1 abc",)), StepKind.WAIT, id="another version is in quarantine"),
        pytest.param(
            at(0, models=DeployedModels(known=True, unfinished=True)),
            StepKind.PROMOTE,
            id="a promotion was cut off",
        ),
        pytest.param(
            of_log(changes(*START, share(PLAN_JOB, 0, 100), share(PLAN_JOB, 100, 0)), 0),
            StepKind.ADVANCE,
            id="the plan's own 0 after a promotion holds nothing",
        ),
    ],
)
def test_what_does_not_stand_against_it(seen: Situation, kind: StepKind) -> None:
    assert decide(PLAN, seen).kind is kind


def test_after_a_rollback_another_version_begins_with_the_shadow() -> None:
    log = (share(PLAN_JOB, 0, 25), off(JOB), tag(JOB, QUARANTINE))
    seen = at(25, *log, enabled=False, quarantined=("1 abc",))
    step = decide(PLAN, seen)
    assert (step.position.share, step.position.name, step.to and step.to.name) == (0, "shadow", "1%")


def test_an_override_answers_for_quarantine_and_holds_but_not_for_gates_or_a_pause() -> None:
    quarantined = at(1, UP, share(PERSON, 5, 1), quarantined=(VERSION,))
    assert decide(PLAN, quarantined).kind is StepKind.REFUSE
    assert decide(PLAN, quarantined, override=True).kind is StepKind.ADVANCE
    few = replace(quarantined, readings=less(challenger_requests=0))
    assert decide(PLAN, few, override=True).kind is StepKind.WAIT
    assert decide(PLAN, replace(quarantined, paused=("no",)), override=True).kind is StepKind.REFUSE


@pytest.mark.parametrize(
    ("percent", "rules", "following", "planned"),
    [(3, "1%", "5%", False), (5, "5%", "25%", True), (60, "25%", "100%", False), (100, "100%", None, True)],
)
def test_a_share_of_a_person_has_the_rules_of_the_stage_below(
    percent: int, rules: str, following: str | None, planned: bool
) -> None:
    place = decide(PLAN, at(percent, share(PERSON, 1, percent))).position
    assert place.rules
    assert place.rules.name == rules
    assert (place.following.name if place.following else None) == following
    assert place.is_planned is planned


def test_below_the_first_canary_its_rules_hold() -> None:
    plan = RolloutPlan.model_validate(
        {"stages": [{"share": 10, "least": "1h"}, {"share": 50}], "promote": "by_hand"}
    )
    place = decide(plan, at(3, share(PERSON, 0, 3))).position
    assert (place.rules and place.rules.name, place.following and place.following.name) == ("10%", "10%")


def test_when_the_last_gate_opens() -> None:
    began = NOW - timedelta(hours=12)
    seen = at(1, readings=less(challenger_requests=25, version_since=began))
    step = decide(PLAN, seen)
    assert {gate.name: gate.until for gate in step.unmet} == {
        "time": began + timedelta(hours=24),
        "requests": began + timedelta(hours=48),
    }
    assert step.until == began + timedelta(hours=48)
    nobody = replace(seen, readings=less(challenger_requests=0, version_since=began))
    assert decide(PLAN, nobody).until is None, "nobody can tell"


def test_blue_green_is_a_switch_for_all_and_waits_for_nothing_unless_told() -> None:
    assert told(decide(BLUE_GREEN, at(0))) == ("advance", "100%", set())
    assert told(decide(BLUE_GREEN, at(100))) == ("promote", None, set())
    asked = RolloutPlan.model_validate({"begin": "by_itself", "stages": [{"share": 100, "approval": True}]})
    assert told(decide(asked, at(0))) == ("wait", "100%", {"approval"})
    assert decide(asked, at(100)).kind is StepKind.FINISHED


def test_a_promotion_by_hand_is_left_to_a_person() -> None:
    plan = PLAN.model_copy(update={"promote": "by_hand"})
    step = decide(plan, at(100))
    assert step.kind is StepKind.FINISHED
    assert "./canario rollout promote" in step.sentence
    shut = decide(plan, at(100, readings=less(judged=None)))
    assert "whose conditions are not met: rollback job" in shut.sentence


def test_a_pause_names_who_and_when() -> None:
    log = changes(
        *START, share(PLAN_JOB, 0, 5), ("ada", "feature-tagged", {"type": PAUSE, "value": "why"}, None)
    )
    assert "(why, ada at 2026-11-23" in decide(PLAN, of_log(log, 5, paused=("why",))).sentence


def test_a_mark_that_was_taken_off_lets_a_rolled_back_version_go_on() -> None:
    gone = (PERSON, UNTAGGED, None, {"type": QUARANTINE, "value": VERSION})
    log = (share(PLAN_JOB, 0, 25), off(JOB), tag(JOB, QUARANTINE), gone)
    assert decide(PLAN, at(25, *log, enabled=False)).kind is StepKind.ADVANCE


BY_HAND = PLAN.model_copy(update={"begin": "by_hand"})
OTHER = "1 ffffffffffff"


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param(at(0), ("wait", "1%", {"begin"}), id="nobody has begun"),
        pytest.param(at(25), ("wait", "100%", {"begin"}), id="a share that a person set is no such word"),
        pytest.param(at(100), ("wait", None, {"begin"}), id="nor is everybody: nothing is promoted"),
        pytest.param(at(0, begun=(OTHER,)), ("wait", "1%", {"begin"}), id="another version was begun"),
        pytest.param(at(0, begun=(VERSION,)), ("advance", "1%", set()), id="begun"),
        pytest.param(at(100, begun=(VERSION,)), ("promote", None, set()), id="begun, and all have it"),
        pytest.param(
            at(5, begun=(VERSION,), readings=less(outcomes=49)),
            ("wait", "25%", {"outcomes", "approval"}),
            id="other gates wait as ever",
        ),
        pytest.param(
            at(0, models=DeployedModels(), readings=less(version=None, fault="down"), begun=(VERSION,)),
            ("wait", "1%", {"begin", "prometheus"}),
            id="which version is deployed is not known",
        ),
    ],
)
def test_a_person_begins_with_each_version(
    seen: Situation, expected: tuple[str, str | None, set[str]]
) -> None:
    assert told(decide(BY_HAND, seen)) == expected


def test_who_began_is_told() -> None:
    word = ("ada", "feature-tagged", {"type": BEGIN, "value": VERSION}, None)
    gate = decide(BY_HAND, at(1, share(PLAN_JOB, 0, 1), word, begun=(VERSION,))).conditions[0]
    assert gate.sentence.startswith(f"the start of version {VERSION} was approved by ada at 2026-")


def test_before_the_shadow_there_is_one_gate() -> None:
    seen = at(0, shadow=flag(0), shadow_changes=())
    step = decide(BY_HAND, seen)
    assert (step.position.name, [gate.name for gate in step.conditions]) == ("not begun", ["begin"])
    assert told(decide(BY_HAND, replace(seen, begun=(VERSION,)))) == ("advance", "shadow", set())


def test_a_condition_tells_a_guardrails_value_with_its_unit() -> None:
    slow = Measured("p99", "breach", unit="seconds", value=0.3, limit=0.2)
    step = decide(PLAN, at(1, readings=less(guardrails=(*GOOD.guardrails, slow))))
    assert [one.sentence for one in step.unmet if one.name == "p99"] == ["breached: 300 ms (limit 200 ms)"]


SHIFT = RolloutPlan.model_validate(
    {
        "begin": "by_itself",
        "stages": [{"share": 5, "score_shift": 0.1}, {"share": 100}],
    }
)
ALIKE = {("champion", 0): 900.0, ("champion", 1): 100.0, ("challenger", 0): 88.0, ("challenger", 1): 12.0}


@pytest.mark.parametrize(
    ("scores", "fields", "sentence"),
    [
        (ALIKE, {}, None),
        (
            ALIKE | {("challenger", 1): 40.0},
            {},
            "the distributions of their scores are 21% apart, 10% allowed",
        ),
        ({("champion", 0): 900.0}, {}, "not both models have answered users yet"),
        (None, {}, None),  # the service does not count them
        ({("champion", 0): 900.0}, {"constraints": ("country NOT_IN NO",)}, None),  # the users are others
    ],
)
def test_scores_of_the_challengers_users_that_drift_from_the_champions_pause_the_plan(
    scores: dict[tuple[str, int], float] | None, fields: dict[str, Any], sentence: str | None
) -> None:
    step = decide(SHIFT, at(5, readings=less(scores=scores), **fields))
    unmet = [(one.name, one.sentence) for one in step.unmet]
    assert unmet == ([("score shift", sentence)] if sentence else [])
    assert step.kind is (StepKind.WAIT if sentence else StepKind.ADVANCE)
