"""What `up` says: a line for each step, with its time, and at the end where everything is.

[ 3/11] PostgreSQL 18.6 ... 0.8 s
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from stack.paths import REPOSITORY
from stack.servers import monitoring
from stack.site import ADMIN, Site

REQUEST = REPOSITORY / "docs" / "request.json"


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


def summary(site: Site) -> str:
    """Only about the programs that this stack has. It tells one secret: the password of Unleash's page."""
    return "\n\n".join(filter(None, (_addresses(site), _try(site), _move(site), _next())))


def _addresses(site: Site) -> str:
    at, has = site.addresses, site.settings.programs
    lines = []
    if "board" in has:
        lines.append(f"Board        {at.board}   the rollout on one page, for everybody who looks")
    if "unleash" in has:
        password = site.secrets.read("unleash-admin.password")
        lines.append(f"Unleash      {at.unleash}   user {ADMIN}, password {password}")
    if "service" in has:
        lines.append(
            f"Service      {at.service}   its API: {at.service}/docs   metrics: {at.service}/metrics"
        )
    if "prometheus" in has:
        lines.append(f"Prometheus   {at.prometheus}/classic/graph   alerts: {at.prometheus}/classic/alerts")
    if "alertmanager" in has:
        tool = _short(monitoring.amtool(site.cache))
        lines.append(f"Alertmanager {at.alertmanager}   {tool} --alertmanager.url={at.alertmanager} alert")
    if "postgres" in has:
        lines.append(f"PostgreSQL   {at.postgres}   secrets: {_short(site.home.secrets)}")
    return "\n".join(f"  {line}" for line in lines)


def _try(site: Site) -> str:
    if "service" not in site.settings.programs:
        return ""
    header = "-H 'Content-Type: application/json'"
    return (
        "Ask for a prediction (the answer says which model gave it, and why):\n"
        f"  curl -s {site.addresses.service}/predict {header} -d @{_short(REQUEST)}"
    )


def _move(site: Site) -> str:
    if "unleash" not in site.settings.programs or "service" not in site.settings.programs:
        return ""
    plan = "\nOr let the plan do it: ./canario rollout begin"
    return (
        "Give users the challenger: open\n"
        f"  {site.addresses.unleash}/projects/default/features/canary\n"
        "unfold `production`, edit its strategy (the pencil), move the slider `Rollout`, save.\n"
        "Users follow within 3 s, on every worker." + (plan if "rollout" in site.settings.programs else "")
    )


def _next() -> str:
    return (
        "Stop the challenger at any time: ./canario off\n"
        "Next: ./canario demo (a bad challenger is rolled back while you watch), ./canario story (from\n"
        "shadow to the decision, with reports), ./canario status, ./canario logs, ./canario down."
    )


def _short(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
