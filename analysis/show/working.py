"""A sign of life on standard error while a big log is read; nothing where that is no terminal."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from analysis.log import Log
from common.terminal import Console


@contextmanager
def working(log: Log, doing: str) -> Iterator[None]:
    """Say what is being done, and with how much, until it is."""
    console = Console(file=sys.stderr)
    size = f"{log.bytes / 1e9:.1f} GB" if log.bytes >= 1e8 else ""
    with console.status(f"{doing} {size}".rstrip()):
        yield
