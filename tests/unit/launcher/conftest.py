"""`./canario` as people start it: a process of its own, beside an Unleash in this one."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stack.paths import REPOSITORY
from tests.unit.flags.conftest import TOKEN
from tests.unit.flags.fake_unleash import FakeUnleash, gradual
from tests.unit.flags.server import serving

Canario = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def unleash() -> Iterator[FakeUnleash]:
    with serving() as server:
        fake = FakeUnleash(server)
        fake.add("canary", gradual(25))
        yield fake


@pytest.fixture
def canario(tmp_path: Path) -> Canario:
    """Runs `./canario WORDS` where nothing was started; `bare`: by a Python without packages."""

    def run(*words: str, bare: bool = False, **variables: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CANARIO_")}
        home = {"CANARIO_HOME": str(tmp_path / "home"), "CANARIO_CACHE": str(tmp_path / "cache")}
        return subprocess.run(
            [sys.executable, *(["-S"] if bare else []), str(REPOSITORY / "canario"), *words],
            env={**clean, **home, **variables},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def at_unleash(unleash: FakeUnleash, tmp_path: Path) -> dict[str, str]:
    """The variables of who may turn its flags off."""
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n", encoding="utf-8")
    return {"CANARIO_UNLEASH_URL": unleash.url, "CANARIO_UNLEASH_ADMIN_TOKEN_FILE": str(token)}
