"""A stack without programs and a target without a service, over an Unleash in this process."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from drills.target import Target
from flags.unleash.admin import UnleashAdmin
from tests.unit.flags.conftest import QUICK, TOKEN
from tests.unit.flags.fake_unleash import FakeUnleash
from tests.unit.flags.server import serving


class FakeStack:
    """What a drill asks of a stack."""

    def __init__(self, folder: Path, running: tuple[str, ...] = ()) -> None:
        self.site = SimpleNamespace(home=SimpleNamespace(models=folder, data=folder))
        self._running = running

    def status(self) -> list[SimpleNamespace]:
        """Those that run."""
        return [SimpleNamespace(name=name, pid=1) for name in self._running]


@pytest.fixture
def unleash() -> Iterator[FakeUnleash]:
    with serving() as server:
        yield FakeUnleash(server)


@pytest.fixture
def target(unleash: FakeUnleash, tmp_path: Path) -> Target:
    admin = UnleashAdmin(unleash.url, TOKEN, timeouts=QUICK)
    return Target(
        "http://127.0.0.1:1", admin, "canary", "canario-rollback", tmp_path / "drill", tmp_path / "log"
    )
