"""Rollouts in a ConfigMap, as the kubelet lays it out: links to a hidden folder, swapped in one step."""

from pathlib import Path

import pytest

from common.every_rollout import stamp_of
from common.rollouts import names


def laid(folder: Path, version: str, files: dict[str, str]) -> None:
    """What the kubelet makes of a ConfigMap whose items have these paths."""
    hidden = folder / f"..{version}"
    for path, text in files.items():
        (hidden / path).parent.mkdir(parents=True, exist_ok=True)
        (hidden / path).write_text(text)
    new = folder / "..data_tmp"
    new.symlink_to(hidden.name)
    new.rename(folder / "..data")
    for name in {path.partition("/")[0] for path in files}:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data") / name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {"checkout/rollout.yaml": "name: checkout\n", "checkout/plan.yaml": "stages: []\n"}
    laid(tmp_path, "2026_01", files)
    return tmp_path


def test_each_rollout_is_found_once(folder: Path) -> None:
    assert names(folder) == ("checkout",)


def test_a_change_of_a_file_is_seen(folder: Path) -> None:
    stamp = stamp_of(folder)
    before = stamp()
    assert stamp() == before
    files = {"checkout/rollout.yaml": "name: checkout\n", "checkout/plan.yaml": "stages: [one]\n"}
    laid(folder, "2026_02", files)
    assert stamp() != before
