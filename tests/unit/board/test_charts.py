"""Lines of charts that are no plain series."""

from board.charts import wanted
from board.history import Span
from tests.unit.flags.rollout.scenes import JOB, PERSON, START, changes, off, on, share


def test_the_wanted_share_is_a_step_at_each_change() -> None:
    log = changes(*START, share(PERSON, 0, 5), share(PERSON, 5, 25), off(JOB), on(PERSON))
    first = int(log[0].at.timestamp())
    moves = [int(one.at.timestamp()) for one in log]
    assert wanted(log, [first - 1, *moves]) == (None, 0.0, 0.0, 0.0, 5.0, 25.0, 0.0, 25.0)


def test_no_change_is_no_line() -> None:
    assert wanted((), [1, 2]) == (None, None)


def test_each_span_has_as_many_points_as_a_screen() -> None:
    assert {span.value: span.points for span in Span} == {
        "15m": 181,
        "1h": 241,
        "6h": 241,
        "1d": 241,
        "7d": 225,
    }
