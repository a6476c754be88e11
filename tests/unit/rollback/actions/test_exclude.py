"""A breach in one segment keeps its users with the champion; anything more turns the flag off."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from common.arms import OURS
from common.errors import CanarioError
from common.prometheus import Prometheus
from flags.canary.aftermath import let_in_again
from rollback.actions.turn_off import Rollback
from rollback.decisions.memory import Memory
from rollback.decisions.record import Kind, begin, rollback_record, verdict_record
from rollback.decisions.story import aftermath, tell, title
from rollback.guardrails.file import Policy, rejudge
from rollback.guardrails.verdict import Status, Verdict
from rollback.iteration import Iteration
from rollback.job import Job
from tests.unit.rollback.conftest import (
    ARMS,
    NOW,
    SEQUENTIAL,
    STATE,
    FakeCanary,
    Numbers,
    Reading,
    Server,
    policy_of,
)

SEGMENTS: dict[str, object] = {
    "by": "country",
    "values": ["NO", "SE"],
    "share_of_alpha": 0.3,
    "action": "exclude",
}
BY_COUNTRY: dict[str, object] = {
    **SEQUENTIAL,
    "bad": "{errors}",
    "total": "{calls}",
    "share_of_alpha": 0.5,
    "segments": SEGMENTS,
}
POLICY = policy_of(BY_COUNTRY).on(OURS)
SEGMENT_RATES = {"NO": 5.0, "SE": 20.0, "other": 25.0}


def grown(rate: float, stands_still: bool = False) -> Reading:
    """A counter that has grown at so many a second for an hour, or in its first 10 s only."""
    since = NOW.timestamp() - 3600
    return lambda at: 1000.0 + round(rate * min(max(at - since, 0), 10 if stands_still else 3600))


def failing(*still: str, **shares: float) -> Numbers:
    """A service that fails 1% of its calls, the challenger as many as said; `still`: nobody has it there."""
    counters = []
    for country, rate in SEGMENT_RATES.items():
        for model, part in (("champion", 0.95), ("challenger", 0.05)):
            bad = shares.get(country, 0.01) if model == "challenger" else 0.01
            stands_still = model == "challenger" and country in still
            of = {"job": "service", "instance": "a", "model": model}
            only = of | {"property": "country", "value": country}
            calls, failed = grown(rate * part, stands_still), grown(rate * part * bad, stands_still)
            counters += [
                ({"__name__": "segment_calls_total", **only}, calls),
                ({"__name__": "segment_errors_total", **only}, failed),
                ({"__name__": "model_calls_total", "of": country, **of}, calls),
                ({"__name__": "prediction_errors_total", "of": country, **of}, failed),
            ]
    return Numbers({}, counters=counters)


def run(server: Server, canary: FakeCanary, *, policy: Policy = POLICY, dry_run: bool = False) -> Iteration:
    return Job(policy, Prometheus(server.url), canary, ARMS, dry_run=dry_run).run()


def verdict_of(done: Iteration, name: str) -> Verdict:
    return next(one for one in done.verdicts if one.guardrail == name)


def test_a_segment_that_is_harmed_is_excluded_and_the_others_keep_what_they_have(server: Server) -> None:
    """All users are breached too, by the same calls: without Norway nothing is left of that."""
    server.reply, canary = failing(NO=0.5), FakeCanary()
    done = run(server, canary)
    assert verdict_of(done, "errors").status is Status.BREACH
    assert verdict_of(done, "errors-no").segment == "country=NO"
    assert (canary.excluded, canary.orders, canary.state.enabled) == (["country=NO"], 0, True)
    assert done.rollback
    assert (done.rollback.excluded, done.rollback.verified) == ("country=NO", True)
    assert (done.outcome, done.exit_code) == ("segment excluded", 1)


def test_where_only_all_users_are_breached_the_segment_behind_it_is_excluded(server: Server) -> None:
    """The threshold of a segment is higher, by its part of alpha."""
    server.reply, canary = failing(NO=0.5), FakeCanary()
    policy = policy_of({**BY_COUNTRY, "segments": {**SEGMENTS, "share_of_alpha": 1e-290}}).on(OURS)
    done = run(server, canary, policy=policy)
    assert verdict_of(done, "errors-no").status is Status.OK
    assert (canary.excluded, canary.orders) == (["country=NO"], 0)
    assert done.rollback
    assert done.rollback.guardrail == "errors"


@pytest.mark.parametrize(
    ("shares", "kept_out", "why"),
    [
        ({"NO": 0.1, "SE": 0.1, "other": 0.1}, (), "all are harmed"),
        ({"other": 0.1}, (), "who is harmed has no name"),
        ({"NO": 0.5}, ("country=SE",), "another one is excluded already"),
    ],
)
def test_what_is_no_matter_of_one_segment_turns_the_flag_off(
    server: Server, shares: dict[str, float], kept_out: tuple[str, ...], why: str
) -> None:
    server.reply, canary = (
        failing(*(each[8:] for each in kept_out), **shares),
        FakeCanary(replace(STATE, kept_out=kept_out)),
    )
    done = run(server, canary)
    assert (canary.excluded, canary.orders, canary.state.enabled) == ([], 1, False), why
    assert done.rollback
    assert (done.rollback.excluded, done.outcome) == (None, "rolled back")


def test_what_unleash_does_not_allow_turns_the_flag_off(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.reply, canary = failing(NO=0.5), FakeCanary(exclude_fault=CanarioError("it may not do that"))
    done = run(server, canary)
    assert (canary.excluded, canary.orders, done.outcome) == (["country=NO"], 1, "rolled back")
    line = next(one for one in caplog.records if one.message.startswith("segment NOT excluded"))
    assert line.__dict__["error"] == "it may not do that"


def test_a_dry_run_excludes_nobody(server: Server) -> None:
    server.reply, canary = failing(NO=0.5), FakeCanary()
    done = run(server, canary, dry_run=True)
    assert (canary.excluded, canary.orders, done.exit_code) == ([], 0, 1)


def test_without_unleash_nobody_knows_who_is_excluded(server: Server) -> None:
    server.reply, canary = failing(NO=0.5), FakeCanary(read_fault=CanarioError("silent"))
    assert run(server, canary).outcome == "rolled back"
    assert canary.excluded == []


def test_the_challenger_is_seen_to_stop_for_those_who_are_excluded(server: Server) -> None:
    out = replace(STATE, kept_out=("country=NO",))
    server.reply, canary = failing("NO"), FakeCanary(out)
    norway = verdict_of(run(server, canary), "errors-no")
    assert norway.status is Status.OK
    assert norway.sentence == "country=NO keeps the champion: the challenger was seen to stop within 1m5s"
    kept = json.loads(json.dumps(norway.evidence))
    assert rejudge(kept)[:2] == (norway.status, norway.sentence)
    young = FakeCanary(replace(out, changed_at=NOW - timedelta(seconds=30)))
    assert verdict_of(run(server, young), "errors-no").status is Status.NO_DATA
    assert (canary.orders, young.orders) == (0, 0)


def test_an_exclusion_that_does_not_work_turns_the_flag_off(server: Server) -> None:
    """As where the label's values are not those of the context."""
    server.reply, canary = failing(), FakeCanary(replace(STATE, kept_out=("country=NO",)))
    done = run(server, canary)
    assert canary.orders == 1
    norway = verdict_of(done, "errors-no")
    assert norway.sentence.endswith("of its calls went to the challenger later than 1m5s after that")
    assert done.rollback
    assert (done.rollback.guardrail, done.outcome) == ("errors-no", "rolled back")


