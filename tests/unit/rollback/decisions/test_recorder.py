"""What is kept and told of iterations, with a real folder; and that neither holds up a rollback."""

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from common.arms import ServedModel
from rollback.actions.instances import Instance
from rollback.actions.stop import Off, Stop, StopState
from rollback.actions.turn_off import roll_back
from rollback.background import Background
from rollback.decisions.log import DecisionLog
from rollback.decisions.record import Decision, Kind
from rollback.decisions.recorder import DecisionRecorder
from rollback.guardrails.verdict import Action, Status, Verdict
from rollback.iteration import Iteration
from rollback.notify import Message, Notifier, Tone
from tests.unit.rollback.conftest import STATE, FakeCanary, make_policy

NOW = datetime.now(UTC)
MODEL = ServedModel(name="breast-cancer", version="2", sha256="ab" * 32)
ON = replace(STATE, revision=41)
OFF = replace(STATE, enabled=False, revision=42, changed_by="canario-rollback", changed_at=NOW)
LIMIT = timedelta(minutes=1)


def verdict(status: Status, *, action: Action = Action.ROLLBACK, name: str = "slow") -> Verdict:
    plain = make_policy().guardrails[0].unjudged(status, "so it is")
    return replace(plain, guardrail=name, action=action)


BREACH = verdict(Status.BREACH)


@dataclass
class Channel:
    name: str = "1-test"
    messages: list[Message] = field(default_factory=list)

    def send(self, message: Message) -> bool:
        self.messages.append(message)
        return True


@dataclass
class Desk:
    """A recorder over a folder and one channel."""

    folder: Path
    canary: FakeCanary = field(default_factory=lambda: FakeCanary(ON))
    channel: Channel = field(default_factory=Channel)
    failures: list[None] = field(default_factory=list)
    cannot_measure_for: timedelta = timedelta(minutes=5)
    models: Callable[[], dict[str, ServedModel]] = lambda: {"challenger": MODEL}
    prediction_log: Path | None = None

    def __post_init__(self) -> None:
        self.log = DecisionLog(self.folder, most_bytes=10**9)
        self.begin()

    def begin(self) -> None:
        """A new process."""
        self.recorder = DecisionRecorder(
            self.canary,
            self.log,
            Notifier([self.channel]),
            models=self.models,
            cannot_measure_for=self.cannot_measure_for,
            prediction_log=self.prediction_log,
            on_failure=lambda: self.failures.append(None),
        )

    def roll_back(self, *, stop: Stop | None = None) -> Iteration:
        """As the job does it."""
        self.recorder.before_rollback(BREACH, ON)
        rollback = roll_back(self.canary, BREACH)
        self.recorder.after_rollback(rollback, BREACH, ON)
        verdicts = (BREACH, verdict(Status.OK, name="other"))
        done = Iteration(ON, None, False, 0.1, verdicts=verdicts, rollback=rollback, stop=stop)
        self.recorder.after_iteration(done)
        return done

    def judged(self, *verdicts: Verdict, fault: str | None = None) -> None:
        self.recorder.after_iteration(Iteration(ON, fault, False, 0.1, verdicts=verdicts))

    def off(self, state: StopState, at: datetime = NOW, revision: int = 42, late: float = 0) -> None:
        """An iteration with the flag off; `late` is how many seconds ago that was."""
        self.recorder.after_iteration(Iteration(OFF, None, False, 0.1, stop=stop(state, at, revision, late)))

    def kept(self) -> list[Decision]:
        self.recorder.close(5)
        return [self.log.read(one) for one in self.log.ids()]

    def told(self) -> list[tuple[str, Tone]]:
        self.recorder.close(5)
        return [(message.title, message.tone) for message in self.channel.messages]


def stop(state: StopState, at: datetime = NOW, revision: int = 42, late: float = 0) -> Stop:
    looked = at + timedelta(seconds=late or 20)
    stopped = looked if state is StopState.VERIFIED else None
    seen = Instance("a", 3, 2, at, at + timedelta(seconds=2), stopped, None)
    return Stop(state, Off(at, "canario-rollback", revision), LIMIT, looked, "so it was", (seen,), stopped)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


class Obedient(FakeCanary):
    """Gives the new state its own event."""

    def turn_off(self) -> object:  # type: ignore[override]
        self.orders += 1
        self.state = OFF
        return self.state


