"""Where a log lies: a folder, a file or a glob here, or an address that the engine itself reads.

Nothing is opened for long and nothing is remembered: a file that is gone when the engine comes to it is one
of the things that happen to a log that is being written to.
"""

import glob
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from analysis.errors import LogError
from analysis.log.engine import BadLine

LINES: Final = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")
PARQUET: Final = (".parquet",)
_GZIP_MAGIC: Final = b"\x1f\x8b"
_PARQUET_MAGIC: Final = b"PAR1"


@dataclass(frozen=True)
class Place:
    """What is to be read.

    Attributes:
        lines: files of JSON lines, packed or not; addresses and globs of them where they are remote.
        parquet: the same of Parquet.
        bytes: size of all, where they are local; else 0.
        unusable: files that are none of what their names say.
    """

    lines: tuple[str, ...]
    parquet: tuple[str, ...]
    bytes: int = 0
    unusable: tuple[BadLine, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """All of them."""
        return self.lines + self.parquet

    @property
    def is_remote(self) -> bool:
        """Whether the engine fetches them."""
        return any(is_remote(file) for file in self.files)


def is_remote(location: str) -> bool:
    """Whether `location` is an address such as s3://bucket/log."""
    return "://" in location


def find(location: str) -> Place:
    """The files at `location`.

    Raises:
        LogError: there is no such path, nothing to read in it, or no permission to.
    """
    if is_remote(location):
        return _remote(location)
    paths = list(_paths(location))
    files = [path for path in paths if _is_of(path, LINES + PARQUET)]
    if not files:
        kinds = ", ".join(f"*{suffix}" for suffix in LINES + PARQUET)
        others = f" ({len(paths)} other files)" if paths else ""
        raise LogError(f"{location}: no file of a log there, {kinds}{others}")
    sizes = {path: _size(path) for path in files}
    if not any(sizes.values()):
        raise LogError(
            f"{location}: all {len(files)} files are empty; has the service answered anything yet?"
        )
    # A file that a writer has just begun is empty, and no fault.
    full = [path for path in files if sizes[path]]
    faults = {path: why for path in full if (why := _fault(path))}
    usable = [path for path in full if path not in faults]
    if not usable:
        path, why = next(iter(faults.items()))
        raise LogError(f"nothing of the log can be read: {BadLine(str(path), 0, why)}")
    return Place(
        lines=tuple(str(path) for path in usable if _is_of(path, LINES)),
        parquet=tuple(str(path) for path in usable if _is_of(path, PARQUET)),
        bytes=sum(sizes[path] for path in usable),
        unusable=tuple(BadLine(str(path), 0, why) for path, why in faults.items()),
    )


def _remote(location: str) -> Place:
    if _is_of(location, PARQUET):
        return Place((), (location,))
    if _is_of(location, LINES):
        return Place((location,), ())
    folder = location.rstrip("/")
    raise LogError(f"{location}: say which files, such as {folder}/*.jsonl or {folder}/*.parquet")


def _paths(location: str) -> Iterator[Path]:
    path = Path(location)
    try:
        if path.is_dir():
            # Opening is what tells "no permission" from "empty"; globbing keeps silent about both.
            with os.scandir(path):
                yield from sorted(
                    each for each in path.rglob("*") if each.is_file() and not _is_hidden(each, path)
                )
        elif path.exists():
            if not stat.S_ISREG(path.stat().st_mode):
                raise LogError(f"{location}: is neither a file nor a folder")
            yield path
        elif glob.has_magic(location):
            found = sorted(glob.glob(location, recursive=True))  # noqa: PTH207 - Path's needs a folder to begin at
            yield from (Path(each) for each in found if Path(each).is_file())
        else:
            raise LogError(f"{location}: there is nothing of that name")
    except OSError as error:
        raise LogError(f"{location}: cannot be read: {error.strerror or error}") from error


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)


def _is_of(path: Path | str, suffixes: tuple[str, ...]) -> bool:
    return str(path).endswith(suffixes)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0  # removed as old since it was listed
    except OSError as error:
        raise LogError(f"{path}: cannot be read: {error.strerror or error}") from error


def _fault(path: Path) -> str | None:
    """What is seen of a wrong file by its ends; None for what looks right."""
    try:
        with path.open("rb") as file:
            head = file.read(4)
            file.seek(-4, os.SEEK_END) if file.seek(0, os.SEEK_END) >= 4 else None
            tail = file.read(4)
    except FileNotFoundError:
        return "it is gone"
    except OSError as error:
        raise LogError(f"{path}: cannot be read: {error.strerror or error}") from error
    if _is_of(path, PARQUET) and (head != _PARQUET_MAGIC or tail != _PARQUET_MAGIC):
        return "the whole file: it is no Parquet, or was not written to its end"
    if path.suffix == ".gz" and not head.startswith(_GZIP_MAGIC):
        return "the whole file: it is not packed by gzip"
    return None
