"""What comes from the challenger's process is not believed: a model's own code can write to its channels."""

import math
import struct
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from service.challenger.launcher import WorkerSpec
from service.challenger.pool import NoReplyError
from service.challenger.process import SupervisedWorker
from service.challenger.protocol import (
    LONGEST_TEXT,
    READY_ID,
    Outcome,
    ProtocolError,
    Reply,
    pack_reply,
    unpack_reply,
)
from service.models.onnx_model import Row
from tests.unit.waiting import until

NUMBERS = np.array([0.25, 0.75], dtype=np.float32)
BODY = NUMBERS.tobytes()


def test_a_right_reply_comes_through() -> None:
    reply = unpack_reply(pack_reply(7, Outcome.ANSWERED, 0.1, BODY), 7, 0.2)
    assert reply == Reply(Outcome.ANSWERED, 0.1, BODY)
    assert reply.numbers.tolist() == NUMBERS.tolist()


@pytest.mark.parametrize(
    ("packet", "message"),
    [
        (b"", "no reply"),
        (b"\x00" * 8, "no reply"),
        (struct.pack("<QdB7x", 7, 0.1, 9) + BODY, "no reply"),
        (pack_reply(8, Outcome.ANSWERED, 0.1, BODY), "call 8 came where call 7 waits"),
        (pack_reply(READY_ID, Outcome.READY, 0.0), "call 0 came"),
        (pack_reply(7, Outcome.READY, 0.1), "out of turn"),
        (pack_reply(7, Outcome.REFUSED, 0.1, b"no"), "out of turn"),
        (pack_reply(7, Outcome.ANSWERED, math.nan, BODY), "nan s"),
        (pack_reply(7, Outcome.ANSWERED, math.inf, BODY), "inf s"),
        (pack_reply(7, Outcome.ANSWERED, -1.0, BODY), "-1 s"),
        (pack_reply(7, Outcome.ANSWERED, 1e300, BODY), "1e\\+300 s"),
        (pack_reply(7, Outcome.ANSWERED, 0.3, BODY), "of 0.2 s that passed"),
        (pack_reply(7, Outcome.RAISED, 0.1, b"x" * (LONGEST_TEXT + 1)), "a text of over"),
    ],
)
def test_what_is_no_reply_to_the_call_is_refused(packet: bytes, message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        unpack_reply(packet, 7, 0.2)


def test_an_answer_before_the_first_call_is_refused() -> None:
    with pytest.raises(ProtocolError, match="out of turn"):
        unpack_reply(pack_reply(READY_ID, Outcome.ANSWERED, 0.0, BODY), READY_ID, math.inf)


def test_the_text_of_a_model_is_one_line_without_control_characters() -> None:
    raised = Reply(Outcome.RAISED, 0.1, "no\x1b[2J\r\nERROR all is lost \xe9\u202e".encode() + b"\xff")
    assert raised.text == "no\ufffd[2J\ufffd\ufffdERROR all is lost \xe9\ufffd\ufffd"


HOSTILE = """
import math, threading
from service.challenger import fork_server, protocol
right = protocol.pack_reply
{code}
protocol.pack_reply = pack_reply
fork_server.main()
"""
SWAPPED = """
at_once, packets = threading.Barrier(2), {}
def pack_reply(call_id, outcome, seconds, body=b""):
    if outcome is not protocol.Outcome.ANSWERED:
        return right(call_id, outcome, seconds, body)
    packets[call_id] = right(call_id, outcome, seconds, body)
    at_once.wait(30)
    return next(packet for its, packet in packets.items() if its != call_id)
"""
LATE_NAN = """
import time
def pack_reply(call_id, outcome, seconds, body=b""):
    if outcome is protocol.Outcome.ANSWERED:
        time.sleep(0.5)  # beyond the deadline of 0.1 s
        seconds = math.nan
    return right(call_id, outcome, seconds, body)
"""


@pytest.fixture
def hostile(
    spec: WorkerSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], tuple[SupervisedWorker, list[float]]]]:
    """Starts a challenger whose process packs replies by this code."""
    made: list[SupervisedWorker] = []

    def start(code: str) -> tuple[SupervisedWorker, list[float]]:
        program = tmp_path / "hostile.py"
        program.write_text(HOSTILE.format(code=code), encoding="utf-8")
        monkeypatch.setattr("service.challenger.launcher.PROGRAM", (sys.executable, str(program)))
        late: list[float] = []
        worker = SupervisedWorker(spec, late.append)
        made.append(worker)
        worker.start()
        assert worker.is_up
        return worker, late

    yield start
    for each in made:
        each.close()


def test_nobody_gets_the_answer_to_another_call(
    hostile: Callable[[str], tuple[SupervisedWorker, list[float]]],
) -> None:
    worker, _ = hostile(SWAPPED)

    def ask(row: Row) -> str:
        try:
            return worker.call(row, 10.0).outcome.name
        except NoReplyError as error:
            return error.reason

    rows = [np.full((1, 30), value, dtype=np.float32) for value in (0.1, 0.9)]
    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(ask, rows)) <= {"invalid", "crash"}
    assert not worker.is_up


def test_a_late_reply_of_nan_seconds_counts_as_the_time_that_passed(
    hostile: Callable[[str], tuple[SupervisedWorker, list[float]]],
) -> None:
    worker, late = hostile(LATE_NAN)
    with pytest.raises(NoReplyError, match="timeout"):
        worker.call(np.zeros((1, 30), dtype=np.float32), 0.1)
    until(lambda: late)
    assert 0.4 < late[0] < 15
