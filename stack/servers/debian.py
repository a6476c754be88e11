"""Packages of Debian, unpacked into a folder of the cache: nobody needs to be root for that. And Chromium."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from stack.paths import Cache
from stack.shell import MachineLacks, StackError, run

_CONTENTS = "canario.packages"
_WHAT = "a package of Debian could not be brought"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_INSTALL_BROWSER = ("apt-get", "install", "-y", "--no-install-recommends", "chromium")
_HINT = "apt must reach a Debian mirror (see /etc/apt/sources.list.d/). Run the same command again."

# A package index of our own: an ordinary user may not write the system's, and root's should stay as it is.
_PRIVATE_APT = """\
Dir::State "{folder}/state";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "{folder}/cache";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Sandbox::User "";
Acquire::Languages "none";
"""


def ensure(  # noqa: PLR0913 - two of them have a default
    package: str,
    folder: Path,
    binary: Path,
    cache: Cache,
    *,
    needs: re.Pattern[str] | None = None,
    change: Callable[[Path], None] = lambda _root: None,
) -> str:
    """Download `package`, and those of its dependencies that `needs` names; put their files into `folder`.

    Unless that has been done, and `binary` is still there. `change` is given the unpacked root before it
    takes its place. Returns a remark for the step's line.

    Raises:
        StackError: apt or dpkg failed.
    """
    if binary.is_file() and (folder / _CONTENTS).is_file():
        return "there already"
    with cache.replacing(folder) as root:
        work = root.parent
        try:
            files = _download(work / "system", package, needs, cache, {})
        except StackError:  # no package index on this machine, or one that is out of date
            private = _private_index(work / "apt", cache)
            files = _download(work / "private", package, needs, cache, private)
        for file in files:
            run(["dpkg", "-x", str(file), str(root)], cache.logs / "dpkg.log", what=_WHAT)
        change(root)
        (root / _CONTENTS).write_text("".join(f"{path.name}\n" for path in files), encoding="utf-8")
    return ""


def _download(
    folder: Path, package: str, needs: re.Pattern[str] | None, cache: Cache, environment: dict[str, str]
) -> list[Path]:
    folder.mkdir()
    run(
        # Without root, apt cannot lower its rights for the download, and says so in a warning.
        ["apt-get", "-o", "APT::Sandbox::User=", "download", package, *_needed(package, needs, environment)],
        cache.logs / "apt-download.log",
        what=_WHAT,
        hint=_HINT,
        environment=_with(environment),
        directory=folder,
    )
    return sorted(folder.glob("*.deb"))


def _needed(package: str, needs: re.Pattern[str] | None, environment: dict[str, str]) -> list[str]:
    if needs is None:
        return []
    arguments = ["--recurse", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks"]
    depends = subprocess.run(
        ["apt-cache", "depends", *arguments, "--no-replaces", "--no-enhances", package],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=_with(environment),
    )
    return sorted(name for name in set(depends.stdout.splitlines()) if needs.fullmatch(name))


def _private_index(folder: Path, cache: Cache) -> dict[str, str]:
    for part in ("state/lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True)
    config = folder / "apt.conf"
    config.write_text(_PRIVATE_APT.format(folder=folder), encoding="utf-8")
    environment = {"APT_CONFIG": str(config)}
    run(
        ["apt-get", "update"],
        cache.logs / "apt-update.log",
        what=_WHAT,
        hint=_HINT,
        environment=_with(environment),
    )
    return environment


def _with(environment: dict[str, str]) -> dict[str, str]:
    return {**os.environ, **environment, "LC_ALL": "C.UTF-8"}


def find_browser() -> Path | None:
    """The browser of this machine, if it has one."""
    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
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
            f"The browser tests need Chromium: `sudo {' '.join(_INSTALL_BROWSER)}` brings it "
            "(or leave these tests out: `make test BROWSER=0`)."
        )
    environment = _with({"DEBIAN_FRONTEND": "noninteractive"})
    log = cache.logs / "chromium.log"
    run(["apt-get", "update"], log, what="Chromium could not be installed", environment=environment)
    run(_INSTALL_BROWSER, log, what="Chromium could not be installed", environment=environment)
    return ""
