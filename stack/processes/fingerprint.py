"""A short text that changes when files do: the reason to restart a program whose command stays the same."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from stack.paths import REPOSITORY

_SUFFIXES = {".py", ".yaml", ".yml", ".json", ".onnx", ".token", ".stamp"}


def fingerprint(*sources: str | Path) -> str:
    """Of files and folders, relative to the repository; what is missing counts as empty."""
    digest = hashlib.sha256()
    for source in sources:
        for file in _files(REPOSITORY / source):
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _files(source: Path) -> Iterator[Path]:
    if source.is_file():
        yield source
    elif source.is_dir():
        yield from sorted(path for path in source.rglob("*") if path.suffix in _SUFFIXES and path.is_file())
