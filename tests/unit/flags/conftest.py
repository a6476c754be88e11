"""Servers and clients for the tests of flags/."""

from collections.abc import Iterator

import pytest

from flags.unleash.admin import UnleashAdmin
from flags.unleash.http import Timeouts
from tests.unit.flags.fake_unleash import FakeUnleash
from tests.unit.flags.server import Server, serving

TOKEN = "user:flags"
QUICK = Timeouts(connect=0.5, read=0.5, backoff=0.01)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def unleash(server: Server) -> FakeUnleash:
    return FakeUnleash(server)


@pytest.fixture
def admin(unleash: FakeUnleash) -> UnleashAdmin:
    return UnleashAdmin(unleash.url, TOKEN, timeouts=QUICK)
