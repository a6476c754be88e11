"""What is brought from outside is pinned, and nothing is brought twice."""

import json
import os
import shutil
from pathlib import Path

import pytest

from stack.errors import MachineLacks, StackError
from stack.install import alertmanager, browser, installing, prometheus, unleash
from stack.paths import Cache

PINNED = sorted(folder.name for folder in unleash.LOCKS.iterdir())


def test_the_versions_that_are_promised_are_pinned() -> None:
    assert PINNED == ["7.6.5", "8.2.0"]
    assert unleash.is_pinned(unleash.DEFAULT_VERSION)
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


def test_an_unpacked_prometheus_is_left_alone(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    binary = prometheus.binary(cache)
    binary.parent.mkdir(parents=True)
    binary.touch()
    (cache.prometheus / "canario.packages").touch()
    assert prometheus.ensure(cache) == "there already"


PLACE = b"/usr/share/prometheus/alertmanager"


def unpacked_alertmanager(root: Path, content: bytes) -> Path:
    file = root / "usr" / "bin" / "prometheus-alertmanager"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    return file


def test_alertmanager_finds_its_templates_where_it_is_started(tmp_path: Path) -> None:
    file = unpacked_alertmanager(
        tmp_path, b"bytes" + PLACE + b"355 " + PLACE + b"/ui/111 " + PLACE + b"/no-ui1"
    )
    alertmanager.find_templates_here(tmp_path)
    here = b"." + b"/" * (len(PLACE) - 1)
    assert file.read_bytes() == b"bytes" + here + b"355 " + PLACE + b"/ui/111 " + PLACE + b"/no-ui1"


@pytest.mark.parametrize("content", [b"nothing of the kind", PLACE + b" twice " + PLACE])
def test_an_alertmanager_that_is_not_known_is_left_out_and_not_broken(tmp_path: Path, content: bytes) -> None:
    file = unpacked_alertmanager(tmp_path, content)
    with pytest.raises(StackError, match="ALERTMANAGER=0"):
        alertmanager.find_templates_here(tmp_path)
    assert file.read_bytes() == content


def test_leftovers_of_a_killed_installation_are_removed(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "unleash"):
        (folder / ".unfinished-1" / "deep").mkdir(parents=True)
    with installing(Cache(tmp_path)):
        pass
    assert not list(tmp_path.rglob(".unfinished-*"))
    assert (tmp_path / "unleash").is_dir()


def test_an_ordinary_user_is_told_how_to_get_a_browser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MachineLacks, match="`sudo apt-get install -y --no-install-recommends chromium`"):
        browser.ensure_browser(Cache(tmp_path))


def test_a_browser_that_is_there_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/opt/{name}" if name == "google-chrome" else None)
    assert browser.find_browser() == Path("/opt/google-chrome")
    assert browser.ensure_browser(Cache(tmp_path)) == "there already"
