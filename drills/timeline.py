"""The phases of a drill on the clock."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from drills.load import Sample


@dataclass(frozen=True)
class Phase:
    """A stretch of a drill, in seconds on the monotonic clock."""

    name: str
    begin: float
    end: float

    def of(self, samples: Iterable[Sample]) -> list[Sample]:
        """Those that were due in this phase."""
        return [sample for sample in samples if self.begin <= sample.due < self.end]


@dataclass
class Timeline:
    """Phases one after the other; a new one ends the one before."""

    _starts: list[tuple[str, float]] = field(default_factory=list)

    def enter(self, name: str) -> float:
        """Begin the phase `name` now; its beginning."""
        self._starts.append((name, time.monotonic()))
        return self._starts[-1][1]

    def phases(self) -> list[Phase]:
        """All phases; the last one has not ended."""
        ends = [begin for _, begin in self._starts[1:]] + [float("inf")]
        return [Phase(name, begin, end) for (name, begin), end in zip(self._starts, ends, strict=True)]

    def phase(self, name: str) -> Phase:
        """The first phase of that name.

        Raises:
            KeyError: there is none.
        """
        for phase in self.phases():
            if phase.name == name:
                return phase
        raise KeyError(name)
