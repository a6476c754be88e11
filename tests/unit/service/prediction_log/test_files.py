"""The files of the prediction log: whole lines whatever the disk does, rotated, old ones removed.

Disks that are really full, file sizes that are really limited, and processes that are really killed.
"""

import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from service.prediction_log.files import LogFiles

LARGE = 10**9


def lines(count: int, size: int = 100, start: int = 0) -> list[bytes]:
    made = []
    for number in range(start, start + count):
        text = orjson.dumps({"id": number, "pad": ""})
        made.append(orjson.dumps({"id": number, "pad": "x" * (size - len(text) - 1)}) + b"\n")
    return made


def content(folder: Path) -> list[bytes]:
    """The text of each file, in the order in which they were begun."""
    return [path.read_bytes() for path in sorted(folder.glob("*.jsonl"))]


def ids(folder: Path) -> list[int]:
    """The ids in all files; fails on any line that is not a whole record."""
    found = []
    for text in content(folder):
        assert text.endswith(b"\n") or not text
        found += [orjson.loads(line)["id"] for line in text.splitlines()]
    return found


def test_a_file_is_followed_by_the_next_before_it_grows_too_large(tmp_path: Path) -> None:
    files = LogFiles(tmp_path / "a" / "log", max_bytes=1000, keep=100)
    for number in range(35):
        assert files.write(lines(1, start=number)) == 1
    assert files.write(lines(15, start=35)) == 15
    files.close()
    assert [len(text) for text in content(tmp_path / "a" / "log")] == [1000] * 5
    assert ids(tmp_path / "a" / "log") == list(range(50))


def test_a_record_larger_than_a_file_gets_one_of_its_own(tmp_path: Path) -> None:
    files = LogFiles(tmp_path, max_bytes=1000, keep=100)
    assert files.write([*lines(1), *lines(1, size=3000, start=1), *lines(1, start=2)]) == 3
    files.close()
    assert ids(tmp_path) == [0, 1, 2]


def test_old_files_are_removed(tmp_path: Path) -> None:
    (tmp_path / "another.jsonl").write_text("not ours", encoding="utf-8")
    files = LogFiles(tmp_path, max_bytes=1000, keep=3)
    files.write(lines(100))
    files.close()
    (tmp_path / "another.jsonl").unlink()
    assert ids(tmp_path) == list(range(70, 100))


def test_a_file_that_another_writes_to_is_kept_however_old(tmp_path: Path) -> None:
    idle = LogFiles(tmp_path, max_bytes=1000, keep=2)
    idle.write(lines(1))
    busy = LogFiles(tmp_path, max_bytes=1000, keep=2)
    busy.write(lines(100, start=1))
    idle.write(lines(1, start=1000))
    idle.close()
    busy.close()
    assert content(tmp_path)[0] == b"".join([*lines(1), *lines(1, start=1000)])


def test_two_writers_never_share_a_file(tmp_path: Path) -> None:
    writers = [LogFiles(tmp_path, LARGE, 100) for _ in range(5)]
    for number, writer in enumerate(writers):
        writer.write(lines(1, start=number))
    assert len(content(tmp_path)) == 5
    for writer in writers:
        writer.close()
    again = LogFiles(tmp_path, LARGE, 100)
    again.write(lines(1, start=5))
    again.close()
    assert len(content(tmp_path)) == 6


def test_a_file_or_folder_that_was_removed_is_begun_anew(tmp_path: Path) -> None:
    files = LogFiles(tmp_path / "log", LARGE, 10)
    files.write(lines(1))
    next((tmp_path / "log").iterdir()).unlink()
    (tmp_path / "log").rmdir()
    assert files.write(lines(1, start=1)) == 1
    files.close()
    assert ids(tmp_path / "log") == [1]


def test_a_file_that_was_emptied_is_gone_on_with(small_disk: Path) -> None:
    """As logrotate does with copytruncate; then a full disk."""
    files = LogFiles(small_disk, LARGE, 10)
    files.write(lines(20, size=999))
    os.truncate(next(small_disk.iterdir()), 0)
    done = files.write(lines(1000, size=999))
    assert 0 < done < 1000
    files.close()
    assert ids(small_disk) == list(range(done))


def test_others_cannot_read(tmp_path: Path) -> None:
    files = LogFiles(tmp_path / "log", LARGE, 10)
    files.write(lines(1))
    files.close()
    assert (tmp_path / "log").stat().st_mode & 0o007 == 0
    assert next((tmp_path / "log").iterdir()).stat().st_mode & 0o007 == 0


