"""An endpoint that fails as it is told to, and the model folder of what it serves."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from common.names import Model
from service.remote.__main__ import main
from tests.unit.service.remote.endpoint import FakeEndpoint, fake_endpoint


@pytest.fixture
def endpoint() -> Iterator[FakeEndpoint]:
    with fake_endpoint() as made:
        yield made


@pytest.fixture
def folder(endpoint: FakeEndpoint, models: dict[Model, Path], tmp_path: Path) -> Path:
    """As `python -m service.remote` makes it."""
    out = tmp_path / "remote"
    options = ["--url", endpoint.url, "--model", "fraud", "--like", str(models[Model.CHAMPION])]
    done = CliRunner().invoke(main, [*options, "--name", "fraud", "--version", "3", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "pinned  3" in done.output
    return out
