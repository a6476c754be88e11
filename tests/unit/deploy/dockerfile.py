"""The Dockerfile as instructions, as far as the tests here need."""

import re
import shlex

from tests.unit.deploy.compose import REPOSITORY

TEXT = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
Instruction = tuple[str, str]  # keyword, rest of the line


def instructions() -> list[Instruction]:
    """All of them, with continued lines joined and comments left out."""
    lines = [line for line in TEXT.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in joined.splitlines() if line.strip()]


def stages() -> dict[str, list[Instruction]]:
    """The instructions of each stage by its name, in order; each begins with its FROM."""
    found: dict[str, list[Instruction]] = {}
    for keyword, rest in instructions():
        if keyword == "FROM":
            found[rest.split(" AS ")[1]] = []
        if found:
            list(found.values())[-1].append((keyword, rest))
    return found


def image_environment() -> dict[str, str]:
    """What the final image sets by ENV, with what its base sets."""
    environment: dict[str, str] = {}
    for stage in ("base", list(stages())[-1]):
        for keyword, rest in stages()[stage]:
            if keyword == "ENV":
                environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))
    return environment
