"""What the shadow records of a log come to, aggregated in the engine: at most some thousand rows come back.

A record holds the probability of the class that each model chose. Where these are two models with two
classes, it is turned into the probability of one and the same class, because 0.9 for "no" and 0.9 for "yes"
are no small difference. With more classes it stays that of the class that was chosen.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from ibis import _
from ibis.expr import types as ir

from analysis.errors import LogError
from analysis.log import Log, moment
from analysis.log.columns import ROLES
from analysis.shadow import aggregates
from analysis.shadow.aggregates import AgreementSegment, ShadowDay
from analysis.statistics.requests import Clusters

COLUMNS: Final = (
    "request_id",
    "time",
    "user",
    "context",
    "agree",
    "error",
    *(
        f"{role}_{name}"
        for role in ROLES
        for name in ("name", "version", "class_name", "prediction", "probability", "seconds")
    ),
)


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
class Score:
    """What of an answer is compared.

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
class ShadowReading:
    """All that the report needs.

    Attributes:
        pair: the models; `others`: pairs that were left out, because they are older.
        records: copies of requests; `answered`: those to which the challenger gave a usable answer.
        errors: by kind.
        agreement, difference: sums by user of agreeing requests, and of challenger - champion.
        absolute: mean of |challenger - champion|.
        ks: greatest distance between the cumulative distributions of the scores.
        edges, champion, challenger: `FINE` bins of the scores.
        means: of the scores, by role; `correlation` of them.
        latency: by role, the quantiles of `QUANTILES` in seconds.
        confusion: requests by the class of the champion and that of the challenger.
        most_different: the requests that differ most, as rows of the log.
    """

    pair: Pair
    others: tuple[Pair, ...]
    score: Score
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
    segments: tuple[AgreementSegment, ...]
    days: tuple[ShadowDay, ...]
    most_different: tuple[dict[str, Any], ...] = field(repr=False)
    first: datetime
    last: datetime

    @property
    def agreements(self) -> int:
        """Requests on which both agree."""
        return round(self.agreement.y)


def read_shadow(log: Log, since: datetime | None = None, until: datetime | None = None) -> ShadowReading:
    """Read the records of the pair of models that was compared last.

    Raises:
        LogError: there are none.
    """
    log = log.loaded(shadow=COLUMNS)
    rows = log.shadow
    if since is not None:
        rows = rows.filter(_.time >= moment(since))
    if until is not None:
        rows = rows.filter(_.time < moment(until))
    pairs = _pairs(log, rows)
    if not pairs:
        raise LogError(
            "the log has no shadow records of that time: turn on the flag `shadow` for some users,"
            " and see that CANARIO_LOG_DIR is what you read"
        )
    rows = _of_pair(rows, pairs[0])
    score = _score(log, rows)
    scored = log.named(_scored(rows, score))
    answered = scored.filter(_.valid)
    totals = log.rows(
        scored.aggregate(records=_.count(), answered=_.valid.sum(), first=_.time.min(), last=_.time.max())
    )[0]
    moments = aggregates.moments(log, answered)
    edges, champion, challenger = aggregates.histograms(log, answered, moments["least"], moments["greatest"])
    return ShadowReading(
        pair=pairs[0],
        others=tuple(pairs[1:]),
        score=score,
        records=totals["records"],
        answered=int(totals["answered"] or 0),
        errors=aggregates.errors(log, scored),
        **aggregates.clusters(log, answered),
        absolute=moments["absolute"],
        means={role: moments[role] for role in ROLES},
        correlation=moments["correlation"],
        ks=aggregates.ks(log, answered),
        edges=edges,
        champion=champion,
        challenger=challenger,
        latency=aggregates.latency(log, answered),
        confusion=aggregates.confusion(log, answered),
        segments=aggregates.segments(log, answered),
        days=aggregates.days(log, scored),
        most_different=aggregates.most_different(log, answered),
        first=totals["first"],
        last=totals["last"],
    )


def _pairs(log: Log, rows: ir.Table) -> list[Pair]:
    """The one that was compared last first."""
    keys = [f"{role}_{name}" for role in ROLES for name in ("name", "version")]
    pairs = [
        Pair(
            champion=(str(row["champion_name"]), str(row["champion_version"])),
            challenger=(str(row["challenger_name"]), str(row["challenger_version"])),
            records=row["records"],
            last=row["last"],
        )
        for row in log.rows(rows.group_by(keys).aggregate(records=_.count(), last=_.time.max()))
    ]
    return sorted(pairs, key=lambda pair: (pair.last, pair.records, str(pair)), reverse=True)


def _of_pair(rows: ir.Table, pair: Pair) -> ir.Table:
    wanted = [
        rows[f"{role}_{name}"] == value
        for role, model in zip(ROLES, (pair.champion, pair.challenger), strict=True)
        for name, value in zip(("name", "version"), model, strict=True)
    ]
    return rows.filter(*wanted)


def _score(log: Log, rows: ir.Table) -> Score:
    """Two classes whose chosen probability is never below a half: models with two classes.

    So may two with thresholds of their own be, but that cannot be told: a third class may be rare.
    """
    seen = set()
    least = 1.0
    for role in ROLES:
        name, probability = rows[f"{role}_class_name"], rows[f"{role}_probability"]
        for row in log.rows(
            rows.filter(name.notnull()).group_by(name=name).aggregate(least=probability.min()).limit(100)
        ):
            seen.add(row["name"])
            least = min(least, 1.0 if row["least"] is None else row["least"])
    if not seen:
        return Score("value")
    if len(seen) == 2 and least >= 0.5 - 1e-5:
        return Score("class", max(seen))
    return Score("chosen")


def _scored(rows: ir.Table, score: Score) -> ir.Table:
    """The rows with `champion`, `challenger` (scores) and `valid`."""
    scores = {}
    for role in ROLES:
        probability, chosen = rows[f"{role}_probability"], rows[f"{role}_class_name"]
        scores[role] = {
            "value": rows[f"{role}_prediction"],
            "chosen": probability,
            "class": (chosen == score.name).ifelse(probability, 1 - probability),
        }[score.kind]
    usable = [each.notnull() & ~each.isnan() & ~each.isinf() for each in scores.values()]
    return rows.mutate(
        valid=(rows.error.isnull() & rows.agree.notnull() & usable[0] & usable[1]).fill_null(False),
        **scores,
    )
