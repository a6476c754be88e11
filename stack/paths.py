"""Where everything lies. Standard library only: the bootstrap needs it before the venv exists.

cache   what is downloaded and can be shared by several stacks: venv, servers, models
home    what belongs to one stack: data, secrets, logs, and the sockets and files of its running processes

Both are `<repository>/.canario` unless CANARIO_CACHE or CANARIO_HOME says otherwise.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
LOCK = REPOSITORY / "locks" / "dev.txt"
_UNFINISHED = ".unfinished-"


@dataclass(frozen=True)
class Cache:
    """Folders of what was downloaded or built from this repository alone."""

    root: Path

    @classmethod
    def default(cls) -> Cache:
        """The folder that CANARIO_CACHE names, or `.canario` of the repository."""
        return cls(_folder("CANARIO_CACHE"))

    @property
    def venv(self) -> Path:
        return self.root / "venv"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def prometheus(self) -> Path:
        """Root of the unpacked Debian packages."""
        return self.root / "prometheus"

    @property
    def alertmanager(self) -> Path:
        """Root of its unpacked Debian package."""
        return self.root / "alertmanager"

    @property
    def kubernetes(self) -> Path:
        """kube-apiserver, built here, and etcd; for tests."""
        return self.root / "kubernetes"

    @property
    def logs(self) -> Path:
        """Logs of installations."""
        return self.root / "install-logs"

    def unleash(self, version: str) -> Path:
        return self.root / "unleash" / version

    def model(self, role: str) -> Path:
        """The artifact of the example model that is `champion` or `challenger`."""
        return self.models / role

    @contextmanager
    def installing(self) -> Iterator[None]:
        """Only one process installs at a time; what a killed one left unfinished is removed."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "install.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for folder in (self.root, self.root / "unleash"):
                for unfinished in folder.glob(f"{_UNFINISHED}*"):
                    shutil.rmtree(str(unfinished), ignore_errors=True)
            yield

    @contextmanager
    def replacing(self, folder: Path) -> Iterator[Path]:
        """Give an empty folder, which takes the place of `folder` when the block comes to its end.

        Only then, and in one step. The parent of the new folder is for what is needed on the way.
        """
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=str(folder.parent)) as name:
            new = Path(name, "new")
            new.mkdir()
            yield new
            if folder.exists():
                folder.rename(Path(name, "old"))
            new.rename(folder)


@dataclass(frozen=True)
class Home:
    """Folders and files of one stack."""

    root: Path

    @classmethod
    def default(cls) -> Home:
        """The folder that CANARIO_HOME names, or `.canario` of the repository."""
        return cls(_folder("CANARIO_HOME"))

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def models(self) -> Path:
        """The models folder: artifacts, and who of them is champion and challenger."""
        return self.data / "models"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """Files that mean something only while the stack runs; 0700."""
        return self.root / "run"

    @property
    def ports(self) -> Path:
        return self.root / "ports.json"

    @property
    def settings(self) -> Path:
        """The settings of the last `up`, for the commands that come after it."""
        return self.run / "settings.json"

    @property
    def commands(self) -> Path:
        """The environment of people's commands, as the last `up` gave it: addresses, and files of tokens."""
        return self.run / "commands.json"

    @property
    def drill(self) -> Path:
        """The file that switches faults of the challenger on (CANARIO_DRILL_FILE of the service)."""
        return self.run / "drill.json"

    def log(self, program: str) -> Path:
        return self.logs / f"{program}.log"


def _folder(variable: str) -> Path:
    value = os.environ.get(variable)
    return Path(value).expanduser().absolute() if value else REPOSITORY / ".canario"
