"""Options that command lines of several rooms share."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import click
from pydantic import BaseModel

from common.config import PREFIX
from common.durations import parse_duration

T = TypeVar("T")


class Parsed(click.ParamType[T]):
    """An option that `parse` reads; what its ValueError says is told as a wrong usage."""

    def __init__(self, name: str, parse: Callable[[str], T]) -> None:
        """`name` is what `--help` shows, in capitals."""
        self.name = name
        self._parse = parse

    def convert(self, value: str | T, param: click.Parameter | None, ctx: click.Context | None) -> T:
        """A default may be a value already."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class ServerCommand(click.Command):
    """A command whose `--help` ends with the settings that it reads from the environment."""

    def __init__(self, *args: Any, settings: type[BaseModel], **kwargs: Any) -> None:
        """`settings` as `common.config.load_settings` takes it."""
        super().__init__(*args, **kwargs)
        self._settings = settings

    def format_epilog(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The settings, with what each means and its default."""
        formatter.write(
            "\nSettings, from the environment (each also as <NAME>_FILE, the path of a file):\n\n"
        )
        for name, field in self._settings.model_fields.items():
            default = "" if field.default in (None, "") else f" (default: {field.default})"
            if field.is_required():
                default = " (required)"
            formatter.write(f"  {PREFIX}{name.upper()}\n      {field.description}{default}\n")


class DurationType(Parsed[timedelta]):
    """An option that takes 15s, 5m or 1h30m; see `common.durations`."""

    def __init__(self) -> None:
        super().__init__("duration", parse_duration)


def parse_moment(text: str) -> datetime:
    """A time, in UTC unless it says otherwise, or how long ago. Raises ValueError."""
    try:
        return datetime.now(UTC) - parse_duration(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is neither a time (2026-11-20T08:00) nor how long ago (24h)") from None
    return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)


MOMENT: Final = Parsed("moment", parse_moment)


def json_file(help: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """`--json [FILE]`: the command gets `json_file`, open for writing, or None; "-" without FILE."""
    return click.option(
        "--json",
        "json_file",
        type=click.File("w", encoding="utf-8", lazy=False),
        is_flag=False,
        flag_value="-",
        metavar="[FILE]",
        help=help,
    )
