"""Makes the venv that everything else runs in. Standard library only, and parsed by old Pythons too.

The venv is made from locks/dev.txt with hashes, and left alone as long as that file does not change.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

from stack.paths import LOCK, Cache

OLDEST = (3, 11)
NEWER_NAMES = ("python3.13", "python3.12", "python3.11")
NEEDED_BYTES = 2 * 1024**3  # venv 1.0 GB, Unleash 0.2 GB, Prometheus 0.2 GB, and room for data
STAMP = "canario.stamp"
EXIT_FAILED = 1
EXIT_MACHINE_LACKS = 3


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

    Prints one line where there is something to do. Ends the process with a sentence where it cannot be done.
    """
    if is_ready(cache):
        return 0.0
    start = time.monotonic()
    cache.root.mkdir(parents=True, exist_ok=True)
    cache.logs.mkdir(exist_ok=True)
    with (cache.root / "install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second `make up` waits for the first
        if not is_ready(cache):
            python = _new_enough_python()
            _require_room(cache.root)
            _require_venv(cache, python)
            print(
                "Python packages, by hash, from locks/dev.txt (about half a minute) ... ", end="", flush=True
            )
            _make_venv(cache, python)
            _install(cache)
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
    return _give_up(
        f"Python {has} ({sys.executable}) is too old: Canario needs 3.11 or later, as in Debian 12. "
        "If you have one, name it: `make up PYTHON=/path/to/python3.12`.",
        EXIT_MACHINE_LACKS,
    )


def _require_room(folder: Path) -> None:
    free = shutil.disk_usage(str(folder)).free
    if free < NEEDED_BYTES:
        _give_up(
            f"The disk of {folder} has {free / 1024**3:.1f} GB free, and about "
            f"{NEEDED_BYTES / 1024**3:.0f} GB are needed: make room, or set CANARIO_CACHE and CANARIO_HOME "
            "to folders on another disk.",
            EXIT_MACHINE_LACKS,
        )


def _require_venv(cache: Cache, python: str) -> None:
    if not _has_pip(cache) and not _succeeds(python, "import ensurepip, venv; ensurepip.version()"):
        _give_up(
            f"{python} cannot make a venv: `sudo apt-get install python3-venv` brings what it lacks.",
            EXIT_MACHINE_LACKS,
        )


def _make_venv(cache: Cache, python: str) -> None:
    if _has_pip(cache):
        return
    shutil.rmtree(str(cache.venv), ignore_errors=True)
    _run([python, "-m", "venv", str(cache.venv)], cache.logs / "venv.log")


def _install(cache: Cache) -> None:
    pip = [str(venv_python(cache)), "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    _run([*pip, "--require-hashes", "--only-binary=:all:", "-r", str(LOCK)], cache.logs / "pip.log")


def _has_pip(cache: Cache) -> bool:
    return _succeeds(str(venv_python(cache)), "import pip")


def _succeeds(python: str, code: str) -> bool:
    try:
        return subprocess.call([python, "-c", code], stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def _run(command: list[str], log: Path) -> None:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=str(LOCK.parent)
        )
        try:
            code = process.wait()
        except BaseException:  # Ctrl-C or SIGTERM: leave nothing behind
            process.kill()
            process.wait()
            raise
    if code:
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-15:]
        print("failed", flush=True)
        _give_up(
            "\n".join([f"`{' '.join(command)}` failed. Its last lines:", *(f"    {line}" for line in last)])
            + f"\nThe whole log: {log}\nIt begins where it stopped when you run the same command again.",
            EXIT_FAILED,
        )


def _give_up(sentence: str, code: int) -> NoReturn:
    print(f"error: {sentence}", file=sys.stderr, flush=True)
    sys.exit(code)
