"""Example traces for a decision: what to look up of the challenger's calls, from the prediction log's end.

They prove nothing and decide nothing: the verdict is of counts, and these are a few of the calls behind them.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import AwareDatetime, BaseModel, ValidationError

from common.config import StrictModel

FAILED, SLOWEST = 3, 2  # examples of each
FILES, TAIL_BYTES = 16, 1024 * 1024  # the newest files, and the end of each
FALLBACK: Final = "fallback_"


class ExampleTrace(StrictModel):
    """A request whose user was to get the challenger, and what is to be seen in its trace."""

    trace_id: str
    time: AwareDatetime
    what: str


class _Call(BaseModel):
    """Of a record of the prediction log, what is read here: a request of a user of the challenger."""

    kind: Literal["prediction"]
    assigned: Literal["challenger"]
    model: str
    reason: str
    seconds: float
    time: AwareDatetime
    trace_id: str

    def example(self, what: str) -> ExampleTrace:
        return ExampleTrace(trace_id=self.trace_id, time=self.time, what=what)


def example_traces(folder: Path, since: datetime) -> tuple[ExampleTrace, ...]:
    """The last calls of the challenger that failed, then the slowest that it answered.

    Args:
        folder: of the prediction log.
        since: calls before belong to another share.

    Returns:
        None of them where requests name no trace, or the log cannot be read.
    """
    try:
        calls = [call for file in _newest(folder) for call in _calls(file) if call.time >= since]
    except OSError:
        return ()
    failed = sorted((each for each in calls if each.reason.startswith(FALLBACK)), key=lambda each: each.time)
    answered = sorted((each for each in calls if each.model == each.assigned), key=lambda each: each.seconds)
    return tuple(
        [each.example(f"failed: {each.reason.removeprefix(FALLBACK)}") for each in failed[: -FAILED - 1 : -1]]
        + [
            each.example(f"answered after {1000 * each.seconds:.0f} ms")
            for each in answered[: -SLOWEST - 1 : -1]
        ]
    )


def _newest(folder: Path) -> list[Path]:
    files = ((file.stat().st_mtime, file) for file in folder.glob("*.jsonl"))
    return [file for _, file in sorted(files, reverse=True)[:FILES]]


def _calls(file: Path) -> Iterator[_Call]:
    with file.open("rb") as opened:
        opened.seek(max(0, file.stat().st_size - TAIL_BYTES))
        lines = opened.read().splitlines()
    for line in lines:
        try:
            yield _Call.model_validate_json(line)
        except ValidationError:
            continue  # another kind of record, one without a trace, or half a line
