"""Options that command lines of several rooms share."""

from collections.abc import Callable
from datetime import timedelta

import click

from common.durations import parse_duration


class DurationType(click.ParamType[timedelta]):
    """An option that takes 15s, 5m or 1h30m."""

    name = "duration"

    def convert(
        self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """See `common.durations`; a default may be a timedelta already."""
        if isinstance(value, timedelta):
            return value
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


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
