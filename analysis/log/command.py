"""`./canario report log`: what is in a log, and what is wrong with it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from analysis.errors import LogError
from analysis.log import BadLines, Log, open_log
from analysis.log.columns import TABLE_NAMES
from analysis.log.left_out import Named, named_requests
from analysis.options import EXIT_LIMIT, reading, reporting, writable
from analysis.render.document import Report, Section, Table
from analysis.render.output import publish


@click.command(short_help="What is in the log, and what is bad in it.")
@reading
@click.option(
    "--parquet",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=writable,
    metavar="FILE",
    help="Write the good records to FILE, an eighth of the size and read in half of the time.",
)
@click.option("--fail-on-bad", is_flag=True, help="Exit 1 where anything is bad.")
@reporting
def log(parquet: Path | None, fail_on_bad: bool, **options: Any) -> None:
    """What is in the log: records by kind, from when to when, and lines that are no good.

    \b
    Examples:
      ./canario report log --log .canario/data/service/log
      ./canario report log --log 'log/2026-11-*' --parquet november.parquet
    """
    opened = open_log(options["location"], engine=options["engine"], memory=options["memory"])
    if parquet is not None and parquet.exists():
        raise LogError(f"{parquet}: is there already, and may be somebody's only copy")
    written = opened.write_parquet(parquet) if parquet else None
    publish(log_report(opened, parquet, written), options["format_"], options["page"])
    if fail_on_bad and opened.bad:
        raise click.exceptions.Exit(EXIT_LIMIT)


def log_report(log: Log, parquet: Path | None = None, written: int | None = None) -> Report:
    """Read all of `log`; `written` records went to `parquet`.

    Raises:
        LogError: there is no good record in it.
    """
    found = log.survey
    if found.first is None or found.last is None:
        raise LogError(f"the log holds no good record: {found.bad}")
    names = TABLE_NAMES | {"shadow": "shadow pairs", "feedback": "feedbacks"}
    said = ", ".join(f"{count:,} {names[kind]}" for kind, count in found.records.items())
    named = named_requests(log)
    answer = (
        f"{said}, from {found.first:%Y-%m-%d %H:%M} to {found.last:%Y-%m-%d %H:%M} UTC;"
        f" {found.bad.counted if found.bad else 'nothing is bad'}.{_about_requests(named)}"
    )
    if parquet is not None:
        answer += f" {written:,} records were written to {parquet} ({parquet.stat().st_size / 1e6:,.1f} MB)."
    size = f", {log.bytes / 1e6:,.1f} MB" if log.bytes else ""
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


def _about_requests(named: Named) -> str:
    text = ""
    if named.unknown:
        text += (
            f" {named.unknown:,} of {named.count:,} feedbacks that name a request name one that is not here."
        )
    if named.before:
        text += (
            f" {named.before:,} carry a time before that of their request, so that clocks of hosts differ;"
            " they count all the same."
        )
    return text


def _evidence(bad: BadLines) -> tuple[Section, ...]:
    if not bad:
        return ()
    rows = tuple((each.file, str(each.line or ""), each.why) for each in bad.first)
    return (Section("The first that are bad", (), (Table(("file", "line", "why"), rows),)),)
