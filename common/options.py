"""What command lines of several rooms share: options, and how an expected error ends a command."""

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import click
from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined

from common.config import PREFIX
from common.durations import format_duration, parse_duration
from common.errors import CanarioError
from common.terminal import guard_terminal

_REPOSITORY: Final = Path(__file__).resolve().parent.parent

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
    """A command whose `--help` tells the settings that it reads from the environment, before its epilog."""

    def __init__(
        self,
        *args: Any,
        settings: type[BaseModel],
        beside: type[BaseModel] = BaseModel,
        **kwargs: Any,
    ) -> None:
        """`settings` as `common.config.load_settings` takes it; those of `beside` are told elsewhere."""
        super().__init__(*args, **kwargs)
        self._settings = {
            name: field for name, field in settings.model_fields.items() if name not in beside.model_fields
        }

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The settings, with what each means and its default."""
        formatter.write(
            "\nSettings, from the environment (each also as <NAME>_FILE, the path of a file):\n\n"
        )
        for name, field in self._settings.items():
            told = f" (default: {text})" if (text := written(field.default)) else ""
            if field.is_required():
                told = " (required)"
            formatter.write(f"  {PREFIX}{name.upper()}\n      {field.description}{told}\n")
        super().format_epilog(ctx, formatter)


class SettingsGroup(ServerCommand, click.Group):
    """A group of commands that tells their settings."""


class CommandGroup(click.Group):
    """A group whose commands tell an expected error by its own sentences, and end with its exit code.

    Anything but a CanarioError is a bug, and keeps its traceback.
    """

    def __init__(self, *args: Any, exit_codes: Mapping[type[CanarioError], int], **kwargs: Any) -> None:
        """`exit_codes`: of errors that have no `exit_code`; the first kind that fits, 1 where none does."""
        super().__init__(*args, **kwargs)
        self._exit_codes = exit_codes

    def invoke(self, ctx: click.Context) -> Any:
        """See click; errors that are no bugs end here."""
        try:
            return super().invoke(ctx)
        except CanarioError as error:
            for line in str(error).splitlines():
                click.echo(f"error: {line}", err=True)
            codes = (code for kind, code in self._exit_codes.items() if isinstance(error, kind))
            raise click.exceptions.Exit(getattr(error, "exit_code", next(codes, 1))) from error


def start(command: click.Command, program: str) -> NoReturn:
    """Run a command line: the words of others are safe on its terminal, and it goes by the name people typed.

    `program` is the module, as `flags`, for who starts it by `python -m`. Completion is that of `./canario`.
    """
    guard_terminal()
    name = os.environ.get("_CANARIO_PROG") or f"python -m {program}"
    command.main(prog_name=name, complete_var="_CANARIO_COMPLETE")
    raise AssertionError("a command line ends by itself")


def written(default: Any) -> str:
    """The default of a setting as the reader would type it; "" where there is none."""
    if isinstance(default, timedelta):
        return format_duration(default)
    if isinstance(default, Path) and default.is_absolute():
        return str(default.relative_to(_REPOSITORY))
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    return "" if default in (None, PydanticUndefined) else str(default)


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
