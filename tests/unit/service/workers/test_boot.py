"""Where workers count: in memory, empty at each start, and never in somebody else's folder."""

import os
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from service.workers import boot
from service.workers.boot import count_folders, make_count_folder, remove_count_folders


@pytest.fixture(autouse=True)
def in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "shm"
    folder.mkdir()
    monkeypatch.setattr(boot, "IN_MEMORY", folder)
    monkeypatch.setattr(boot, "_made", [])
    return folder


def test_memory_comes_first_and_the_state_folder_where_there_is_none(
    tmp_path: Path, in_memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "metrics-127.0.0.1:8000"
    first, second = count_folders(tmp_path, "127.0.0.1:8000")
    assert (first.parent, second) == (in_memory, own)
    monkeypatch.setattr(boot, "IN_MEMORY", tmp_path / "missing")
    assert count_folders(tmp_path, "127.0.0.1:8000") == [own]


def test_two_services_never_share_one(tmp_path: Path) -> None:
    places = [("a", "127.0.0.1:8000"), ("a", "127.0.0.1:8001"), ("b", "127.0.0.1:8000")]
    assert len({count_folders(tmp_path / state, bind)[0] for state, bind in places}) == 3


def test_counts_of_a_former_run_are_gone_and_nobody_else_reads_those_of_this_one(in_memory: Path) -> None:
    folder = make_count_folder([in_memory / "mine"])
    (folder / "counter_1.db").touch()
    assert list(make_count_folder([folder]).iterdir()) == []
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_link_is_not_followed(in_memory: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "file").touch()
    (in_memory / "mine").symlink_to(theirs)
    made = make_count_folder([in_memory / "mine"])
    assert not made.is_symlink()
    assert (theirs / "file").exists()


def test_what_cannot_be_made_is_followed_by_the_next(in_memory: Path, tmp_path: Path) -> None:
    (in_memory / "mine").touch()  # cannot be removed as a folder, like that of another user
    assert make_count_folder([in_memory / "mine", tmp_path / "own"]) == tmp_path / "own"
    with pytest.raises(OSError, match="File exists"):
        make_count_folder([in_memory / "mine"])


def test_a_folder_without_room_for_all_workers_is_followed_by_the_next(
    in_memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    room = [8 * boot.WORKER_BYTES - 1]
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=room[0], f_frsize=1))
    assert make_count_folder([in_memory / "mine", tmp_path / "own"], workers=8) == tmp_path / "own"
    assert "workers cannot count in" in caplog.text
    assert make_count_folder([in_memory / "mine"], workers=8) == in_memory / "mine"  # there is no other
    room[0] += 1
    assert make_count_folder([in_memory / "mine", tmp_path / "own"], workers=8) == in_memory / "mine"


def test_only_what_this_process_made_is_removed(in_memory: Path) -> None:
    """A service that was started by mistake beside another ends without having made anything."""
    (in_memory / "of-another").mkdir()
    mine = make_count_folder([in_memory / "mine"])
    remove_count_folders()
    assert not mine.exists()
    assert (in_memory / "of-another").exists()


def test_gunicorns_master_loads_nothing_that_is_for_workers() -> None:
    """prometheus_client decides at its import whether it counts in the folder, which is known only later."""
    environment = {
        "CANARIO_CHAMPION": "nowhere",
        "CANARIO_UNLEASH_URL": "http://127.0.0.1:9",
        "CANARIO_UNLEASH_SDK_TOKEN": "default:production.not-a-secret",
    }
    program = "import sys, service.gunicorn_conf; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | environment,
        cwd=Path(__file__).parents[4],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert "service.workers.boot" in loaded
    assert not loaded & {"prometheus_client", "onnxruntime", "numpy", "UnleashClient"}
