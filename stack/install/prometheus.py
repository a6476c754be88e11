"""Prometheus and promtool, from Debian's packages, unpacked into the cache: nobody needs to be root for that.

With them the JavaScript packages on which the web page depends: it refers to them by relative links, so that
it works from any folder (--web.local-assets).
"""

import os
import re
import subprocess
import tempfile
from pathlib import Path

from stack.errors import StackError
from stack.paths import Cache
from stack.shell import run

_CONTENTS = "canario.packages"
_WHAT = "Prometheus could not be downloaded"
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


def binary(cache: Cache) -> Path:
    return cache.prometheus / "usr" / "bin" / "prometheus"


def promtool(cache: Cache) -> Path:
    return cache.prometheus / "usr" / "bin" / "promtool"


def web_assets(cache: Cache) -> Path:
    return cache.prometheus / "usr" / "share" / "prometheus" / "web"


def version(cache: Cache) -> str:
    """As the binary says it: `2.42.0+ds`; empty where there is none."""
    if not binary(cache).exists():
        return ""
    said = subprocess.run(
        [str(binary(cache)), "--version"], capture_output=True, text=True, check=False, timeout=30
    )
    found = re.search(r"version (\S+)", said.stdout + said.stderr)
    return found.group(1) if found else ""


def ensure(cache: Cache) -> str:
    """Download and unpack it unless it is there; return a remark for the step's line.

    Raises:
        StackError: apt or dpkg failed.
    """
    if binary(cache).is_file() and (cache.prometheus / _CONTENTS).is_file():
        return "there already"
    cache.root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=cache.root) as name:
        work = Path(name)
        try:
            packages = _download(work / "system", cache, {})
        except StackError:  # no package index on this machine, or one that is out of date
            private = _private_index(work / "apt", cache)
            packages = _download(work / "private", cache, private)
        root = work / "root"
        for package in packages:
            run(["dpkg", "-x", str(package), str(root)], cache.logs / "dpkg.log", what=_WHAT)
        (root / _CONTENTS).write_text("".join(f"{path.name}\n" for path in packages), encoding="utf-8")
        if cache.prometheus.exists():
            cache.prometheus.rename(work / "old")
        root.rename(cache.prometheus)
    return ""


def _download(folder: Path, cache: Cache, environment: dict[str, str]) -> list[Path]:
    folder.mkdir()
    arguments = ["--recurse", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks"]
    depends = subprocess.run(
        ["apt-cache", "depends", *arguments, "--no-replaces", "--no-enhances", "prometheus"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=_with(environment),
    )
    assets = re.findall(r"^((?:libjs|fonts)-\S+)$", depends.stdout, re.MULTILINE)
    run(
        # Without root, apt cannot lower its rights for the download, and says so in a warning.
        ["apt-get", "-o", "APT::Sandbox::User=", "download", "prometheus", *sorted(set(assets))],
        cache.logs / "apt-download.log",
        what=_WHAT,
        hint=_HINT,
        environment=_with(environment),
        directory=folder,
    )
    return sorted(folder.glob("*.deb"))


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
