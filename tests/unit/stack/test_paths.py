"""Folders of the cache and the home, and how one of the cache is made."""

from pathlib import Path

import pytest

from stack.paths import REPOSITORY, Cache, Home


def test_leftovers_of_a_killed_installation_are_removed(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "unleash"):
        (folder / ".unfinished-1" / "deep").mkdir(parents=True)
    with Cache(tmp_path).installing():
        pass
    assert not list(tmp_path.rglob(".unfinished-*"))
    assert (tmp_path / "unleash").is_dir()


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    cache, folder = Cache(tmp_path), tmp_path / "unleash" / "8.2.0"

    def replace(name: str, *, fails: bool = False) -> None:
        with cache.replacing(folder) as new:
            assert not list(new.iterdir())
            (new / name).touch()
            if fails:
                raise OSError(name)

    replace("first")
    replace("second")
    with pytest.raises(OSError, match="third"):
        replace("third", fails=True)
    assert [path.name for path in folder.iterdir()] == ["second"]
    assert list(folder.parent.iterdir()) == [folder]


def test_folders_lie_in_the_repository_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CANARIO_HOME", raising=False)
    monkeypatch.delenv("CANARIO_CACHE", raising=False)
    assert Home.default().root == Cache.default().root == REPOSITORY / ".canario"
    monkeypatch.setenv("CANARIO_HOME", str(tmp_path))
    assert Home.default().root == tmp_path
    assert Cache.default().root == REPOSITORY / ".canario"
