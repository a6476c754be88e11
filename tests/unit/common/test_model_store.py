"""The models folder on disk: whole whenever its writer dies, and for many writers at once."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from common import model_store
from common.config import ConfigError
from common.model_store import METADATA_FILE, MODEL_FILE, ModelStore
from common.release import Note, Release, ReleaseError, challenged, promoted, settled
from tests.unit.common.model_folder import model

NOTE = Note("a test")
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    made = ModelStore(tmp_path / "models")
    made.install(model(tmp_path / "a", "a"), model(tmp_path / "b", "b"), NOTE)
    return made


def test_installing_copies_models_under_names_of_their_content(store: ModelStore, tmp_path: Path) -> None:
    roles = store.read().roles
    assert roles.champion.folder.startswith("a-1-")
    assert roles.challenger
    store.verify(roles.champion)
    store.verify(roles.challenger)
    (tmp_path / "a" / MODEL_FILE).write_bytes(b"changed later")
    store.verify(roles.champion)
    assert [path.name for path in store.folder.glob(".unfinished-*")] == []


def test_installing_again_changes_nothing_unless_nobody_has_changed_roles(
    store: ModelStore, tmp_path: Path
) -> None:
    first = store.read()
    other = model(tmp_path / "c", "c")
    assert store.install(other, None, NOTE) == first
    same = store.install(tmp_path / "a", tmp_path / "b", NOTE, refresh=True)
    assert same == first
    assert store.install(other, None, Note("somebody else"), refresh=True) == first
    assert store.install(other, None, NOTE, refresh=True).roles.champion.name == "c"
    store.change(lambda now: challenged(now, store.add(tmp_path / "b"), NOTE))
    assert store.install(tmp_path / "a", None, NOTE, refresh=True).roles.champion.name == "c"


def test_adding_twice_is_one_folder_and_other_metadata_are_another(store: ModelStore, tmp_path: Path) -> None:
    assert store.add(tmp_path / "a") == store.read().roles.champion
    told = json.loads((tmp_path / "a" / METADATA_FILE).read_text(encoding="utf-8"))
    (tmp_path / "a" / METADATA_FILE).write_text(json.dumps(told | {"features": ["x"]}), encoding="utf-8")
    assert store.add(tmp_path / "a").folder != store.read().roles.champion.folder


def test_a_damaged_copy_is_told_and_mended(store: ModelStore, tmp_path: Path) -> None:
    entry = store.read().roles.champion
    (store.path(entry) / MODEL_FILE).write_bytes(b"cut")
    with pytest.raises(ReleaseError, match="sha256"):
        store.verify(entry)
    store.add(tmp_path / "a")
    store.verify(entry)


@pytest.mark.parametrize("missing", [MODEL_FILE, METADATA_FILE])
def test_half_a_model_is_refused(store: ModelStore, tmp_path: Path, missing: str) -> None:
    (tmp_path / "a" / missing).unlink()
    with pytest.raises(ReleaseError, match=missing):
        store.add(tmp_path / "a")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 2}', '{"format": 1, "revision": 0}'])
def test_a_file_that_is_no_release_is_told(store: ModelStore, content: str) -> None:
    store.roles_file.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"roles\.json"):
        store.read()
    with pytest.raises(ConfigError):
        store.change(lambda now: now)


def test_a_folder_that_cannot_be_written_is_told_and_stays_as_it_is(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = store.roles_file.read_bytes()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(ReleaseError, match="cannot be written: Read-only file system"):
            store.change(lambda now: promoted(now, NOTE))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        with pytest.raises(ReleaseError, match="cannot be written: Read-only file system"):
            store.change(lambda now: promoted(now, NOTE))
    other = model(tmp_path / "c", "c")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", refuse)
        with pytest.raises(ReleaseError, match="cannot be copied there: Read-only file system"):
            store.add(other)
    assert store.roles_file.read_bytes() == before


@pytest.mark.parametrize(("where", "step"), [(os, "open"), (Path, "replace")])
def test_a_full_disk_leaves_the_old_release(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch, where: object, step: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    before = store.read()
    with monkeypatch.context() as patch:
        patch.setattr(where, step, full)
        with pytest.raises(ReleaseError, match="No space left"):
            store.change(lambda now: promoted(now, NOTE))
    assert store.read() == before
    assert store.change(lambda now: promoted(now, NOTE)).revision == 2


def test_of_many_who_change_the_same_revision_one_does(store: ModelStore) -> None:
    outcomes: list[str] = []

    def change() -> None:
        try:
            store.change(lambda now: challenged(now, None, NOTE), expect=1)
            outcomes.append("done")
        except ReleaseError as error:
            outcomes.append("faster" if "was faster" in str(error) else str(error))

    threads = [threading.Thread(target=change) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["done"] + ["faster"] * 7
    assert store.read().revision == 2


def test_a_lock_that_is_held_for_ever_is_told(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_store, "LOCK_SECONDS", 0.1)

    def hold(now: Release) -> Release:
        with pytest.raises(ReleaseError, match="another process"):
            store.change(lambda other: other)
        return now

    store.change(hold)


KILLING = """
import os, signal, sys, time
from pathlib import Path
from common.model_store import ModelStore
from common.release import Note, challenged

