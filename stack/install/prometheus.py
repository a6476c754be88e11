"""Prometheus and promtool, from Debian's packages.

With them the JavaScript packages on which the web page depends: it refers to them by relative links, so that
it works from any folder (--web.local-assets).
"""

import re
import subprocess
from pathlib import Path

from stack.install import debian
from stack.paths import Cache

_ASSETS = re.compile(r"(?:libjs|fonts)-\S+")


def binary(cache: Cache) -> Path:
    return cache.prometheus / "usr" / "bin" / "prometheus"


def promtool(cache: Cache) -> Path:
    return cache.prometheus / "usr" / "bin" / "promtool"


def web_assets(cache: Cache) -> Path:
    return cache.prometheus / "usr" / "share" / "prometheus" / "web"


def version(cache: Cache) -> str:
    """As the binary says it: `2.42.0+ds`; empty where there is none."""
    return said_version(binary(cache))


def said_version(program: Path) -> str:
    """The version that a program of Prometheus' family tells of itself; empty where there is none."""
    if not program.exists():
        return ""
    said = subprocess.run(
        [str(program), "--version"], capture_output=True, text=True, check=False, timeout=30
    )
    found = re.search(r"version[ =]([^\s,)]+)", said.stdout + said.stderr)
    return found.group(1) if found else ""


def ensure(cache: Cache) -> str:
    """Download and unpack it unless it is there; return a remark for the step's line.

    Raises:
        StackError: apt or dpkg failed.
    """
    if debian.is_whole(cache.prometheus, binary(cache)):
        return "there already"
    debian.unpack("prometheus", cache.prometheus, cache, needs=_ASSETS)
    return ""
