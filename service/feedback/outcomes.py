"""Which outcomes are counted by name: bounded, and no stranger takes the place of one that matters."""

import re
from collections.abc import Collection
from pathlib import Path

OTHER = "other"
MOST_OUTCOMES = 20
NAME = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$"
# Why an outcome is counted as OTHER: it is not in the setting; there is no room; nobody knows whose it is.
UNNAMED = ("unlisted", "full", "unknown")

_NAME = re.compile(NAME)
_SELECTED = re.compile(r"""\boutcome\s*(?:=~|!~|!=|=)\s*["']([^"']*)["']""")


class Outcomes:
    """Bounds the label `outcome`. Threads may share it; each worker has its own.

    Args:
        kept: these are counted by name in any case, however many others come.
        is_closed: no others are. Otherwise the first others are too, as long as there are no more than
            MOST_OUTCOMES together; but only by feedback on an answer that the service gave, so that whoever
            can reach the service and invents both request and outcome fills no place.
    """

    def __init__(self, kept: Collection[str], *, is_closed: bool = False) -> None:
        self._kept, self._named, self._is_closed = frozenset(kept), set(kept), is_closed

    def is_kept(self, label: str) -> bool:
        """Whether the setting or a guardrail names it: those are counted by bucket too."""
        return label in self._kept

    def label(self, outcome: str, is_known: bool) -> tuple[str, str | None]:
        """`outcome` or OTHER, and in the second case why: one of UNNAMED.

        Args:
            is_known: whether the service knows to whom the outcome belongs.
        """
        if outcome in self._named or outcome == OTHER:
            return outcome, None
        if self._is_closed:
            return OTHER, "unlisted"
        if len(self._named) >= MOST_OUTCOMES:
            return OTHER, "full"
        if not is_known:
            return OTHER, "unknown"
        self._named.add(outcome)
        return outcome, None


def judged_outcomes(guardrails: Path) -> frozenset[str]:
    """The outcomes that a file of guardrails selects in its queries, e.g. by `{outcome="bought"}`.

    The rollback job validates the file; here only the names matter.

    Raises:
        OSError, UnicodeDecodeError: it cannot be read.
    """
    text = guardrails.read_text(encoding="utf-8")
    return frozenset(
        name for names in _SELECTED.findall(text) for name in names.split("|") if _NAME.match(name)
    )


def listed_outcomes(text: str) -> frozenset[str]:
    """The names in a list with commas between.

    Raises:
        ValueError: one of them is none that feedback could bring.
    """
    names = frozenset(each.strip() for each in text.split(",")) - {""}
    if odd := sorted(name for name in names if not _NAME.match(name)):
        raise ValueError(
            f"{odd[0]!r} is no name of an outcome: letters, digits and ._:- with commas between, 64 at most"
        )
    return names
