"""`explain`: sentences with times, and verdicts judged again, of decisions that the job has kept itself."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from common.arms import UNVERSIONED, ServedModel
from common.prometheus import Prometheus
from rollback.__main__ import main
from rollback.actions.instances import Instance
from rollback.actions.stop import Off, Stop, StopState
from rollback.actions.turn_off import Rollback
from rollback.decisions.log import DecisionLog
from rollback.decisions.record import Decision, Kind, begin, rollback_record, stop_record, verdict_record
from rollback.job import Job
from tests.unit.rollback.conftest import ARMS, NOW, STATE, FakeCanary, Numbers, Server, make_policy

LIMIT = timedelta(minutes=1)
OFF_AT = NOW + timedelta(seconds=1)
AFTER = replace(STATE, enabled=False, revision=42, changed_by="canario-rollback", changed_at=OFF_AT)


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner(env={"CANARIO_DECISIONS_DIR": str(folder)}).invoke(main, ["explain", *arguments])


def instance() -> Instance:
    seen = OFF_AT + timedelta(seconds=4)
    return Instance("a:8000", 3, 2, OFF_AT, seen, seen + timedelta(seconds=15), seen)


@pytest.fixture
def rollback(server: Server, tmp_path: Path) -> Decision:
    """Kept after a real judgement of a slow challenger, with its stop 20 s later."""
    log = DecisionLog(tmp_path, most_bytes=10**9)
    server.reply = Numbers({"value_slow": 0.3, "sample_slow": 80})
    done = Job(make_policy(), Prometheus(server.url), FakeCanary(), ARMS, dry_run=True).run()
    (breach,) = done.verdicts
    record = rollback_record(Rollback("slow", None, 0.25, NOW + timedelta(seconds=2), AFTER), breach)
    state = replace(STATE, revision=41)
    decision = begin(Kind.ROLLBACK, FakeCanary(), state, verdicts=(verdict_record(breach),), rollback=record)
    log.write(decision)
    stop = Stop(
        StopState.VERIFIED,
        Off(OFF_AT, "canario-rollback", 42),
        LIMIT,
        OFF_AT + timedelta(seconds=20),
        "the challenger's answers stand still on a:8000",
        (instance(),),
        OFF_AT + timedelta(seconds=19),
    )
    log.write(begin(Kind.STOPPED, FakeCanary(), AFTER, stop=stop_record(stop, decision)))
    return decision


def test_a_rollback_is_told_from_its_beginning_to_its_end(rollback: Decision, tmp_path: Path) -> None:
    told = run(tmp_path)
    assert told.exit_code == 0, told.output
    for words in (
        "canary rolled back in production",
        "canary in production stood at 5% of the users, last changed by paula at 2026-11-23 11:00:00 UTC",
        "event 41 of Unleash",
        "slow: breach. 0.3 on 80 calls is over the limit of 0.2",
        "It decided to turn the flag off at 2026-11-23 12:00:02 UTC, because of slow",
        "Unleash said 0.25 s after the order that the flag is off (event 42 by canario-rollback)",
        "From the breach to the flag off it took 2.2 s",
        "The last answer of the challenger was counted at 2026-11-23 12:00:05 UTC",
        "At 2026-11-23 12:00:20 UTC it was seen to have stopped on 1 instance",
        "From the breach to the verified stop it took 20.0 s",
        "slow: breach: the same",
    ):
        assert words in told.stdout, told.stdout


def test_a_decision_whose_counts_say_otherwise_is_found_out(rollback: Decision, tmp_path: Path) -> None:
    file = tmp_path / f"{rollback.id}.json"
    document = json.loads(file.read_text())
    document["verdicts"][0]["evidence"]["values"] = [0.1]
    file.write_text(json.dumps(document))
    told = run(tmp_path, rollback.id)
    assert told.exit_code == 1
    assert "slow: ok: NOT what the job said" in told.stdout


def test_models_are_told_as_far_as_the_service_tells_them(rollback: Decision, tmp_path: Path) -> None:
    log = DecisionLog(tmp_path, most_bytes=10**9)
    assert "Champion" not in run(tmp_path).stdout
    versions = {"champion": UNVERSIONED, "challenger": ServedModel("", "2.1", "")}
    log.write(rollback.model_copy(update={"models": versions}))
    assert "\nChallenger: 2.1.\n" in run(tmp_path).stdout
    log.write(rollback.model_copy(update={"models": {"challenger": ServedModel("ranker", "2", "ab" * 32)}}))
    assert "\nChallenger: ranker 2 (sha256 abababababab).\n" in run(tmp_path).stdout


def test_evidence_that_is_none_is_said_and_the_story_told(rollback: Decision, tmp_path: Path) -> None:
    file = tmp_path / f"{rollback.id}.json"
    document = json.loads(file.read_text())
    document["verdicts"][0]["evidence"] = {"kind": "threshold"}
    file.write_text(json.dumps(document))
    told = run(tmp_path, rollback.id)
    assert told.exit_code == 0
    assert "cannot be judged again (KeyError" in told.stdout


def test_as_json_with_what_follows(rollback: Decision, tmp_path: Path) -> None:
    document = json.loads(run(tmp_path, "--json").stdout)
    assert document["id"] == rollback.id
    assert document["explanation"]["judged_again"][0]["same"] is True
    assert document["explanation"]["sentences"]


def test_all_are_listed_newest_first(rollback: Decision, tmp_path: Path) -> None:
    lines = run(tmp_path, "--list").stdout.splitlines()
    places = [next(at for at, line in enumerate(lines) if word in line) for word in ("-stop", "-rollback")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        (Kind.ORDERED, {"verified": None, "fault": None}, "the job ended before it could tell"),
        (
            Kind.FAILED,
            {"verified": False, "fault": "Unleash does not answer", "attempts": 4},
            "It could not be done after 4 attempts: Unleash does not answer",
        ),
    ],
)
def test_what_did_not_end_well(
    rollback: Decision, tmp_path: Path, kind: Kind, fields: dict[str, object], words: str
) -> None:
    assert rollback.rollback is not None
    record = rollback.rollback.model_copy(update={"off_revision": None, **fields})
    later = rollback.model_copy(
        update={"kind": kind, "rollback": record, "id": "29990101T000000.000Z-rollback-1"}
    )
    DecisionLog(tmp_path, most_bytes=10**9).write(later)
    assert words in run(tmp_path, "2999").stdout


def test_without_unleash_that_is_said(tmp_path: Path) -> None:
    decision = begin(Kind.BLIND, FakeCanary(), None, sentence="For more than 5m: slow.")
    DecisionLog(tmp_path, most_bytes=10**9).write(decision)
    told = run(tmp_path).stdout
    assert "Unleash could not tell how many users got the challenger" in told
    assert "For more than 5m: slow." in told


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["2001"], "no decision whose id begins or ends with 2001"),
        (["--decisions", "/no/such"], "is no folder yet"),
    ],
)
def test_what_is_not_there(tmp_path: Path, arguments: list[str], fault: str) -> None:
    told = run(tmp_path, *arguments)
    assert told.exit_code == 2
    assert fault in told.stderr


def test_an_empty_folder_and_none_at_all(tmp_path: Path) -> None:
    assert "holds no decision yet" in run(tmp_path).stderr
    told = CliRunner(env={}).invoke(main, ["explain"])
    assert (told.exit_code, "CANARIO_DECISIONS_DIR" in told.stderr) == (2, True)
