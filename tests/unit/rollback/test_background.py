"""Work in the background goes on, whatever one piece of it does, and what the machine lacks for a while."""

import threading
from collections.abc import Callable

import pytest

from rollback.background import Background


def nothing() -> None:
    pass


def bug() -> None:
    raise LookupError("a bug")


def end_of_thread() -> None:
    raise SystemExit


@pytest.mark.parametrize("piece", [bug, end_of_thread])
def test_one_piece_of_work_ends_no_other(piece: Callable[[], None]) -> None:
    background = Background("test", on_failure=bug)  # counting the failure fails, too
    assert background.do(piece).wait(5)
    done: list[int] = []
    assert background.do(lambda: done.append(1)).wait(5)
    assert done == [1]
    assert background.close(5)


def test_a_machine_without_threads_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    background = Background("test")

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        first = background.do(nothing)
    assert not first.is_set()
    assert background.do(nothing).wait(5)
    assert first.wait(5)
