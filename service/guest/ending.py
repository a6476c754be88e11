"""Why the challenger's process does not run, in a sentence for people."""

import signal
from typing import Final

MEBIBYTE: Final = 1024 * 1024
# What Python, the C++ library, ONNX Runtime, OpenBLAS and the kernel say of memory that does not suffice.
_SIGNS: Final = {
    "bad_alloc": "std::bad_alloc",
    "MemoryError": "a MemoryError",
    "Failed to allocate memory": "a failed allocation",
    "Memory allocation still failed": "a failed allocation",
    "can't start new thread": "no room for a thread",
    "annot allocate memory": "a failed allocation",
}


def why_ended(code: int, said: str, memory_bytes: int) -> str:
    """A process has ended with `code` (negative: a signal), and has printed `said`."""
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return _of_memory(said, memory_bytes) or f"the challenger's process has ended ({how})"


def why_refused(text: str, memory_bytes: int) -> str:
    """A process cannot load the model, and says why in `text`."""
    return _of_memory(text, memory_bytes) or f"the challenger cannot be served: {text}"


def _of_memory(text: str, memory_bytes: int) -> str | None:
    for sign, what in _SIGNS.items():
        if sign in text:
            return (
                f"the challenger's process ended with {what} under its memory limit of "
                f"{memory_bytes // MEBIBYTE} MB; set CANARIO_GUEST_MEMORY_MB to more"
            )
    return None
