"""The words of pages, alerts and the board, held to one sense each: `python -m docs.words`, in `make lint`.

A well-kept prose linter for own terms that works without a download could not be found for Python: vale's
package fetches its program when it first runs.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parents[1]
GENERATED: Final = ("rooms.md", "settings.md", "metrics.md")
LONGEST: Final = 40  # words of a sentence
TERMS: Final[dict[str, str]] = {
    r"(?<![.\w])quarantin\w*": "blocked",
    r"(?:take|takes|took|taken|taking) (?:the challenger|the new model|it) away": "roll back",
    r"\bgood word\b|\bperson's word\b": "approval",
    r"\bwolf\b": "false alarm",
    r"\bgross\b": "clearly too many",
    r"lease left": "safety timeout",
    r"\bvouch\w*": "renew",
    r"may in any case": "tolerance",
    r"99% (?:are|of the calls are) faster than": "p99 latency",
    r"failed calls": "error rate",
    r"both chose the same": "agreement",
    r"as often as one likes": "checking often does not raise the false-alarm rate",
    r"\bper cent\b": "percent",
}
_BLOCK: Final = re.compile(r"^```.*?^```$|^ {4,}.*?$|<[^>]+>", re.DOTALL | re.MULTILINE)
_LINK: Final = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_CODE: Final = re.compile(r"`[^`]*`")


def pages() -> Iterator[Path]:
    """What people read, but what is generated, and the records of decisions, which stay as they were."""
    yield REPOSITORY / "README.md"
    yield from (page for page in sorted((REPOSITORY / "docs").glob("*.md")) if page.name not in GENERATED)


def texts() -> Iterator[Path]:
    """What alerts and the board say, and the descriptions of guardrails."""
    for folder, kind in (
        ("board/templates", "*.html"),
        ("board/static/js", "*.js"),
        ("monitoring/rules", "*.yml"),
    ):
        yield from sorted((REPOSITORY / folder).glob(kind))
    yield from sorted((REPOSITORY / "rollback" / "templates").glob("*.yaml"))
    yield from (REPOSITORY / "rollback" / "guardrails.yaml", REPOSITORY / "monitoring" / "service_alerts.yml")


def faults() -> Iterator[str]:
    """A line for each word that has a better one, and for each sentence that is too long."""
    for file in (*pages(), *texts()):
        name, text = file.relative_to(REPOSITORY), file.read_text(encoding="utf-8")
        for number, line in enumerate(text.splitlines(), 1):
            plain = _CODE.sub("", line)
            for pattern, better in TERMS.items():
                if found := re.search(pattern, plain, re.IGNORECASE):
                    yield f"{name}:{number}: `{found[0]}`: say {better}"
    for page in pages():
        for sentence in sentences(page.read_text(encoding="utf-8")):
            if (count := len(sentence.split())) > LONGEST:
                yield f"{page.relative_to(REPOSITORY)}: {count} words: {sentence[:80]} ..."


def sentences(text: str) -> Iterator[str]:
    """Those of running text: no code, no tables, no headings; an item of a list is a paragraph."""
    plain = _CODE.sub("x", _LINK.sub(r"\1", _BLOCK.sub("", text)))
    for paragraph in re.split(r"\n\s*\n|\n(?=\s*(?:[-*] |\d+\. ))", plain):
        lines = [line.strip() for line in paragraph.splitlines() if line.strip()]
        if lines and not lines[0].startswith(("|", "#", "!", "[", "|")):
            yield from re.split(r"(?<=[.?!:;])\s+", " ".join(lines))


if __name__ == "__main__":
    found = list(faults())
    print("\n".join(found))
    sys.exit(bool(found))
