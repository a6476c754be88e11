"""One line for every step, with its time: `[ 3/11] PostgreSQL 18.6 ... 0.8 s`."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO


class Progress:
    """Numbers steps and prints them to `out`; `total` is known beforehand."""

    def __init__(
        self, total: int, out: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._total = total
        self._out = out or sys.stdout
        self._clock = clock
        self._done = 0
        self._open = False

    @contextmanager
    def step(self, title: str) -> Iterator["Step"]:
        """Print `title`, and when the block ends its time; `failed` when the block raises."""
        self._done += 1
        width = len(str(self._total))
        self._print(f"[{self._done:>{width}}/{self._total}] {title} ... ", end="")
        self._open = True
        step, start = Step(), self._clock()
        try:
            yield step
        except BaseException:
            self._end(f"failed after {self._clock() - start:.1f} s")
            raise
        self._end(f"{self._clock() - start:.1f} s" + (f" ({step.remark})" if step.remark else ""))

    def say(self, text: str) -> None:
        """Print a line between steps, or in the middle of one."""
        if self._open:
            self._end("")
        self._print(text)

    def _end(self, text: str) -> None:
        self._print(text if self._open else f"      {text}")
        self._open = False

    def _print(self, text: str, end: str = "\n") -> None:
        print(text, end=end, file=self._out, flush=True)


class Step:
    """A running step; `remark` goes behind its time."""

    remark = ""


class Silent(Progress):
    """Prints nothing: for stacks that tests start."""

    def __init__(self) -> None:
        super().__init__(total=0)

    def _print(self, text: str, end: str = "\n") -> None:
        del text, end
