"""What the shadow records of a log came to: the figures that a report is made of."""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

from analysis.statistics.rates import Clusters

FINE: Final = 1000  # bins between the least and the greatest score
QUANTILES: Final = (0.5, 0.95, 0.99)
MOST_DIFFERENT: Final = 20
ROLES: Final = ("champion", "challenger")


@dataclass(frozen=True)
class Pair:
    """The two models, name and version each."""

    champion: tuple[str, str]
    challenger: tuple[str, str]
    records: int
    last: datetime

    def __str__(self) -> str:
        return f"{' '.join(self.champion)} and {' '.join(self.challenger)}"


@dataclass(frozen=True)
class Scale:
    """What the score of an answer is.

    Attributes:
        kind: "class" (probability of `name`), "chosen" (probability of the class that was chosen) or "value".
        name: the class.
    """

    kind: str
    name: str = ""

    @property
    def words(self) -> str:
        """For axes and sentences."""
        return {
            "class": f"probability of {self.name}",
            "chosen": "probability of the chosen class",
            "value": "prediction",
        }[self.kind]


@dataclass(frozen=True)
class Segment:
    """Requests with this value of a property of the context, `key`."""

    key: str
    value: str
    requests: int
    agreements: int
    difference: float

    @property
    def name(self) -> str:
        """country=NO."""
        return f"{self.key}={self.value}"


@dataclass(frozen=True)
class Day:
    """One day, UTC; means are NaN where nothing was answered."""

    day: date
    records: int
    answered: int
    agreements: int
    champion: float
    challenger: float


@dataclass(frozen=True)
class ShadowReading:
    """All that the report needs.

    Attributes:
        pair: the models; `others`: pairs that were left out, because they are older.
        records: copies of requests; `answered`: those to which the challenger gave a usable answer.
        errors: by kind.
        ks: greatest distance between the cumulative distributions of the scores.
        edges, champion, challenger: `FINE` bins of the scores.
        means: of the scores, by role; `correlation` of them.
        latency: by role, the quantiles of `QUANTILES` in seconds.
        unlike: the requests that differ most, as rows of the log.
    """

    pair: Pair
    others: tuple[Pair, ...]
    scale: Scale
    records: int
    answered: int
    errors: dict[str, int]
    agreement: Clusters
    difference: Clusters
    absolute: float
    means: dict[str, float]
    correlation: float
    ks: float
    edges: tuple[float, ...]
    champion: tuple[int, ...]
    challenger: tuple[int, ...]
    latency: dict[str, tuple[float, ...]]
    confusion: dict[tuple[str, str], int]
    segments: tuple[Segment, ...]
    days: tuple[Day, ...]
    unlike: tuple[dict[str, Any], ...] = field(repr=False)
    first: datetime
    last: datetime

    @property
    def agreements(self) -> int:
        """Requests for which both said the same."""
        return round(self.agreement.y)
