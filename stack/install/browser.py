"""Chromium, for the tests that open the Unleash UI."""

import os
import shutil
from pathlib import Path

from stack.errors import MachineLacks
from stack.paths import Cache
from stack.shell import run

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_INSTALL = ("apt-get", "install", "-y", "--no-install-recommends", "chromium")


def find_browser() -> Path | None:
    """The browser of this machine, if it has one."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    return Path(found) if found else None


def ensure_browser(cache: Cache) -> str:
    """Install Chromium unless it is there; return a remark for the step's line.

    Raises:
        MachineLacks: it is not there, and only root may install it.
        StackError: apt failed.
    """
    if find_browser():
        return "there already"
    if os.geteuid() != 0:
        raise MachineLacks(
            f"The browser tests need Chromium: `sudo {' '.join(_INSTALL)}` brings it "
            "(or leave these tests out: `make test BROWSER=0`)."
        )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    log = cache.logs / "chromium.log"
    run(["apt-get", "update"], log, what="Chromium could not be installed", environment=environment)
    run(_INSTALL, log, what="Chromium could not be installed", environment=environment)
    return ""