def test_a_rollback_is_one_document_with_everything(desk: Desk) -> None:
    desk.canary = desk.recorder.canary = Obedient(ON)  # type: ignore[assignment]
    desk.roll_back()
    (decision,) = desk.kept()
    assert decision.kind is Kind.ROLLBACK
    assert (decision.share, decision.changed_by, decision.flag_revision) == (5, "paula", 41)
    assert decision.rollback is not None
    assert (decision.rollback.verified, decision.rollback.off_revision) == (True, 42)
    assert [one["guardrail"] for one in decision.verdicts] == ["slow", "other"]
    assert decision.models == {"challenger": MODEL}
    assert desk.told() == [("canary rolled back in production, because of slow", Tone.WARNING)]
    assert f"./canario explain {decision.id}" in desk.channel.messages[0].body
    assert "5% of the users, last changed by paula" in desk.channel.messages[0].body


def test_a_rollback_names_example_traces(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.mkdir()
    record = {"kind": "prediction", "assigned": "challenger", "model": "champion", "seconds": 0.2}
    record |= {"reason": "fallback_timeout", "time": datetime.now(UTC).isoformat(), "trace_id": "ab" * 16}
    (log / "predictions-1.jsonl").write_text(json.dumps(record) + "\n")
    desk = Desk(tmp_path / "decisions", prediction_log=log)
    desk.canary = desk.recorder.canary = Obedient(ON)  # type: ignore[assignment]
    desk.roll_back()
    (decision,) = desk.kept()
    assert [(each.trace_id, each.what) for each in decision.traces] == [("ab" * 16, "failed: timeout")]
    desk.told()
    assert f"  {'ab' * 16} at " in desk.channel.messages[0].body


def test_a_job_that_is_killed_after_its_order_has_left_why_it_gave_it(desk: Desk) -> None:
    desk.recorder.before_rollback(BREACH, ON)
    (decision,) = (desk.log.read(one) for one in desk.log.ids())  # at once, without waiting for a thread
    assert decision.kind is Kind.ORDERED
    assert decision.verdicts[0]["guardrail"] == "slow"
    assert decision.rollback is not None
    assert decision.rollback.verified is None


def test_a_rollback_that_cannot_be_done_is_one_document_until_it_is_done(desk: Desk) -> None:
    desk.canary.obeys = False
    for _ in range(5):
        desk.roll_back()
        desk.kept()
    (decision,) = desk.kept()
    assert decision.kind is Kind.FAILED
    assert decision.rollback is not None
    assert decision.rollback.attempts == 5
    assert len(desk.told()) == 3  # the first, second and fourth
    desk.begin()  # killed, and started again
    desk.kept()
    desk.canary.obeys = True
    desk.roll_back()
    (decision,) = desk.kept()
    assert (decision.kind, decision.rollback and decision.rollback.attempts) == (Kind.ROLLBACK, 6)


def test_only_a_change_of_verdict_is_news(desk: Desk) -> None:
    warn = verdict(Status.BREACH, action=Action.WARN)
    for now in (verdict(Status.OK), verdict(Status.NO_DATA), warn, warn, warn, verdict(Status.OK)):
        desk.judged(now)
    turns = [(turn.before, turn.after) for decision in desk.kept() for turn in decision.turns]
    assert turns == [("fine", "warn"), ("warn", "fine")]
    assert [tone for _, tone in desk.told()] == [Tone.WARNING, Tone.NOTE]


def test_an_iteration_without_news_wakes_nobody(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.judged(verdict(Status.OK))
    assert desk.kept() == []
    with monkeypatch.context() as patch:
        patch.setattr(Background, "do", lambda *_: pytest.fail("nothing is new"))
        desk.judged(verdict(Status.OK))
        desk.judged(verdict(Status.NO_DATA))
    desk.judged(verdict(Status.CANNOT_MEASURE))
    desk.judged(verdict(Status.OK))
    assert [each.turns[0].after for each in desk.kept()] == ["cannot measure", "fine"]


def test_a_new_process_does_not_tell_old_news(desk: Desk) -> None:
    warn = verdict(Status.BREACH, action=Action.WARN)
    for _ in range(3):  # as cron runs it
        desk.judged(warn)
        desk.kept()
        desk.begin()
    assert len(desk.kept()) == 1
    assert len(desk.told()) == 1


def test_a_job_that_is_blind_too_long_says_so_once_and_says_when_it_is_over(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    blind = verdict(Status.CANNOT_MEASURE)
    desk.judged(blind)
    assert [decision.kind for decision in desk.kept()] == [Kind.VERDICT]
    desk.recorder.cannot_measure_for = timedelta()  # the five minutes are over
    for _ in range(3):
        desk.judged(blind, fault="no Unleash")
    desk.judged(verdict(Status.OK))
    assert [decision.kind for decision in desk.kept() if not decision.turns] == [Kind.BLIND]
    assert [tone for _, tone in desk.told()] == [Tone.BAD, Tone.NOTE]


def test_a_stop_that_is_seen_ends_the_story_of_the_rollback(desk: Desk) -> None:
    desk.canary = desk.recorder.canary = Obedient(ON)  # type: ignore[assignment]
    desk.roll_back(stop=stop(StopState.PENDING))
    desk.off(StopState.PENDING)
    desk.off(StopState.VERIFIED)
    desk.off(StopState.VERIFIED)
    rollback, stopped = desk.kept()
    assert stopped.kind is Kind.STOPPED
    assert stopped.stop is not None
    assert stopped.stop.rollback == rollback.id
    assert [tone for _, tone in desk.told()] == [Tone.WARNING, Tone.GOOD]


def test_a_challenger_that_goes_on_is_told_once_and_again_when_it_has_stopped(desk: Desk) -> None:
    for state in (StopState.RISING, StopState.RISING, StopState.VERIFIED, StopState.VERIFIED):
        desk.off(state, late=90)
    assert [decision.kind for decision in desk.kept()] == [Kind.NOT_STOPPED, Kind.STOPPED]
    assert [tone for _, tone in desk.told()] == [Tone.BAD, Tone.GOOD]


def test_a_new_process_finds_a_challenger_that_goes_on_long_after(desk: Desk) -> None:
    old = NOW - timedelta(days=3)
    desk.off(StopState.VERIFIED, old, late=3 * 86_400)
    assert desk.kept() == []
    desk.off(StopState.RISING, old, late=3 * 86_400)
    assert [decision.kind for decision in desk.kept()] == [Kind.NOT_STOPPED]


def test_a_person_who_turned_it_off_gets_no_message_about_that(desk: Desk) -> None:
    desk.off(StopState.VERIFIED)
    assert [decision.kind for decision in desk.kept()] == [Kind.STOPPED]
    assert desk.told() == []


OPEN = os.open


def hang(path: str, flags: int, mode: int) -> int:
    time.sleep(3)  # a disk, longer than a rollback may wait for it
    return OPEN(path, flags, mode)


def no_space(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def read_only(*_: object, **__: object) -> None:
    raise OSError(30, "Read-only file system")


@pytest.mark.parametrize(
    ("broken", "within"),
    [(no_space, 1), (read_only, 1), (hang, 2)],
    ids=["full", "read-only", "hanging"],
)
def test_a_broken_disk_holds_up_no_rollback(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, broken: Callable[..., int | None], within: float
) -> None:
    desk.kept()
    monkeypatch.setattr("common.files.os.open", broken)
    began = time.monotonic()
    desk.roll_back()
    assert time.monotonic() - began < within
    assert desk.canary.orders == 1
    assert not desk.canary.state.enabled
    if broken in (no_space, read_only):
        assert [title for title, _ in desk.told()] == ["canary rolled back in production, because of slow"]
        assert len(desk.failures) == 3  # the order, its end, the iteration


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="a folder in which nobody can write")
def test_a_folder_in_which_nobody_can_write_holds_up_no_rollback() -> None:
    desk = Desk(Path("/proc/self/decisions"))
    began = time.monotonic()
    desk.roll_back()
    assert time.monotonic() - began < 1
    desk.recorder.close(5)
    assert desk.canary.orders == 1
    assert len(desk.failures) == 3


def test_a_prometheus_that_hangs_holds_up_no_rollback(tmp_path: Path) -> None:
    gate = threading.Event()

    def models() -> dict[str, ServedModel]:
        gate.wait(5)
        return {}

    desk = Desk(tmp_path, models=models)
    began = time.monotonic()
    desk.roll_back()
    assert time.monotonic() - began < 2
    gate.set()
    assert desk.kept()[0].kind is Kind.ROLLBACK


def test_documents_of_two_jobs_stand_side_by_side(tmp_path: Path) -> None:
    first, second = Desk(tmp_path), Desk(tmp_path)
    threads = [threading.Thread(target=desk.roll_back) for desk in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first.kept()
    assert [decision.kind for decision in second.kept()] == [Kind.ROLLBACK, Kind.ROLLBACK]
    assert not [name for name in tmp_path.iterdir() if name.suffix == ".tmp"]


def test_a_new_process_ends_the_story_of_a_rollback_whose_job_was_killed(desk: Desk) -> None:
    desk.recorder.before_rollback(BREACH, ON)
    desk.begin()
    desk.off(StopState.VERIFIED, datetime.now(UTC))
    ordered, stopped = desk.kept()
    assert (ordered.kind, stopped.kind) == (Kind.ORDERED, Kind.STOPPED)
    assert stopped.stop is not None
    assert stopped.stop.rollback == ordered.id
    assert [tone for _, tone in desk.told()] == [Tone.GOOD]


def test_a_flag_that_was_never_on_has_stopped_nothing(desk: Desk) -> None:
    quiet = replace(stop(StopState.VERIFIED), instances=())
    desk.recorder.after_iteration(Iteration(OFF, None, False, 0.1, stop=quiet))
    assert desk.kept() == []
