"""The Unleash server, from npm.

The versions under stack/unleash/ are pinned with the hash of every package; any other one is installed as npm
resolves it today.
"""

import json
import os
import re
import shutil
from pathlib import Path

from stack.paths import REPOSITORY, Cache
from stack.servers.machine import node, npm
from stack.shell import StackError, run
from stack.site import DEFAULT_UNLEASH_VERSION

LOCKS = REPOSITORY / "stack" / "unleash"
SERVER = Path("node_modules", "unleash-server", "dist", "server.js")

# No scripts of packages are run: the server needs none, and they could do anything.
_QUIET = ("--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund", "--no-update-notifier")
_SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def server(cache: Cache, version: str) -> Path:
    """The script that Node runs."""
    return cache.unleash(version) / SERVER


def is_pinned(version: str) -> bool:
    """Whether this repository says what exactly this version consists of."""
    return (LOCKS / version / "package-lock.json").is_file()


def ensure(cache: Cache, version: str) -> str:
    """Install `version` unless it is there; return a remark for the step's line.

    Raises:
        StackError: it is no version, or npm failed.
    """
    if re.fullmatch(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?", version) is None:
        raise StackError(f"UNLEASH_VERSION={version} is no version: give one like {DEFAULT_UNLEASH_VERSION}")
    if server(cache, version).is_file():
        return "there already"
    with cache.replacing(cache.unleash(version)) as new:
        if is_pinned(version):
            for file in (LOCKS / version).iterdir():
                shutil.copy(file, new)
            command = "ci"
        else:
            package = {"private": True, "dependencies": {"unleash-server": version}}
            (new / "package.json").write_text(json.dumps(package), encoding="utf-8")
            command = "install"
        run(
            [str(node()), str(npm()), command, *_QUIET],
            cache.logs / f"unleash-{version}.log",
            what=f"Unleash {version} could not be installed",
            hint="npm must reach its registry (npm config get registry). Run the same command again.",
            environment=_environment(),
            directory=new,
        )
        if not (new / SERVER).is_file():
            raise StackError(f"unleash-server {version} from npm has no {SERVER}: take another version")
    return "" if is_pinned(version) else "not pinned: its packages are what npm resolves today"


def _environment() -> dict[str, str]:
    environment = {**os.environ, "PATH": f"{node().parent}:{os.environ.get('PATH', os.defpath)}"}
    if _SYSTEM_CERTIFICATES.is_file():
        # Node trusts its own list only; a machine behind a proxy has the proxy's certificate in the system's.
        environment.setdefault("NODE_EXTRA_CA_CERTS", str(_SYSTEM_CERTIFICATES))
    return environment
