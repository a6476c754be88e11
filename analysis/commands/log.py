"""`python -m analysis log`: what is in a log, and what is wrong with it."""

from pathlib import Path
from typing import Any

import click

from analysis.commands.options import EXIT_LIMIT, reading, reporting, writable
from analysis.errors import LogError
from analysis.log import open_log
from analysis.reports.log import log_report
from analysis.show import print_report, write_page


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
      python -m analysis log --log .canario/data/service/log
      python -m analysis log --log 'log/2026-11-*' --parquet november.parquet
    """
    opened = open_log(options["location"], engine=options["engine"], memory=options["memory"])
    if parquet is not None and parquet.exists():
        raise LogError(f"{parquet}: is there already, and may be somebody's only copy")
    written = opened.write_parquet(parquet) if parquet else None
    document = log_report(opened, parquet, written)
    if options["page"]:
        write_page(document, options["page"])
    print_report(document, options["format_"])
    if fail_on_bad and opened.bad:
        raise click.exceptions.Exit(EXIT_LIMIT)
