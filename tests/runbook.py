"""docs/runbook.md and rollout-by-hand.md as data: their commands, what each must print, and their links.

A block of kind `console` is a session: `$ ` begins a command, the lines below it are what it prints. There, a
line `...` stands for any lines, `...` within a line for any text, and a number for any number, unless it is
followed by `%` or is part of a name. `# exit code 11` behind a command is the code that it must end with
instead of 0.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).parents[1] / "docs/runbook.md"
BY_HAND = FILE.with_name("rollout-by-hand.md")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ANY_NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?![\w%])")


@dataclass(frozen=True)
class Command:
    """One command of the page.

    Attributes:
        section: the heading of level 2 above it, `heading`: the nearest one of any level.
        expected: the lines that it must print, as they stand on the page.
        code: the exit code that it must have.
    """

    section: str
    heading: str
    line: str
    expected: tuple[str, ...]
    code: int

    def differs(self, printed: str) -> bool:
        """Whether something else was printed."""
        return re.fullmatch(_pattern(self.expected), _lines(printed)) is None


def page(file: Path = FILE) -> str:
    """The text of a page."""
    return file.read_text(encoding="utf-8")


def both() -> str:
    """The text of the runbook, and then of the other."""
    return f"{page()}\n{page(BY_HAND)}"


def headings(text: str) -> list[tuple[int, str]]:
    """Level and words of each, in order."""
    return [
        (len(marks), words) for marks, words in re.findall(r"^(#+) (.+)$", BLOCK.sub("", text), re.MULTILINE)
    ]


def anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def paragraphs(text: str) -> dict[str, str]:
    """What stands below each heading, up to the next one of any level; by anchor."""
    found: dict[str, str] = {}
    name, inside = "", False
    for line in text.splitlines():
        inside ^= line.startswith("```")
        if not inside and re.match(r"#+ ", line):
            name = anchor(line.lstrip("# "))
            assert name not in found, f"two headings have the anchor {name}"
            found[name] = ""
        elif name:
            found[name] += line + "\n"
    return found


def commands(text: str) -> list[Command]:
    """All of them, in order."""
    return list(_commands(text))


def inline(text: str) -> list[str]:
    """Commands in the text itself, between backquotes."""
    found = re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))
    return [one for one in found if re.match(r"(python3? -m|\./canario|curl|make|apprise) ", one)]


def _commands(text: str) -> Iterator[Command]:
    section = heading = ""
    session: list[str] | None = None
    for line in text.splitlines():
        if line.startswith("```"):
            if session is not None:
                yield from _session(section, heading, session)
            session = [] if session is None and line == "```console" else None
        elif session is not None:
            session.append(line)
        elif line.startswith("## "):
            section = heading = line[3:]
        elif line.startswith("### "):
            heading = line[4:]


def _session(section: str, heading: str, lines: list[str]) -> Iterator[Command]:
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    assert starts[:1] == [0], f"{heading}: a session begins with a command"
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        line = lines[start][2:]
        code = re.search(r"# exit code (\d+)$", line)
        yield Command(section, heading, line, tuple(lines[start + 1 : end]), int(code[1]) if code else 0)


def _pattern(expected: tuple[str, ...]) -> str:
    return "".join("(?:.*\n)*?" if line == "..." else _line(line) + "\n" for line in expected)


def _line(line: str) -> str:
    return ".*?".join(_words(part) for part in re.sub(r"\s+", " ", line.strip()).split("..."))


def _words(text: str) -> str:
    found, at = "", 0
    for number in ANY_NUMBER.finditer(text):
        found += re.escape(text[at : number.start()]) + r"\d[\d,]*(?:\.\d+)?"
        at = number.end()
    return found + re.escape(text[at:])


def _lines(printed: str) -> str:
    squeezed = (re.sub(r"\s+", " ", line.strip()) for line in printed.strip().splitlines())
    return "".join(line + "\n" for line in squeezed)
