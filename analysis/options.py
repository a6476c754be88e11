"""Options that the subcommands share."""

import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from analysis.metric import Direction, Kind
from common.options import Parsed

Command = TypeVar("Command", bound=Callable[..., Any])

EXIT_LIMIT: Final = 1
"""A limit of --fail-on is breached."""
KIND: Final = click.Choice([kind.value for kind in Kind])
DIRECTION: Final = click.Choice([direction.value for direction in Direction])


def parse_time(text: str) -> datetime:
    """2026-11-02 or 2026-11-02T08:30, UTC unless it says otherwise (Z, +01:00). Raises ValueError."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time such as 2026-11-02 or 2026-11-02T08:30:00Z") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def parse_memory(text: str) -> str:
    """512MB or 2GB, as it is. Raises ValueError."""
    if not re.fullmatch(r"[1-9][0-9]*(\.[0-9]+)? ?[MGT]i?B", text):
        raise ValueError(f"{text!r} is no size such as 512MB or 2GB")
    return text


def parse_segment(text: str) -> tuple[str, str]:
    """country=NO to property and value. Raises ValueError."""
    name, equals, of = text.partition("=")
    if not name or not equals:
        raise ValueError(f"{text!r} is no property and value such as country=NO")
    return name, of


def parse_stage(text: str) -> tuple[datetime, float]:
    """2026-11-02T08:30=5 to the time and the share in per cent. Raises ValueError."""
    time, equals, share = text.rpartition("=")
    number = share.removesuffix("%")
    if not equals or not number.replace(".", "", 1).isdigit() or not 0 <= float(number) <= 100:
        raise ValueError(f"{text!r} is no time and share such as 2026-11-02T08:30=5")
    return parse_time(time), float(number)


def writable(ctx: click.Context, param: click.Parameter, path: Path | None) -> Path | None:
    """A file that is to be written, refused before minutes of reading where it cannot be."""
    if path is None:
        return None
    if not path.parent.is_dir():
        raise click.BadParameter(f"{path}: there is no folder {path.parent}: make it first", ctx, param)
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise click.BadParameter(f"{path} cannot be written: no permission, name another place", ctx, param)
    return path


def in_order(options: dict[str, Any]) -> None:
    """Raises UsageError where --until is not after --since."""
    since, until = options["since"], options["until"]
    if since and until and until <= since:
        raise click.UsageError(
            f"--until {until:%Y-%m-%d %H:%M} is not after --since {since:%Y-%m-%d %H:%M}: are they the"
            " other way round?"
        )


LOG: Final = click.option(
    "--log",
    "location",
    required=True,
    envvar="CANARIO_ANALYSIS_LOG",
    metavar="PLACE",
    help="Prediction log: a folder, file or glob of *.jsonl, *.jsonl.gz, *.parquet; or s3://..., gs://..., "
    "https://... (or CANARIO_ANALYSIS_LOG).",
)
ENGINE: Final = click.option(
    "--engine",
    default="duckdb",
    show_default=True,
    metavar="duckdb|spark|URL",
    help="Which engine reads it.",
)
MEMORY: Final = click.option(
    "--memory",
    type=Parsed("memory", parse_memory),
    default="1GB",
    show_default=True,
    help="Memory that the engine may take.",
)
SINCE: Final = click.option(
    "--since",
    type=Parsed("moment", parse_time),
    help="Only records from this time on (UTC where it has no zone).",
)
UNTIL: Final = click.option(
    "--until", type=Parsed("moment", parse_time), help="Only records before this time."
)
SEGMENT: Final = click.option(  # the command gets a property of the context and its value, or None
    "--segment",
    type=Parsed("segment", parse_segment),
    metavar="PROPERTY=VALUE",
    help="Only users of this segment.",
)
STAGES: Final = click.option(
    "--stage",
    "stages",
    type=Parsed("stage", parse_stage),
    multiple=True,
    metavar="TIME=SHARE",
    help="When the flag got which share, in percent, where the log does not say it; several times. "
    "`./canario rollout stages` prints them.",
)
FORMAT: Final = click.option(
    "--format", "format_", type=click.Choice(["table", "json"]), default="table", show_default=True
)
HTML: Final = click.option(
    "--html",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=writable,
    metavar="FILE",
    help="Write the report as one self-contained page, too.",
)


def reading(command: Command) -> Command:
    """--log, --engine and --memory: the command gets `location`, `engine`, `memory` for `open_log`."""
    return LOG(ENGINE(MEMORY(command)))


def between(command: Command) -> Command:
    """--since and --until: the command gets aware datetimes or None."""
    return SINCE(UNTIL(command))


def reporting(command: Command) -> Command:
    """--format and --html: the command gets `format_` and `page`."""
    return FORMAT(HTML(command))
