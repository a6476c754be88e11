"""The browser comes from Debian."""

import os
import shutil
from pathlib import Path

import pytest

from stack.paths import Cache
from stack.servers import debian
from stack.shell import MachineLacks


def test_an_ordinary_user_is_told_how_to_get_a_browser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MachineLacks, match="`sudo apt-get install -y --no-install-recommends chromium`"):
        debian.ensure_browser(Cache(tmp_path))


def test_a_browser_that_is_there_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/opt/{name}" if name == "google-chrome" else None)
    assert debian.find_browser() == Path("/opt/google-chrome")
    assert debian.ensure_browser(Cache(tmp_path)) == "there already"
