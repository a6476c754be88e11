"""Files of an Envoy or an nginx without a mesh, as routes whose weights follow a flag.

A file is replaced whole, under its own name. What reads it is asked whether it took it; until it has, each
iteration says so.
"""

import copy
import json
import logging
import os
import re
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import requests

from common.files import replace_whole
from flags.mesh.controller import Reading, Ready
from flags.mesh.errors import Conflict, NotTaken, RouteError
from flags.mesh.routes import Edits, EnvoyPart, NginxPart
from flags.mesh.weights import WHOLE, Rule, Weights, of_envoy, title

TAKEN_WITHIN_SECONDS: Final = 3.0
LOOK_SECONDS: Final = 0.05
NGINX: Final = """\
# Written by Canario (flags mesh): {share}% of the users have the challenger. Changes by hand are lost.
split_clients "{variable}{user}" ${variable}_drawn {{
{lines}
}}
map {user} ${variable} {{
    ""      "{champion}";
    default ${variable}_drawn;
}}
"""
NGINX_MIRROR: Final = """\
# {percent}% of the requests are copied.
split_clients "$request_id" ${variable}_mirror {{
{lines}
}}
"""
_SHARE = re.compile(r"^# Written by Canario .*: (\d{1,3})% of the users", re.MULTILINE)
_COPIED = re.compile(r"^# (\d{1,3})% of the requests are copied", re.MULTILINE)

_log = logging.getLogger(__name__)


class FileRoute(ABC):
    """A file that a server follows."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._taken: Callable[[], bool] | None = None
        """Tells whether the server has taken the file; None: it has."""

    @property
    @abstractmethod
    def title(self) -> str:
        """For people."""

    def read(self) -> Reading:
        """As it is now. Raises RouteError; NotTaken where the server has not taken what was written."""
        if self._taken:
            self._wait()
        return self._reading(self._text())

    def write(self, seen: Reading, weights: tuple[Weights, ...]) -> Reading:
        """Replace the file by one with other weights. Raises Conflict, RouteError."""
        text, before = self._changed(seen, weights), self._text()
        if self._reading(before).weights != seen.weights:
            raise Conflict(f"somebody changed {self._file} in this moment")
        if text != before:
            unfinished = self._file.with_name(f".{self._file.name}.canario")
            try:
                replace_whole(self._file, text, unfinished=unfinished)
            except OSError as error:
                raise RouteError(f"{self._file} cannot be written: {error}") from error
        self._taken = self._told()
        self._wait()
        return self._reading(self._text())

    def ready(self) -> Ready:
        """Not counted here: health checks are the server's own."""
        return Ready()

    def tell(self, reason: str, note: str, *, warning: bool) -> None:
        """In the log: there is no other place for it."""
        told = {"route": self.title, "reason": reason, "note": note}
        _log.log(logging.WARNING if warning else logging.INFO, "route", extra=told)

    def _wait(self) -> None:
        end = time.monotonic() + TAKEN_WITHIN_SECONDS
        while self._taken and not self._taken():
            if time.monotonic() > end:
                self._taken = self._told()  # the next iteration looks again
                raise NotTaken(f"{self.title} was written, and not taken: see the server's log")
            time.sleep(LOOK_SECONDS)
        self._taken = None

    def _text(self) -> str | None:
        try:
            return self._file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise RouteError(f"{self._file} cannot be read: {error}") from error

    @abstractmethod
    def _reading(self, text: str | None) -> Reading: ...

    @abstractmethod
    def _changed(self, seen: Reading, weights: tuple[Weights, ...]) -> str: ...

    @abstractmethod
    def _told(self) -> Callable[[], bool]:
        """Tell the server; what tells then whether it has taken the file. Raises RouteError."""


