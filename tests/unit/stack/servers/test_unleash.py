"""Unleash is pinned, and not brought twice."""

import json
from pathlib import Path

import pytest

from stack.paths import Cache
from stack.servers import unleash
from stack.shell import StackError
from stack.site import DEFAULT_UNLEASH_VERSION

PINNED = sorted(folder.name for folder in unleash.LOCKS.iterdir())


def test_the_versions_that_are_promised_are_pinned() -> None:
    assert PINNED == ["7.6.5", "8.2.0"]
    assert unleash.is_pinned(DEFAULT_UNLEASH_VERSION)
    assert not unleash.is_pinned("8.1.0")


@pytest.mark.parametrize("version", PINNED)
def test_a_lock_pins_every_package_by_hash_and_names_no_registry(version: str) -> None:
    folder = unleash.LOCKS / version
    package = json.loads((folder / "package.json").read_text())
    assert package["dependencies"] == {"unleash-server": version}
    lock = json.loads((folder / "package-lock.json").read_text())
    packages = {name: found for name, found in lock["packages"].items() if name}
    assert len(packages) > 300
    for name, found in packages.items():
        assert found["integrity"].startswith("sha512-"), name
        assert "resolved" not in found, name
    assert packages["node_modules/unleash-server"]["version"] == version


@pytest.mark.parametrize("version", ["", "latest", "8", "8.2", "8.2.0 --registry=x", "../8.2.0"])
def test_what_is_no_version_does_not_reach_npm(tmp_path: Path, version: str) -> None:
    with pytest.raises(StackError, match="is no version"):
        unleash.ensure(Cache(tmp_path), version)


def test_an_installed_server_is_left_alone(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    server = unleash.server(cache, "8.2.0")
    server.parent.mkdir(parents=True)
    server.touch()
    assert unleash.ensure(cache, "8.2.0") == "there already"
