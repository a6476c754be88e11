"""A report on the terminal, as JSON and as a page: `print_report` and `write_page`."""

import sys
from typing import Literal, TextIO

from analysis.reports.document import Report
from analysis.show.as_json import as_json
from analysis.show.page import write_page
from analysis.show.terminal import show
from common.terminal import Console

__all__ = ["print_report", "write_page"]


def print_report(
    report: Report, format: Literal["table", "json"] = "table", file: TextIO | None = None
) -> None:
    """Print it for a person, or as JSON for a program.

    Args:
        report: what to print.
        format: for whom.
        file: standard output by default.
    """
    file = file or sys.stdout
    if format == "json":
        file.write(as_json(report) + "\n")
    else:
        show(report, Console(file=file))
