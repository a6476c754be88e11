"""Makes the venv that everything else runs in. Standard library only, and parsed by old Pythons too.

The venv is made from locks/dev.txt with hashes, and left alone as long as that file does not change.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from stack.paths import LOCK, Cache
from stack.shell import MachineLacks, StackError, run

OLDEST = (3, 11)
NEWER_NAMES = ("python3.13", "python3.12", "python3.11")
NEEDED_BYTES = 2 * 1024**3  # venv 1.0 GB, Unleash 0.2 GB, Prometheus 0.2 GB, and room for data
STAMP = "canario.stamp"


def is_ready(cache: Cache) -> bool:
    """Whether the venv is there and holds what the lock says."""
    stamp = cache.venv / STAMP
    return (
        os.access(str(venv_python(cache)), os.X_OK)
        and stamp.is_file()
        and stamp.read_text(encoding="utf-8") == _fingerprint(cache)
    )


def venv_python(cache: Cache) -> Path:
    """The interpreter of the venv."""
    return cache.venv / "bin" / "python"


def ensure_venv(cache: Cache) -> float:
    """Make the venv, or bring it up to the lock; return the seconds that took.

    Prints one line where there is something to do.

    Raises:
        MachineLacks: there is no Python that is new enough and can make one, or no room.
        StackError: pip failed.
    """
    if is_ready(cache):
        return 0.0
    start = time.monotonic()
    with cache.installing():  # a second `./canario up` waits for the first
        cache.logs.mkdir(exist_ok=True)
        if not is_ready(cache):
            python = _new_enough_python()
            _require_room(cache.root)
            _require_venv(cache, python)
            print(
                "Python packages, by hash, from locks/dev.txt (about half a minute) ... ", end="", flush=True
            )
            try:
                _make_venv(cache, python)
                _install(cache)
            except StackError:
                print("failed", flush=True)
                raise
            (cache.venv / STAMP).write_text(_fingerprint(cache), encoding="utf-8")
            print(f"{time.monotonic() - start:.1f} s", flush=True)
    return time.monotonic() - start


def _fingerprint(cache: Cache) -> str:
    # The paths, because scripts in a venv hold them: a moved clone, or a new Python, makes its venv anew.
    python = os.path.realpath(str(venv_python(cache)))
    return hashlib.sha256(LOCK.read_bytes() + os.fsencode(f"{cache.venv} {python}")).hexdigest()


def _new_enough_python() -> str:
    if sys.version_info[:2] >= OLDEST:
        return sys.executable
    for name in NEWER_NAMES:
        found = shutil.which(name)
        if found:
            return found
    has = ".".join(map(str, sys.version_info[:3]))
    raise MachineLacks(
        f"Python {has} ({sys.executable}) is too old: Canario needs 3.11 or later, as in Debian 12. "
        "If you have one, name it: `./canario up PYTHON=/path/to/python3.12`.",
    )


def _require_room(folder: Path) -> None:
    free = shutil.disk_usage(str(folder)).free
    if free < NEEDED_BYTES:
        raise MachineLacks(
            f"The disk of {folder} has {free / 1024**3:.1f} GB free, and about "
            f"{NEEDED_BYTES / 1024**3:.0f} GB are needed: make room, or set CANARIO_CACHE and CANARIO_HOME "
            "to folders on another disk."
        )


def _require_venv(cache: Cache, python: str) -> None:
    if not _has_pip(cache) and not _succeeds(python, "import ensurepip, venv; ensurepip.version()"):
        raise MachineLacks(
            f"{python} cannot make a venv: `sudo apt-get install python3-venv` brings what it lacks."
        )


def _make_venv(cache: Cache, python: str) -> None:
    if _has_pip(cache):
        return
    shutil.rmtree(str(cache.venv), ignore_errors=True)
    run([python, "-m", "venv", str(cache.venv)], cache.logs / "venv.log", what="The venv could not be made")


def _install(cache: Cache) -> None:
    pip = [str(venv_python(cache)), "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    run(
        [*pip, "--require-hashes", "--only-binary=:all:", "-r", str(LOCK)],
        cache.logs / "pip.log",
        what="The Python packages could not be installed",
        hint="It begins where it stopped when you run the same command again.",
    )


def _has_pip(cache: Cache) -> bool:
    return _succeeds(str(venv_python(cache)), "import pip")


def _succeeds(python: str, code: str) -> bool:
    try:
        return subprocess.call([python, "-c", code], stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False
