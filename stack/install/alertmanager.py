"""Alertmanager and amtool, from Debian's package.

Debian's build reads its message templates from a fixed folder under /usr/share, which only root could fill.
In the copy in the cache the folder in which it is started stands for that one, by a path of the same length.
Debian 12 (0.25) and 13 (0.28) are alike in this.
"""

import re
from pathlib import Path

from stack.errors import StackError
from stack.install import debian, prometheus
from stack.paths import Cache

_FIXED = b"/usr/share/prometheus/alertmanager"
_HERE = b"." + b"/" * (len(_FIXED) - 1)  # so many slashes mean one


def binary(cache: Cache) -> Path:
    return _binary(cache.alertmanager)


def amtool(cache: Cache) -> Path:
    return cache.alertmanager / "usr" / "bin" / "amtool"


def working_folder(cache: Cache) -> Path:
    """Where it must be started: its message templates are in it."""
    return cache.alertmanager / "usr" / "share" / "prometheus" / "alertmanager"


def version(cache: Cache) -> str:
    """As the binary says it: `0.25.0`; empty where there is none."""
    return prometheus.said_version(binary(cache))


def ensure(cache: Cache) -> str:
    """Download and unpack it unless it is there; return a remark for the step's line.

    Raises:
        StackError: apt or dpkg failed, or the package is not like those that are known.
    """
    if debian.is_whole(cache.alertmanager, binary(cache)):
        return "there already"
    debian.unpack("prometheus-alertmanager", cache.alertmanager, cache, change=find_templates_here)
    return ""


def _binary(root: Path) -> Path:
    return root / "usr" / "bin" / "prometheus-alertmanager"


def find_templates_here(root: Path) -> None:
    """Change the unpacked binary. Raises StackError where it is not like those that are known."""
    file = _binary(root)
    # Longer paths begin alike: those of the web page, which are settings.
    changed, times = re.subn(re.escape(_FIXED) + rb"(?!/)", _HERE, file.read_bytes())
    if times != 1:
        raise StackError(
            f"this Alertmanager is not known here: the path of its templates stands in it {times} times, not"
            " once. `make up ALERTMANAGER=0` leaves it out"
        )
    file.write_bytes(changed)
