"""What the shadow records of a log come to, aggregated in the engine: at most some thousand rows come back.

A record holds the probability of the class that each model chose. Where these are two models with two
classes, it is turned into the probability of one and the same class, because 0.9 for "no" and 0.9 for "yes"
are no small difference. With more classes it stays that of the class that was chosen.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

import ibis
import numpy as np
from ibis import _
from ibis.expr import types as ir

from analysis.errors import LogError
from analysis.log import Log, moment
from analysis.statistics.rates import Clusters

FINE: Final = 1000  # bins between the least and the greatest score
QUANTILES: Final = (0.5, 0.95, 0.99)
MOST_DIFFERENT: Final = 20
MOST_SEGMENTS: Final = 200
LEAST_IN_SEGMENT: Final = 30
ROLES: Final = ("champion", "challenger")
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
    """Requests with this value of this property of the context."""

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
    scale = _scale(log, rows)
    scored = log.keep(_scored(rows, scale))
    answered = scored.filter(_.valid)
    totals = log.rows(
        scored.aggregate(records=_.count(), answered=_.valid.sum(), first=_.time.min(), last=_.time.max())
    )[0]
    sums, agreement, difference = _sums(log, answered)
    edges, champion, challenger = _histograms(log, answered, sums)
    return ShadowReading(
        pair=pairs[0],
        others=tuple(pairs[1:]),
        scale=scale,
        records=totals["records"],
        answered=int(totals["answered"] or 0),
        errors=_errors(log, scored),
        agreement=agreement,
        difference=difference,
        absolute=_number(sums["absolute"]),
        means={role: _number(sums[role]) for role in ROLES},
        correlation=_number(sums["correlation"]),
        ks=_ks(log, answered),
        edges=edges,
        champion=champion,
        challenger=challenger,
        latency=_latency(log, answered),
        confusion=_confusion(log, answered),
        segments=_segments(log, answered),
        days=_days(log, scored),
        unlike=_unlike(log, answered),
        first=totals["first"],
        last=totals["last"],
    )


def _pairs(log: Log, rows: ir.Table) -> list[Pair]:
    keys = [f"{role}_{name}" for role in ROLES for name in ("name", "version")]
    found = log.rows(rows.group_by(keys).aggregate(records=_.count(), last=_.time.max()))
    pairs = [
        Pair(
            champion=(str(row["champion_name"]), str(row["champion_version"])),
            challenger=(str(row["challenger_name"]), str(row["challenger_version"])),
            records=row["records"],
            last=row["last"],
        )
        for row in found
    ]
    return sorted(pairs, key=lambda pair: (pair.last, pair.records, str(pair)), reverse=True)


def _of_pair(rows: ir.Table, pair: Pair) -> ir.Table:
    wanted = [
        rows[f"{role}_{name}"] == value
        for role, model in zip(ROLES, (pair.champion, pair.challenger), strict=True)
        for name, value in zip(("name", "version"), model, strict=True)
    ]
    return rows.filter(*wanted)


def _scale(log: Log, rows: ir.Table) -> Scale:
    """Two classes whose chosen probability is never below a half: models with two classes."""
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
        return Scale("value")
    if len(seen) == 2 and least >= 0.5 - 1e-5:
        return Scale("class", max(seen))
    return Scale("chosen")


def _scored(rows: ir.Table, scale: Scale) -> ir.Table:
    """The rows with `champion`, `challenger` (scores) and `valid`."""
    scores = {}
    for role in ROLES:
        probability, chosen = rows[f"{role}_probability"], rows[f"{role}_class_name"]
        scores[role] = {
            "value": rows[f"{role}_prediction"],
            "chosen": probability,
            "class": (chosen == scale.name).ifelse(probability, 1 - probability),
        }[scale.kind]
    usable = [score.notnull() & ~score.isnan() & ~score.isinf() for score in scores.values()]
    return rows.mutate(
        valid=(rows.error.isnull() & rows.agree.notnull() & usable[0] & usable[1]).fill_null(False),
        **scores,
    )


def _errors(log: Log, scored: ir.Table) -> dict[str, int]:
    kind = _.error.fill_null("no number")
    rows = log.rows(scored.filter(~_.valid).group_by(kind=kind).aggregate(count=_.count()))
    return {row["kind"]: row["count"] for row in sorted(rows, key=lambda row: (-row["count"], row["kind"]))}


def _sums(log: Log, answered: ir.Table) -> tuple[dict[str, Any], Clusters, Clusters]:
    row = log.rows(
        answered.aggregate(
            champion=_.champion.mean(),
            challenger=_.challenger.mean(),
            absolute=(_.challenger - _.champion).abs().mean(),
            correlation=_.champion.corr(_.challenger, how="pop"),
            least=ibis.least(_.champion, _.challenger).min(),
            greatest=ibis.greatest(_.champion, _.challenger).max(),
        )
    )[0]
    # Who has no name is a user alone: nobody knows better.
    users = answered.group_by(who=ibis.coalesce(_.user, _.request_id)).aggregate(
        n=_.count().cast("float64"),
        agreed=_.agree.cast("int64").sum().cast("float64"),
        differed=(_.challenger - _.champion).sum(),
    )
    found = log.rows(
        users.aggregate(
            users=_.count(),
            n=_.n.sum(),
            nn=(_.n * _.n).sum(),
            **{
                f"{name}_{what}": value
                for name in ("agreed", "differed")
                for what, value in (
                    ("y", _[name].sum()),
                    ("ny", (_[name] * _.n).sum()),
                    ("yy", (_[name] * _[name]).sum()),
                )
            },
        )
    )[0]

    def clusters(name: str) -> Clusters:
        y, ny, yy = (float(found[f"{name}_{what}"] or 0) for what in ("y", "ny", "yy"))
        return Clusters(found["users"], float(found["n"] or 0), y, float(found["nn"] or 0), ny, yy)

    return row, clusters("agreed"), clusters("differed")


def _long(answered: ir.Table) -> ir.Table:
    """Scores below each other: score, first (1 of the champion), second (1 of the challenger)."""
    one, none = ibis.literal(1, "int64"), ibis.literal(0, "int64")
    return answered.select(score=_.champion, first=one, second=none).union(
        answered.select(score=_.challenger, first=none, second=one)
    )


def _ks(log: Log, answered: ir.Table) -> float:
    """Exact, of all values, however many: cumulative counts in the engine."""
    counted = _long(answered).group_by("score").aggregate(a=_["first"].sum(), b=_["second"].sum())
    until = ibis.window(order_by="score", preceding=None, following=0)
    total = ibis.window()
    distance = (
        _.a.sum().over(until) / _.a.sum().over(total) - _.b.sum().over(until) / _.b.sum().over(total)
    ).abs()
    return _number(log.rows(counted.select(distance=distance).aggregate(ks=_.distance.max()))[0]["ks"])


def _histograms(
    log: Log, answered: ir.Table, sums: dict[str, Any]
) -> tuple[tuple[float, ...], tuple[int, ...], tuple[int, ...]]:
    low, high = _number(sums["least"]), _number(sums["greatest"])
    if not (np.isfinite(low) and np.isfinite(high)):
        return (0.0, 1.0), (0,), (0,)
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0  # of probabilities: the same bins in each report
    width = (high - low) / FINE or 1.0
    places = ((_.score - low) / width).floor().cast("int64").clip(0, FINE - 1)
    rows = log.rows(_long(answered).group_by(place=places).aggregate(a=_["first"].sum(), b=_["second"].sum()))
    counts = np.zeros((2, FINE), dtype=np.int64)
    for row in rows:
        counts[:, row["place"]] = row["a"], row["b"]
    edges = tuple(float(low + width * place) for place in range(FINE + 1))
    return edges, tuple(counts[0].tolist()), tuple(counts[1].tolist())


def _latency(log: Log, answered: ir.Table) -> dict[str, tuple[float, ...]]:
    row = log.rows(
        answered.aggregate(
            **{
                f"{role}_{place}": answered[f"{role}_seconds"].quantile(quantile)
                for role in ROLES
                for place, quantile in enumerate(QUANTILES)
            }
        )
    )[0]
    return {role: tuple(_number(row[f"{role}_{place}"]) for place in range(len(QUANTILES))) for role in ROLES}


def _confusion(log: Log, answered: ir.Table) -> dict[tuple[str, str], int]:
    classes = answered.filter(_.champion_class_name.notnull(), _.challenger_class_name.notnull())
    keys = ["champion_class_name", "challenger_class_name"]
    rows = log.rows(classes.group_by(keys).aggregate(count=_.count()))
    return {(row[keys[0]], row[keys[1]]): row["count"] for row in rows}


def _segments(log: Log, answered: ir.Table) -> tuple[Segment, ...]:
    """The largest segments. A property that tells requests apart one by one has none of any size."""
    each = answered.select(
        "context", "agree", difference=_.challenger - _.champion, property=_.context.keys().unnest()
    )
    grouped = (
        each.mutate(value=each.context.get(each.property))
        .filter(_.value.notnull())
        .group_by("property", "value")
        .aggregate(
            requests=_.count(), agreements=_.agree.cast("int64").sum(), difference=_["difference"].mean()
        )
        .filter(_.requests >= LEAST_IN_SEGMENT)
        .order_by(ibis.desc("requests"), "property", "value")
        .limit(MOST_SEGMENTS)
    )
    rows = log.rows(grouped)
    found = [Segment(**row) for row in rows]
    alone = {each.key for each in found if sum(one.key == each.key for one in found) == 1}
    whole = int(log.rows(answered.aggregate(n=_.count()))[0]["n"])
    # A property that all requests share tells none apart.
    return tuple(each for each in found if each.key not in alone or each.requests < whole)


def _days(log: Log, scored: ir.Table) -> tuple[Day, ...]:
    daily = scored.group_by(day=_.time.date()).aggregate(
        records=_.count(),
        answered=_.valid.cast("int64").sum(),
        agreements=(_.agree & _.valid).fill_null(False).cast("int64").sum(),
        champion=_.champion.mean(where=_.valid),
        challenger=_.challenger.mean(where=_.valid),
    )
    rows = sorted(log.rows(daily), key=lambda row: row["day"])
    return tuple(
        Day(**row | {role: _number(row[role]) for role in ROLES} | {"day": _date(row["day"])}) for row in rows
    )


def _unlike(log: Log, answered: ir.Table) -> tuple[dict[str, Any], ...]:
    far = answered.mutate(far=(_.challenger - _.champion).abs()).order_by(ibis.desc("far"), "request_id")
    names: Sequence[str] = ("request_id", "time", "context", *ROLES, "far")
    more = [f"{role}_class_name" for role in ROLES]
    rows = log.rows(far.select(*names, *more).limit(MOST_DIFFERENT))
    # Engines give a map as pairs or as a dictionary.
    return tuple(row | {"context": dict(sorted(dict(row["context"] or {}).items()))} for row in rows)


def _date(value: date | datetime) -> date:
    return value.date() if isinstance(value, datetime) else value


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
