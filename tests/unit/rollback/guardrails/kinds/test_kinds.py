"""A kind of guardrail that nobody knows but this file, from the policy over the query to the verdict."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pytest

from common.config import ConfigError
from common.prometheus import Prometheus
from rollback.guardrails.file import load_policy, rejudge
from rollback.guardrails.kinds.base import KINDS, Guardrail, kind
from rollback.guardrails.kinds.question import Answers, Moment, Question
from rollback.guardrails.verdict import Status, Verdict
from rollback.job import Job
from rollback.simulate.study import rules_of
from rollback.simulate.traffic import Behaviour
from tests.unit.rollback.conftest import ARMS, FakeCanary, Numbers, Server

FILE = """\
scrape_interval: 5s
guardrails:
  - kind: heartbeat
    name: beats
    description: A challenger without a pulse is none.
    metric: pulse
    action: rollback
"""


class Heartbeat(Guardrail):
    """There must be a pulse."""

    kind: Literal["heartbeat"]
    metric: str

    def ask(self, moment: Moment) -> "Pulse":
        return Pulse(self, moment.now)

    def judge_again(self, evidence: Mapping[str, Any]) -> Verdict:
        return self.judge(evidence["pulse"])

    def judge(self, pulse: float | None) -> Verdict:
        status = Status.NO_DATA if pulse is None else Status.OK if pulse else Status.BREACH
        evidence = {"kind": "heartbeat", "guardrail": self.as_written(), "pulse": pulse}
        return Verdict(
            self.name, status, self.action, None, None, f"a pulse of {pulse}", rests_on=lambda: evidence
        )


@dataclass(frozen=True)
class Pulse(Question):
    """One number, now."""

    guardrail: Heartbeat
    now: datetime

    @property
    def queries(self) -> Sequence[str]:
        return (self.guardrail.metric,)

    @property
    def looks(self) -> tuple[datetime, ...]:
        return (self.now,)

    def judge(self, answers: Answers) -> Verdict:
        (pulse,) = answers.readings
        return self.guardrail.judge(pulse.points[0])


@pytest.fixture(autouse=True)
def known() -> Iterator[None]:
    kind(Heartbeat)
    yield
    del KINDS["heartbeat"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "guardrails.yaml"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize(
    ("pulse", "status"), [(0.0, Status.BREACH), (60.0, Status.OK), (None, Status.NO_DATA)]
)
def test_it_is_read_asked_and_judged(server: Server, file: Path, pulse: float | None, status: Status) -> None:
    server.reply = Numbers({"pulse": pulse})
    canary = FakeCanary()
    (verdict,) = Job(load_policy(file), Prometheus(server.url), canary, ARMS).run().verdicts
    assert (verdict.guardrail, verdict.status) == ("beats", status)
    assert canary.orders == (status is Status.BREACH)
    evidence = json.loads(json.dumps(verdict.evidence))
    assert rejudge(evidence) == (status, verdict.sentence, None)


def test_a_kind_that_asks_nothing_is_told(
    server: Server, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pulse, "looks", ())
    server.reply = Numbers({})
    (verdict,) = Job(load_policy(file), Prometheus(server.url), FakeCanary(), ARMS).run().verdicts
    assert verdict.status is Status.CANNOT_MEASURE
    assert verdict.sentence == "the kind heartbeat must ask either for numbers or for counters"


def test_what_it_does_not_answer_is_left_out(file: Path) -> None:
    policy = load_policy(file)
    assert rules_of(policy, Behaviour(0.02, 0.6, 0.01)) == ((), ("beats",))
    (beats,) = policy.guardrails
    assert (beats.series, beats.spends, beats.fixed_limit, beats.value_unit) == ((), 0.0, None, "number")


def test_faults_of_its_fields_have_their_lines(file: Path) -> None:
    file.write_text(FILE.replace("metric: pulse", "metrics: pulse"))
    with pytest.raises(ConfigError, match=r":6: guardrails\[0\]\.metrics: Extra inputs"):
        load_policy(file)
