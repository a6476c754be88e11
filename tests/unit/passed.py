"""Which modules of ours a call passes: how many files somebody opens who follows it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from stack.paths import REPOSITORY

ROOM = f"{REPOSITORY}/"
NOT_OURS = (f"{ROOM}tests/", f"{ROOM}.canario/")


@contextmanager
def modules_passed() -> Iterator[set[str]]:
    """Filled with the modules, by path, of which code runs in this thread within the block."""
    codes: set[CodeType] = set()
    found: set[str] = set()

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call":
            codes.add(frame.f_code)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(before)
        files = {code.co_filename for code in codes}
        found |= {
            str(Path(file).relative_to(REPOSITORY))
            for file in files
            if file.startswith(ROOM) and not file.startswith(NOT_OURS)
        }