class EnvoyRoute(FileRoute):
    """Weighted clusters in a file that Envoy watches (`path_config_source`)."""

    def __init__(self, part: EnvoyPart) -> None:
        super().__init__(part.file)
        self._part, self.edits = part, part.edits

    @property
    def title(self) -> str:
        """For people."""
        return title(self._part)

    def _reading(self, text: str | None) -> Reading:
        if text is None:
            raise RouteError(f"there is no {self._file}: write it once by hand, see docs/mesh.md#envoy")
        try:
            document = json.loads(text)
        except ValueError as error:
            raise RouteError(f"{self._file}: is no JSON, which Envoy reads as YAML too: {error}") from error
        return Reading(tuple(one.weights for one in self._rules(document)), document=document)

    def _changed(self, seen: Reading, weights: tuple[Weights, ...]) -> str:
        document = copy.deepcopy(seen.document)
        for rule, new in zip(self._rules(document), weights, strict=True):
            rule.set(new)
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"

    def _told(self) -> Callable[[], bool]:
        """Envoy sees by itself that the file was moved to its place."""
        if self._part.admin is None:
            return lambda: True
        wanted = [one.weights for one in self._rules(json.loads(self._text() or "{}"))]
        return lambda: self._served() == wanted

    def _served(self) -> list[Weights]:
        """What Envoy goes by."""
        try:
            answer = requests.get(f"{self._part.admin}/config_dump?resource=dynamic_route_configs", timeout=2)
            found: Any = answer.json()
            return [one.weights for one in self._rules(found)]
        except (requests.RequestException, ValueError, RouteError):
            return []

    def _rules(self, document: Any) -> tuple[Rule, ...]:
        return of_envoy(self._part, document)


class NginxRoute(FileRoute):
    """`split_clients` in a file that nginx includes."""

    edits = Edits.RESTORE  # the whole file is ours

    def __init__(self, part: NginxPart) -> None:
        super().__init__(part.file)
        self._part = part

    @property
    def title(self) -> str:
        """For people."""
        return f"nginx {self._part.file}"

    def _reading(self, text: str | None) -> Reading:
        share, copied = (
            int(found[1]) if (found := one.search(text or "")) else 0 for one in (_SHARE, _COPIED)
        )
        mirror = float(copied) if self._part.mirror else None
        seen = Weights(self._part.variable, WHOLE - share, share, mirror=mirror)
        if text is None or text != self._at(seen):  # changed by hand, or by an older version
            seen = Weights(self._part.variable, 0, 0, mirror=mirror)
        return Reading((seen,))

    def _changed(self, _seen: Reading, weights: tuple[Weights, ...]) -> str:
        return self._at(weights[0])

    def _at(self, weights: Weights) -> str:
        part, share = self._part, weights.challenger
        drawn = _drawn(share, part.challenger, part.champion)
        text = NGINX.format(
            share=share, variable=part.variable, user=part.user, champion=part.champion, lines=drawn
        )
        if part.mirror:
            percent = int(weights.mirror or 0)
            copies = _drawn(percent, part.mirror, "")
            text += NGINX_MIRROR.format(percent=percent, variable=part.variable, lines=copies)
        return text

    def _told(self) -> Callable[[], bool]:
        """By SIGHUP. It has taken the file when new workers run, and the old ones take no request any more.

        With a fault in the file it keeps the old ones.
        """
        try:
            master = int(self._part.pid.read_text(encoding="utf-8"))
            before = _workers(master)
            os.kill(master, signal.SIGHUP)
        except (OSError, ValueError) as error:
            raise NotTaken(
                f"{self.title} was written, and nginx could not be told ({self._part.pid}): {error}"
            ) from error
        return lambda: bool((now := _workers(master)) - before) and not now & before


def _drawn(percent: int, some: str, others: str) -> str:
    """Lines of `split_clients`."""
    lines = [] if percent in (0, WHOLE) else [f'    {percent}% "{some}";']
    return "\n".join([*lines, f'    * "{some if percent == WHOLE else others}";'])


def _workers(master: int) -> set[str]:
    """Processes of nginx' workers that take requests: not those that finish what they have."""
    children = Path(f"/proc/{master}/task/{master}/children").read_text(encoding="ascii").split()
    return {one for one in children if "shutting down" not in _title(one)}


def _title(process: str) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text(encoding="utf-8", errors="replace")
    except OSError:  # it has just ended
        return "shutting down"
