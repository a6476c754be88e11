"""The image, built once; and one container of it that most tests look at."""

import re
from collections.abc import Iterator

import pytest

from stack.paths import Cache
from tests.image.container import Container, running
from tests.image.engine import Engine
from tests.unit.deploy.compose import REPOSITORY, SERVICES


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder take an engine and minutes: `make image-test`."""
    for item in items:
        if "/tests/image/" in str(item.path):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def engine() -> Engine:
    """Podman, or what ENGINE says."""
    return Engine(Cache.default().root / "image-test")


@pytest.fixture(scope="session")
def base(engine: Engine) -> str:
    """The name of the image that every stage begins with, which is there; Podman's stand-in has no digest."""
    found = re.search(
        r"^ARG PYTHON=((\S+-(\w+))@\S+)$", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE
    )
    assert found
    pinned, name, release = found.groups()
    if engine.name != "podman":
        return str(pinned)
    if not engine.has(name):
        engine.make_base(name, release)
    return str(name)


@pytest.fixture(scope="session")
def image(engine: Engine, base: str) -> str:
    """The name of the image, built from the Dockerfile of now."""
    name: str = SERVICES["service"]["image"]
    engine.build(REPOSITORY, name, "canario", base)
    return name


@pytest.fixture(scope="session")
def service(engine: Engine, image: str) -> Iterator[Container]:
    """A service that reaches no Unleash, with its champion and challenger of the image."""
    with running(engine, image) as container:
        yield container
