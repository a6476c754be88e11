"""The files of the prediction log: whole lines only, rotated by size, old ones removed.

Each writer has files of its own, named by the time of their creation and the process; a file that exists is
never opened. A writer holds a lock on its open file, so that no other one removes it as old.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

PREFIX, SUFFIX = "predictions-", ".jsonl"
MILLISECOND = timedelta(milliseconds=1)
CHUNK_BYTES = 256 * 1024
FILE_MODE, FOLDER_MODE = 0o640, 0o750  # a log shipper may be in the group; nobody else reads


class LogFiles:
    """Appends lines to files in `folder`. For one thread.

    Args:
        max_bytes: size at which the next file is begun.
        keep: files kept in the folder, those of other writers included; open ones are always kept.
    """

    def __init__(self, folder: Path, max_bytes: int, keep: int) -> None:
        self._folder, self._max_bytes, self._keep = folder, max_bytes, keep
        self._fd: int | None = None
        self._size = 0
        self._begun = datetime.fromtimestamp(0, UTC)
        self.fault: OSError | None = None
        """Why the last write was cut short; None when it was not."""

    def write(self, lines: Sequence[bytes]) -> int:
        """Append `lines`, each with its newline; how many of them, from the first, are in files now.

        Never raises on a disk that is full, read-only or gone: `fault` says why, and the file ends with a
        whole line.
        """
        done, self.fault = 0, None
        try:
            while done < len(lines):
                chunk = self._next_chunk(lines, done)
                written = self._append(b"".join(chunk))
                done += written
                if written < len(chunk):
                    break
        except OSError as error:
            self.fault = error
        return done

    def close(self) -> None:
        """Close the open file; a later write begins another."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            os.close(fd)

    def _next_chunk(self, lines: Sequence[bytes], start: int) -> Sequence[bytes]:
        room = self._max_bytes - self._size if self._fd is not None else self._max_bytes
        if len(lines[start]) > room:
            room = self._max_bytes  # of the next file
        limit, size, end = min(CHUNK_BYTES, room), 0, start
        while end < len(lines) and (end == start or size + len(lines[end]) <= limit):
            size += len(lines[end])
            end += 1
        return lines[start:end]

    def _append(self, data: bytes) -> int:
        """Append `data`, whole lines; the number of lines that are in the file now."""
        fd = self._file_for(len(data))
        view, written = memoryview(data), 0
        try:
            while written < len(data):
                written += os.write(fd, view[written:])
        except OSError as error:
            self.fault = error
        whole = written if written == len(data) else data.rfind(b"\n", 0, written) + 1
        self._size += whole
        if whole < written:
            try:
                # By its size and not by what was written: somebody may have emptied it meanwhile.
                os.ftruncate(fd, os.fstat(fd).st_size - (written - whole))
            except OSError:
                self.close()  # the half line stays behind as the end of this file
        return data.count(b"\n", 0, whole)

    def _file_for(self, size: int) -> int:
        is_full = self._size > 0 and self._size + size > self._max_bytes
        if self._fd is not None and (is_full or _is_gone(self._fd)):
            self.close()
        if self._fd is None:
            self._fd, self._size = self._begin(), 0
            self._remove_old()
        return self._fd

    def _begin(self) -> int:
        self._folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        moment = max(datetime.now(UTC), self._begun + MILLISECOND)  # so that names are in order, always
        for _ in range(1000):
            name = f"{PREFIX}{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03d}Z-{os.getpid()}{SUFFIX}"
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
                fd = os.open(self._folder / name, flags, FILE_MODE)
            except FileExistsError:
                moment += MILLISECOND
                continue
            self._begun = moment
            with contextlib.suppress(OSError):  # where the file system has no locks, only age protects a file
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        raise OSError(errno.EEXIST, "no free name for a file", str(self._folder))

    def _remove_old(self) -> None:
        """Remove the oldest files that nobody writes to, until `keep` are left."""
        files = sorted(self._folder.glob(f"{PREFIX}*{SUFFIX}"))
        for path in files[: max(0, len(files) - self._keep)]:
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue  # another writer was faster
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)
            except OSError:
                continue  # still written to
            finally:
                os.close(fd)


def _is_gone(fd: int) -> bool:
    """Whether the open file has no name any more, or is on a share that went away."""
    try:
        return os.fstat(fd).st_nlink == 0
    except OSError:
        return True
