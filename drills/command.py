"""What the command lines of drills and benches share: options, exit codes, figures, an own stack."""

import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import requests
from rich.table import Table

from common.errors import CanarioError
from stack.api import Stack

json_option = click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the figures to this file.",
)
home_option = click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the stack; default: that of `./canario up`.",
)


@contextmanager
def exit_codes(failed: str) -> Iterator[None]:
    """Ends the process where the block cannot be carried out: 3, with `failed` and why; 130 at Ctrl-C."""
    try:
        yield
    except (CanarioError, requests.RequestException) as error:
        click.echo(f"error: {failed}: {error}", err=True)
        sys.exit(3)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(130)


@contextmanager
def own_stack(*programs: str, **options: Any) -> Iterator[Stack]:
    """A stack of these programs on free ports, in a folder that ends with the block; `options`: Stack's."""
    with (
        tempfile.TemporaryDirectory(prefix="canario-drill-") as home,
        Stack(Path(home), only=programs, ports="free", **options) as stack,
    ):
        yield stack


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, names: int = 1) -> Table:
    """Figures on the right of their columns; the first `names` columns hold no figures."""
    made = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        made.add_column(column, justify="left" if number < names else "right")
    for row in rows:
        made.add_row(*row)
    return made


def write_figures(tell: Callable[[str], object], file: Path | None, figures: Mapping[str, Any]) -> None:
    """As JSON, where a file is given."""
    if file:
        file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        tell(f"Figures: {file}")


def machine() -> str:
    """On which figures were measured."""
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