store, highest = ModelStore(Path(sys.argv[1])), 0
for number in range(30):
    writer = os.fork()
    if writer == 0:
        while True:
            store.change(lambda now: challenged(now, None, Note("a test")))
    time.sleep(0.02 + number / 1000)  # the moment of the kill, somewhere in a write: another each time
    os.kill(writer, signal.SIGKILL)
    os.waitpid(writer, 0)
    revision = store.read().revision
    assert revision >= highest
    highest = revision
"""


def test_a_writer_that_is_killed_leaves_the_old_release_or_the_new_one(store: ModelStore) -> None:
    """SIGKILL at 30 moments of a writer that does nothing but write; in a process that may fork."""
    subprocess.run([sys.executable, "-c", KILLING, str(store.folder)], check=True, timeout=60, cwd=REPOSITORY)
    highest = store.read().revision
    assert highest > 30
    assert store.change(lambda now: challenged(now, None, NOTE)).revision == highest + 1
    assert {path.name for path in store.folder.glob(".*")} <= {".roles.json.new"}


def old(store: ModelStore, folder: Path, days: int) -> str:
    """A model that was copied in so long ago, and never had a role."""
    entry = store.add(folder)
    then = time.time() - 86400 * days
    os.utime(store.path(entry) / METADATA_FILE, (then, then))
    return entry.folder


def folders(store: ModelStore) -> set[str]:
    return {path.name for path in store.folder.iterdir() if path.is_dir()}


def test_models_that_nobody_needs_are_removed_but_for_the_last_ones(
    store: ModelStore, tmp_path: Path
) -> None:
    needed = folders(store)
    ages = {
        name: old(store, model(tmp_path / name, name), days) for name, days in (("x", 3), ("y", 9), ("z", 1))
    }
    foreign = store.folder / "notes-0123456789ab"  # looks like one, and is none
    foreign.mkdir()
    (store.folder / "my-models").mkdir()
    assert [path.name for path in store.prune(1, dry_run=True)] == [ages["y"], ages["x"]]
    assert folders(store) == needed | {*ages.values(), foreign.name, "my-models"}
    assert [path.name for path in store.prune(1)] == [ages["y"], ages["x"]]
    assert store.prune(1) == ()
    assert folders(store) == needed | {ages["z"], foreign.name, "my-models"}
    store.prune(0)
    assert folders(store) == needed | {foreign.name, "my-models"}
    assert [path.name for path in store.folder.glob(".unfinished-*")] == []


def test_the_way_back_is_never_removed(store: ModelStore, tmp_path: Path) -> None:
    first = store.read().roles
    assert first.challenger
    store.change(lambda now: promoted(now, NOTE))
    assert store.prune(0) == (), "the old champion is the way back"
    store.change(settled)
    third = store.add(model(tmp_path / "c", "c"))
    store.change(lambda now: challenged(now, third, NOTE))
    assert store.prune(0) == ()
    store.change(lambda now: challenged(now, None, NOTE))
    assert store.prune(0) == (), "until it is settled the roles before may be restored"
    store.change(settled)
    assert [path.name for path in store.prune(0)] == [third.folder]
    for entry in (first.champion, first.challenger):
        store.verify(entry)


def test_a_role_counts_as_use(store: ModelStore, tmp_path: Path) -> None:
    young = old(store, model(tmp_path / "y", "y"), 1)
    had_a_role = old(store, model(tmp_path / "r", "r"), 99)
    entry = store.add(tmp_path / "r")
    store.change(lambda now: challenged(now, entry, NOTE))
    store.change(lambda now: settled(challenged(now, None, NOTE)))
    first = [path.name for path in store.prune(0, dry_run=True)]
    assert first.index(young) < first.index(had_a_role)


def test_a_model_that_was_removed_in_between_gets_no_role(store: ModelStore, tmp_path: Path) -> None:
    entry = store.add(model(tmp_path / "c", "c"))
    store.prune(0)
    with pytest.raises(ReleaseError, match="is gone, and nothing was changed: do it again"):
        store.change(lambda now: challenged(now, entry, NOTE))
    assert store.read().revision == 1


def test_a_folder_that_cannot_be_removed_is_told(
    store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old(store, model(tmp_path / "x", "x"), 1)

    def fail(self: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(ReleaseError, match="cannot be removed"):
        store.prune(0)
