"""After a rollback board, Unleash, message and command line say the same."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from board.answer import answer_of
from common.arms import UNVERSIONED, ServedModel
from common.names import Model
from flags.canary.aftermath import Aftermath
from flags.canary.marks import ROLLED_BACK, label
from flags.cli.status import status_lines
from flags.rollout.decide import decide
from rollback.__main__ import main
from rollback.decisions.log import DecisionLog
from rollback.decisions.record import Decision, Kind, RollbackRecord, verdict_record
from rollback.decisions.recorder import DecisionRecorder
from rollback.decisions.story import aftermath
from rollback.guardrails.effect import Effect
from rollback.guardrails.verdict import Action, Status, Verdict
from rollback.notify import Message, Notifier, Tone
from tests.unit.board.scenes import facts
from tests.unit.flags.rollout.scenes import JOB, PERSON, PLAN, VERSION, at, off, share
from tests.unit.rollback.conftest import FakeCanary

CHALLENGER = ServedModel("forest", "2", "0a1b2c3d4e5f" + "0" * 52)
BREACH = Verdict(
    guardrail="errors",
    status=Status.BREACH,
    action=Action.ROLLBACK,
    limit=0.02,
    smallest_sample=100,
    sentence="the challenger failed 120 of 1,000 calls",
    unit="share",
    value=0.12,
    sample=1_000.0,
    window=timedelta(hours=2),
    effect=Effect(0.01, 0.08, 0.14),
    log_e=9.0,
    log_e_needed=4.2,
    models={Model.CHALLENGER: CHALLENGER},
    rests_on=dict,
)
WHY = BREACH.measured.cause(BREACH.sentence)
SEEN = at(
    5,
    share(PERSON, 0, 5),
    off(JOB),
    (JOB, "feature-tagged", {"type": ROLLED_BACK, "value": WHY}, None),
    enabled=False,
    quarantined=(label(CHALLENGER.version, CHALLENGER.sha256),),
)
OFF_AT = next(one.at for one in SEEN.changes if one.lowered and one.who == JOB)


def decision(breach: Verdict = BREACH) -> Decision:
    record = RollbackRecord(guardrail="errors", breached_at=None, verified=True, seconds=0.2, off_at=OFF_AT)
    return Decision(
        id="20261123T120000.000Z-rollback-aaaa",
        time=OFF_AT,
        kind=Kind.ROLLBACK,
        flag="canary",
        environment="production",
        share=5,
        models={role.value: model for role, model in breach.models.items()},
        verdicts=(verdict_record(breach),),
        rollback=record,
    )


class Sent(Notifier):
    def __init__(self) -> None:
        super().__init__(())
        self.messages: list[Message] = []

    def send(self, message: Message) -> None:
        self.messages.append(message)


def test_all_four_say_what_happened_what_is_blocked_and_the_commands(tmp_path: Path) -> None:
    told = aftermath(decision())
    assert told is not None
    assert told.sentence.endswith(
        "because of errors: 12%, champion 1.0% (limit 2.0%): everybody has the champion."
    )
    assert told.blocked == "Version 2 is blocked."
    for words in ("./canario lift canary", "./canario models challenger", "Keep it off: nothing to do"):
        assert words in told.lines[2]

    sent = Sent()
    recorder = DecisionRecorder(FakeCanary(), None, sent)
    recorder._notify(decision(), Tone.WARNING)
    recorder.close(1)
    assert sent.messages[0].body.splitlines()[:3] == list(told.lines)

    DecisionLog(tmp_path, most_bytes=10**6).write(decision())
    explained = CliRunner(env={"CANARIO_DECISIONS_DIR": str(tmp_path)}).invoke(main, ["explain"]).stdout
    assert "\n".join(told.lines) in explained
    status = " ".join(" ".join(status_lines(PLAN, decide(PLAN, SEEN), SEEN)).split())
    assert " ".join(told.lines) in status

    assert answer_of(facts(SEEN)).now == told.sentence

    (tag,) = (one.marked[1] for one in SEEN.changes if one.marked and one.marked[0] == ROLLED_BACK)
    assert f"because of {tag}: " in told.sentence


def test_the_board_says_it_with_what_is_blocked_and_the_commands() -> None:
    seen = replace(SEEN, canary=replace(SEEN.canary, quarantined=(VERSION,)))
    lines = Aftermath("canary", OFF_AT, WHY, VERSION).lines
    answer = answer_of(facts(seen))
    assert answer.now == lines[0]
    assert answer.next == f"Nothing comes by itself. {lines[1]} {lines[2]}"


@pytest.mark.parametrize(
    ("models", "blocked"),
    [
        (
            {Model.CHALLENGER: UNVERSIONED},
            "Any version is blocked, because the service does not say which one it serves.",
        ),
        ({}, "What was served is blocked."),
    ],
)
def test_a_version_that_is_not_known(models: dict[Model, ServedModel], blocked: str) -> None:
    told = aftermath(decision(replace(BREACH, models=models)))
    assert told is not None
    assert told.blocked == blocked


def test_where_nothing_is_blocked_nothing_is_to_be_lifted() -> None:
    told = Aftermath("canary", OFF_AT, WHY, None).lines
    assert told[1:] == ("No version is blocked.", "It may be tried again: `./canario rollout begin`.")


def test_another_decision_has_none() -> None:
    assert aftermath(decision().model_copy(update={"kind": Kind.FAILED})) is None