def test_people_are_told_who_was_excluded_and_how_to_let_them_in(server: Server) -> None:
    server.reply, canary = failing(NO=0.5), FakeCanary()
    done = run(server, canary)
    breach, rollback = verdict_of(done, "errors-no"), done.rollback
    assert isinstance(rollback, Rollback)
    decision = begin(
        Kind.EXCLUDED,
        canary,
        STATE,
        verdicts=(verdict_record(breach),),
        rollback=rollback_record(rollback, breach),
    )
    assert title(decision) == "country=NO excluded from canary in production, because of errors-no"
    told = aftermath(decision)
    assert told
    assert told.sentence.startswith("country=NO was excluded at ")
    assert "because of errors-no: 50%" in told.sentence
    assert told.lines[2] == let_in_again("canary", "country=NO")
    story = "\n".join(tell(decision))
    assert "It decided to keep country=NO with the champion" in story
    assert "that country=NO is excluded" in story
    memory = Memory(canary.flag, canary.environment)
    memory.learn(decision)
    assert (memory.rollback, memory.ordered, memory.turns(done)) == (None, None, ())
    whole = decision.model_copy(
        update={"kind": Kind.ROLLBACK, "rollback": rollback_record(replace(rollback, excluded=None), breach)}
    )
    assert "  These users alone: `./canario exclude canary country=NO`." in tell(whole)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"action": "exclude"}, "exclude is an action of segments"),
        ({"segments": {**SEGMENTS, "values": ["NO", "other"]}}, "nobody could be excluded by it"),
    ],
)
def test_only_segments_that_users_have_can_be_excluded(changes: dict[str, object], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        policy_of({**BY_COUNTRY, **changes})