@pytest.mark.parametrize("place", ["/proc/nowhere", "a file"])
def test_a_folder_that_cannot_be_made_is_a_fault(tmp_path: Path, place: str) -> None:
    (tmp_path / "a file").touch()
    files = LogFiles(tmp_path / place, LARGE, 10)
    assert files.write(lines(3)) == 0
    assert files.fault


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("mounting needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_that_comes_back_goes_on_with_whole_lines(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    files = LogFiles(small_disk, LARGE, 10)
    assert files.write(lines(10, size=999)) == 10
    ballast.write_bytes(b"x" * 200 * 1024)
    todo, done = lines(100, size=999, start=10), 0
    while written := files.write(todo[done:]):
        done += written
    assert files.fault is not None
    assert files.fault.errno == 28
    assert 0 < done < 100
    assert ids(small_disk) == list(range(10 + done))
    ballast.unlink()
    assert files.write(todo[done:]) == 100 - done
    assert files.fault is None
    files.close()
    assert ids(small_disk) == list(range(110))
    assert len(content(small_disk)) == 1


def test_a_disk_that_turns_read_only_is_a_fault_and_its_return_is_none(small_disk: Path) -> None:
    files = LogFiles(small_disk, 1000, 10)
    files.write(lines(1))
    files.close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert files.write(lines(3, start=1)) == 0
    assert files.fault is not None
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert files.write(lines(3, start=1)) == 3
    files.close()
    assert ids(small_disk) == [0, 1, 2, 3]


def run(code: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        cwd=Path(__file__).parents[4],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_line_that_was_cut_by_a_limit_is_taken_back(tmp_path: Path) -> None:
    """Without root: the kernel writes a part, and then refuses the rest."""
    child = run(
        """
        import resource, sys
        from pathlib import Path
        from service.prediction_log.files import LogFiles
        from tests.unit.service.prediction_log.test_files import lines
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1050, hard))
        files = LogFiles(Path(sys.argv[1]), 10**9, 10)
        first = files.write(lines(20))
        refused = files.write(lines(20 - first, start=first)), files.fault.errno
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        print(first, *refused, files.write(lines(20 - first, start=first)))
        """,
        str(tmp_path),
    )
    out, _ = child.communicate(timeout=30)
    assert out.split() == ["10", "0", "27", "10"]  # EFBIG
    assert ids(tmp_path) == list(range(20))
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_what_cannot_be_taken_back_ends_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, write, broken = LogFiles(tmp_path, LARGE, 10), os.write, True

    def half(fd: int, data: memoryview) -> int:
        if not broken:
            return write(fd, data)
        if len(data) < 500:
            raise OSError(28, "No space left on device")
        return write(fd, data[:250])

    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "write", half)
    monkeypatch.setattr(os, "ftruncate", refuse)
    kept = files.write(lines(7))
    assert kept == 2
    broken = False
    assert files.write(lines(7 - kept, start=kept)) == 7 - kept
    files.close()
    old, new = content(tmp_path)
    assert not old.endswith(b"\n")
    assert new == b"".join(lines(7 - kept, start=kept))


FLUSH_SECONDS = 0.3
RECORDER = """
    import sys, time
    from pathlib import Path
    from service.prediction_log.files import LogFiles
    from service.prediction_log.log import Limits, PredictionLog
    log = PredictionLog(LogFiles(Path(sys.argv[1]), 20_000, 1000), Limits(10**5, 10**8), float(sys.argv[2]))
    number = 0
    while True:
        log.record({"kind": "prediction", "id": number})
        print(number, time.time(), flush=True)
        number += 1
        time.sleep(0.001)  # some 1,000 records a second, as a busy worker has them
"""


def test_a_killed_process_loses_no_more_than_the_flush_interval(tmp_path: Path) -> None:
    with run(RECORDER, str(tmp_path), str(FLUSH_SECONDS)) as child:
        assert child.stdout
        told = [child.stdout.readline() for _ in range(1000)]
        child.send_signal(signal.SIGKILL)
        killed = time.time()
        told += child.stdout.read().splitlines()
    recorded = {int(line.split()[0]): float(line.split()[1]) for line in told if len(line.split()) == 2}
    found = ids(tmp_path)
    assert found == list(range(len(found)))
    assert len(content(tmp_path)) > 1
    lost = [moment for number, moment in recorded.items() if number >= len(found)]
    assert all(killed - moment < FLUSH_SECONDS + 0.3 for moment in lost)  # 0.3 s: a machine with other work
    assert len(found) > 400
