"""Venvs of their own in the cache, for clients and servers of others that need other versions than ours."""

import hashlib
import sys
from pathlib import Path

from stack.paths import REPOSITORY, Cache
from stack.shell import run

STAMP = "canario.stamp"


def ensure_venv(cache: Cache, name: str) -> Path:
    """The Python of the venv `name`, which has what `locks/NAME.txt` says; made where it is not.

    Its programs are run as modules: scripts in it name the folder where it was made.

    Raises:
        StackError: a download failed.
    """
    lock = REPOSITORY / "locks" / f"{name}.txt"
    folder = cache.root / "venvs" / name
    wanted = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()
    with cache.installing():
        stamp = folder / STAMP
        if not (stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted):
            uv, log = str(Path(sys.executable).with_name("uv")), cache.logs / f"venv-{name}.log"
            told = f"The packages of locks/{name}.txt could not be installed"
            with cache.replacing(folder) as new:
                run(
                    [uv, "venv", "--relocatable", "--allow-existing", "--python", sys.executable, str(new)],
                    log,
                    what=told,
                )
                python = str(new / "bin" / "python")
                command = [uv, "pip", "install", "--python", python, "--require-hashes", "-r", str(lock)]
                run(command, log, what=told)
                (new / STAMP).write_text(wanted, encoding="utf-8")
    return folder / "bin" / "python"
