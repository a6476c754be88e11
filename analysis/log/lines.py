"""Where the bad lines of a file are: the engine counts them, this looks them up, in Python and for people.

The checks are those of analysis.log.records, in the same order and with the same words; a test holds them
together. Only files in which the engine has found something are read, and only until enough is found.
"""

import gzip
import json
import re
from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from analysis.log.bad import BadLine
from analysis.log.records import EARLIEST, LARGEST, LATEST, ROLES, SCHEMA

_TIME: Final = re.compile(
    r"(\d{1,6})-(\d{1,2})-(\d{1,2})(?:[T ] *(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.\d*)?)?)?"
    r"\s*(?:Z|[+-]\d{1,2}(?::?\d{2})?)?"
)
"""Engines are lenient: 2026-11-2T1:2 is a time to them."""
LONGEST: Final = 16 * 1024 * 1024
"""Bytes of a line that are looked at."""


def bad_lines(file: str, kinds: Collection[str], most: int) -> Iterator[BadLine]:
    """The first `most` bad lines of a local file; fewer where it can be read no further."""
    found = 0
    try:
        with gzip.open(file) if file.endswith(".gz") else Path(file).open("rb") as lines:
            for number, line in enumerate(lines, 1):
                why = fault_of(line, kinds)
                if why is None:
                    continue
                if not line.endswith(b"\n"):
                    why = f"the last line, cut short or still being written: {why}"
                yield BadLine(file, number, why)
                found += 1
                if found == most:
                    return
    except (OSError, EOFError):  # removed or rotated meanwhile, or a packed file that is cut short
        return


def fault_of(line: bytes, kinds: Collection[str]) -> str | None:  # noqa: PLR0911 - one for each fault
    """What is wrong with a line; None where nothing is, also for an empty one."""
    if not line.strip():
        return None
    try:
        record = json.loads(line[:LONGEST])
    except (ValueError, RecursionError):
        return "no JSON object with a schema"
    if not isinstance(record, dict) or record.get("schema") is None:
        return "no JSON object with a schema"
    if _text(record["schema"]) != SCHEMA:
        return "this schema is not known"
    kind = record.get("kind")
    if kind is None:
        return "no kind"
    if not _is_time(record.get("time")):
        return "time is no date and time"
    if kind not in kinds:
        return None
    return next(
        {"prediction": _of_prediction, "shadow": _of_shadow, "feedback": _of_feedback}[kind](record), None
    )


Record = dict[str, Any]


def _of_prediction(record: Record) -> Iterator[str]:
    for name in ("request_id", "reason", "model_name", "model_version"):
        if record.get(name) is None:
            yield f"no {name}"
    if record.get("assigned") not in ROLES:
        yield "assigned is no model's role"
    if record.get("model") not in ROLES:
        yield "model is no model's role"
    if record.get("probability") is not None and not _is_number(record["probability"], 0, 1):
        yield "probability is none"
    if not _is_number(record.get("seconds"), 0, LARGEST):
        yield "seconds is no duration"


def _of_shadow(record: Record) -> Iterator[str]:
    if record.get("request_id") is None:
        yield "no request_id"
    for role in ROLES:
        answer = record.get(role)
        answer = answer if isinstance(answer, dict) else {}
        if answer.get("name") is None or answer.get("version") is None:
            yield f"{role} has no name or version"
        if answer.get("probability") is not None and not _is_number(answer["probability"], 0, 1):
            yield f"probability of the {role} is none"
        if answer.get("seconds") is not None and not _is_number(answer["seconds"], 0, LARGEST):
            yield f"seconds of the {role} is no duration"
    if record.get("agree") is not None and not _is_boolean(record["agree"]):
        yield "agree is neither true nor false"


def _of_feedback(record: Record) -> Iterator[str]:
    if record.get("outcome") is None:
        yield "no outcome"
    if record.get("value") is not None and not _is_number(record["value"], -LARGEST, LARGEST):
        yield "value is no number"
    if not _is_boolean(record.get("known")):
        yield "known is neither true nor false"
    if record.get("assigned") is not None and record["assigned"] not in ROLES:
        yield "assigned is no model's role"


def _text(value: Any) -> str:
    """As an engine reads a JSON value into a column of text."""
    return value if isinstance(value, str) else json.dumps(value)


def _is_number(value: Any, least: float, most: float) -> bool:
    try:
        return least <= float(_text(value)) <= most
    except ValueError:
        return False


def _is_boolean(value: Any) -> bool:
    return _text(value).lower() in {"true", "false", "t", "f", "yes", "no", "y", "n", "1", "0"}


def _is_time(value: Any) -> bool:
    found = _TIME.fullmatch(_text(value).strip())
    if found is None:
        return False
    try:
        year, month, day, hour, minute, second = (int(part or 0) for part in found.groups())
        return EARLIEST <= datetime(year, month, day, hour, minute, second) < LATEST
    except ValueError:
        return False
