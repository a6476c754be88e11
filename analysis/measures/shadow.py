"""What the shadow records of a log come to, aggregated in the engine: at most some thousand rows come back.

A record holds the probability of the class that each model chose. Where these are two models with two
classes, it is turned into the probability of one and the same class, because 0.9 for "no" and 0.9 for "yes"
are no small difference. With more classes it stays that of the class that was chosen.
"""

from datetime import datetime
from typing import Final

from ibis import _
from ibis.expr import types as ir

from analysis.errors import LogError
from analysis.log import Log, moment
from analysis.measures import shadow_sums
from analysis.measures.shadow_reading import ROLES, Pair, Scale, ShadowReading

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
    scored = _scored(rows, scale)
    answered = scored.filter(_.valid)
    totals = log.rows(
        scored.aggregate(records=_.count(), answered=_.valid.sum(), first=_.time.min(), last=_.time.max())
    )[0]
    sums, agreement, difference = shadow_sums.sums(log, answered)
    edges, champion, challenger = shadow_sums.histograms(log, answered, sums)
    return ShadowReading(
        pair=pairs[0],
        others=tuple(pairs[1:]),
        scale=scale,
        records=totals["records"],
        answered=int(totals["answered"] or 0),
        errors=shadow_sums.errors(log, scored),
        agreement=agreement,
        difference=difference,
        absolute=shadow_sums.number(sums["absolute"]),
        means={role: shadow_sums.number(sums[role]) for role in ROLES},
        correlation=shadow_sums.number(sums["correlation"]),
        ks=shadow_sums.ks(log, answered),
        edges=edges,
        champion=champion,
        challenger=challenger,
        latency=shadow_sums.latency(log, answered),
        confusion=shadow_sums.confusion(log, answered),
        segments=shadow_sums.segments(log, answered),
        days=shadow_sums.days(log, scored),
        unlike=shadow_sums.unlike(log, answered),
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
