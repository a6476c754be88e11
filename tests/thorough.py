"""How much a test of chance tries: a part of it in `make test`, all of it in `make test-slow`."""

import os

THOROUGH = os.environ.get("CANARIO_TEST_THOROUGH") == "1"


def part(examples: int, of: int = 4) -> int:
    """All examples of a thorough run, else one in `of`."""
    return examples if THOROUGH else examples // of
