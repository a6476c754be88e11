"""Files of workers that have died, added up into one a kind: otherwise each death slows every scrape down.

The master merges when a worker has ended; any worker may be scraped meanwhile. A lock keeps the two apart, so
that no scrape counts a file twice or misses it: to Prometheus a counter that goes back began anew, and all
that it says then has just happened. Nor may the master's end between two steps do that, hence a journal:

    counter_merged.new     the sums, not yet seen by anybody
    journal                renamed here: from now on the sums count, and the files named in it do not
    counter_merged.db      renamed to; then those files are removed, and the journal

Whoever gets the lock and finds a journal does what it says.
"""

import fcntl
import logging
import struct
import time
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import mark_process_dead

from common.files import replace_whole

log = logging.getLogger(__name__)

KINDS = ("counter", "histogram", "summary")  # gauges of the service are those of live workers
LOCK, JOURNAL = "lock", "journal"
UNCOUNTED = "uncounted_"  # begins the name of a mark of service.metrics.files
MERGE_SECONDS = 0.2  # the master's patience: it has workers to start
SCRAPE_SECONDS = 2.0

_waiting: set[int] = set()  # dead workers whose files are yet to be merged; outlives a reload of the settings


def ended(folder: Path, pid: int, live: Collection[int]) -> None:
    """Merge the files of a worker that has ended, and of those that could not be merged before.

    To be called in the master, which starts workers: none may get the number of a dead one meanwhile.

    Args:
        live: numbers of the workers that there are.
    """
    mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
    for mark in folder.glob(f"{UNCOUNTED}*_{pid}"):
        mark.unlink(missing_ok=True)
    _waiting.add(pid)
    _waiting.difference_update(live)
    try:
        with _locked(folder, fcntl.LOCK_EX, MERGE_SECONDS):
            _merge(folder, _waiting)
        _waiting.clear()
    except OSError as error:
        log.warning("counts of %d workers that have ended are not merged yet: %s", len(_waiting), error)


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Keep the master from merging meanwhile.

    Raises:
        OSError: it merges for SCRAPE_SECONDS already, or the folder is gone.
    """
    if (folder / JOURNAL).exists():
        with _locked(folder, fcntl.LOCK_EX, SCRAPE_SECONDS):
            _finish(folder)
    with _locked(folder, fcntl.LOCK_SH, SCRAPE_SECONDS):
        yield


@contextmanager
def _locked(folder: Path, how: int, patience_seconds: float) -> Iterator[None]:
    end = time.monotonic() + patience_seconds
    with (folder / LOCK).open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, how | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.005)
        yield


def _merge(folder: Path, pids: Collection[int]) -> None:
    _finish(folder)
    gone: list[str] = []
    try:
        for kind in KINDS:
            _new(folder, kind).unlink(missing_ok=True)  # of a merge that had no room
            files = [file for pid in pids if (file := folder / f"{kind}_{pid}.db").exists()]
            if files:
                _new(folder, kind).write_bytes(_packed(_sums([_merged(folder, kind), *files])))
                gone += [file.name for file in files]
        if gone:
            replace_whole(folder / JOURNAL, "\n".join(gone), unfinished=folder / f"{JOURNAL}.new")
    except OSError:
        for kind in KINDS:
            _new(folder, kind).unlink(missing_ok=True)
        raise
    _finish(folder)


def _finish(folder: Path) -> None:
    """Do what the journal says, if there is one. Doing it again changes nothing."""
    journal = folder / JOURNAL
    try:
        gone = journal.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    for kind in KINDS:
        if _new(folder, kind).exists():
            _new(folder, kind).replace(_merged(folder, kind))
    for name in gone:
        (folder / name).unlink(missing_ok=True)
    journal.unlink()


def _new(folder: Path, kind: str) -> Path:
    return folder / f"{kind}_merged.new"


def _merged(folder: Path, kind: str) -> Path:
    return folder / f"{kind}_merged.db"


def _sums(files: list[Path]) -> dict[str, float]:
    """The values of `files`, added up by key. One whose worker died making it is empty."""
    sums: defaultdict[str, float] = defaultdict(float)
    for file in files:
        try:
            found = list(MmapedDict.read_all_values_from_file(file))  # type: ignore[no-untyped-call]
        except FileNotFoundError:
            continue
        except (struct.error, RuntimeError, ValueError) as error:
            log.error("%s cannot be read, and its counts are lost: %r", file, error)
            continue
        for key, value, _, _ in found:
            sums[key] += value
    return sums


def _packed(values: dict[str, float]) -> bytes:
    """A file as prometheus_client.mmap_dict reads it, and not a byte longer."""
    entries = []
    for key, value in values.items():
        text = key.encode()
        text += b" " * (8 - (len(text) + 4) % 8)
        entries.append(struct.pack(f"i{len(text)}sdd", len(key.encode()), text, value, 0.0))
    body = b"".join(entries)
    return struct.pack("ii", 8 + len(body), 0) + body
