"""What is in a log: counts, times, and what is bad."""

from dataclasses import asdict
from pathlib import Path

from analysis.errors import LogError
from analysis.log import BadLines, Log
from analysis.measures.left_out import Named, named_requests
from analysis.reports.document import Report, Section, Table

_KINDS = {"prediction": "predictions", "shadow": "shadow pairs", "feedback": "feedbacks"}


def log_report(log: Log, parquet: Path | None = None, written: int | None = None) -> Report:
    """Read all of `log`; `written` records went to `parquet`.

    Raises:
        LogError: there is no good record in it.
    """
    found = log.survey
    if found.first is None or found.last is None:
        raise LogError(f"the log holds no good record: {found.bad}")
    counts = {_KINDS[kind]: count for kind, count in found.records.items()}
    said = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    size = f", {log.bytes / 1e6:,.1f} MB" if log.bytes else ""
    answer = (
        f"{said}, from {found.first:%Y-%m-%d %H:%M} to {found.last:%Y-%m-%d %H:%M} UTC; {_bad(found.bad)}."
    )
    named = named_requests(log)
    answer += _named(named)
    if parquet is not None:
        answer += f" {written:,} records were written to {parquet} ({parquet.stat().st_size / 1e6:,.1f} MB)."
    method = f"{len(log.files)} files{size}, read by {log.engine}. What is bad: docs/analysis.md."
    return Report(
        title="Prediction log",
        answer=answer,
        tone="bad" if found.bad else "plain",
        evidence=_evidence(found.bad),
        method=(Section("How it was read", (method,)),),
        numbers={
            "records": dict(found.records),
            "first": found.first.isoformat() + "Z",
            "last": found.last.isoformat() + "Z",
            "bad_lines": found.bad.count,
            "bad_files": found.bad.files,
            "bad": [each._asdict() for each in found.bad.first],
            "feedback_of_requests": asdict(named),
            "files": len(log.files),
            "bytes": log.bytes,
            "written": written,
        },
    )


def _named(named: Named) -> str:
    told = ""
    if named.unknown:
        told += (
            f" {named.unknown:,} of {named.count:,} feedbacks that name a request name one that is not here."
        )
    if named.before:
        told += (
            f" {named.before:,} carry a time before that of their request, so that clocks of hosts differ;"
            " they count all the same."
        )
    return told


def _bad(bad: BadLines) -> str:
    if not bad:
        return "nothing is bad"
    counted = [f"{bad.count:,} bad lines"] if bad.count else []
    counted += [f"{bad.files:,} unreadable files"] if bad.files else []
    return " and ".join(counted) + " were left out"


def _evidence(bad: BadLines) -> tuple[Section, ...]:
    if not bad:
        return ()
    rows = tuple((each.file, str(each.line or ""), each.why) for each in bad.first)
    return (Section("The first that are bad", (), (Table(("file", "line", "why"), rows),)),)
