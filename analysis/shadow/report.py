"""The shadow report: the answer, what spoils it, what was found, how, and every figure as JSON."""

from collections.abc import Iterator
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from analysis.render.document import Report, Section, Tone
from analysis.render.words import counted
from analysis.shadow import sections
from analysis.shadow.aggregates import QUANTILES
from analysis.shadow.figures import ENOUGH, LEAST_OF_CLASS, LEVEL, ShadowFigures, thresholds
from analysis.shadow.limits import GREAT_PSI
from analysis.statistics.requests import Rate
from common.figures import number, percent


def shadow_report(figures: ShadowFigures, written: datetime | None = None) -> Report:
    """Make the report; `written` is now by default."""
    return Report(
        title=f"Shadow report: {figures.reading.pair}",
        answer=_answer(figures),
        tone=_tone(figures),
        evidence=tuple(each for each in sections.evidence(figures) if each.text or each.blocks),
        method=_method(figures),
        numbers=_numbers(figures, written or datetime.now(UTC)),
        warnings=tuple(_warnings(figures)),
    )


def _tone(figures: ShadowFigures) -> Tone:
    if not figures.enough:
        return "bad" if figures.surely_fails else "wait"
    return "bad" if figures.breaches else "good"


def _answer(figures: ShadowFigures) -> str:
    reading = figures.reading
    if not figures.enough and figures.surely_fails:
        failed = figures.errors
        return (
            f"The challenger fails: it gave no usable answer to {failed.hits:,} of"
            f" {counted(failed.total, 'request')}. Find out why before the two are compared."
        )
    if not figures.enough:
        return (
            f"It is too early to say: both models have answered {counted(reading.answered, 'request')},"
            f" and this report needs {ENOUGH:,}."
        )
    worst = next((each for each in figures.disagreements if each.worse), None)
    said = (
        f"The challenger agrees with the champion on {percent(figures.agreement.value)} of"
        f" {reading.answered:,} requests{f', least where {worst.segment.name}' if worst else ''}"
    )
    if breaches := figures.breaches:
        asked = {each.name for each in figures.asked}
        reasons = ", and ".join(
            each.reason(asked=each.limit.name in asked, about_classes=_most_changed(figures))
            for each in breaches
        )
        return f"{said}: do not give it to users yet, because {reasons}."
    only = ""
    if figures.psi > GREAT_PSI and reading.score.kind != "value":
        only = ", as long as they use the class and not its probability"
    return f"{said}; nothing here speaks against giving it to the first users{only}."


def _most_changed(figures: ShadowFigures) -> str:
    if not figures.classes:
        return "no class is common enough to compare how often it is chosen"
    most = figures.classes[0]
    return (
        f"it chooses {most.name} for {percent(most.challenger)} of requests, and the champion for"
        f" {percent(most.champion)}"
    )


def _warnings(figures: ShadowFigures) -> Iterator[str]:
    """What spoils the answer, or may."""
    if figures.bad:
        yield f"{figures.bad}."
    for other in figures.reading.others:
        yield (
            f"{counted(other.records, 'record')} of {other} were left out: the report is of the two models"
            " that were compared last."
        )
    if figures.enough and figures.psi > GREAT_PSI and not any(each.name == "psi" for each in figures.asked):
        yield f"{_great_shift(figures)} To make it a limit: `--fail-on 'psi>{GREAT_PSI:g}'`."


def _great_shift(figures: ShadowFigures) -> str:
    """What a great index means, which is no limit unless somebody asks for it."""
    index = f"stability index {number(figures.psi, 2)}, and by convention {GREAT_PSI:g} is large"
    if figures.reading.score.kind == "value":
        return (
            f"The predictions are distributed differently ({index}), though one by one they may agree: look"
            " at the distribution before anything is fed with sums or ranks of them."
        )
    most = max(thresholds(figures.reading), key=lambda each: abs(each.challenger - each.champion))
    return (
        f"The two models are sure of themselves in different ways ({index}). If you use the class alone,"
        " only the disagreements matter. If you use the probability (a threshold, a ranking, an expected"
        f" value), more changes: {percent(most.champion)} of requests reach {most.at:g} with the champion,"
        f" and {percent(most.challenger)} with the challenger."
    )


def _method(figures: ShadowFigures) -> tuple[Section, ...]:
    reading = figures.reading
    champion, challenger = " ".join(reading.pair.champion), " ".join(reading.pair.challenger)
    of_classes = (
        ", no class chosen more than twice or less than half as often (classes of"
        f" {LEAST_OF_CLASS} requests and more)"
    )
    return (
        Section(
            "What was compared",
            (
                f"{counted(reading.records, 'shadow record')} from {reading.first:%Y-%m-%d %H:%M} to"
                f" {reading.last:%Y-%m-%d %H:%M} UTC: requests that {champion} answered and {challenger} saw"
                " a copy of. Nobody got the challenger's answer.",
                "Agreement says that both are alike, not which of them is right: that takes outcomes, and an"
                " A/B test.",
                {
                    "class": f"A record has the probability of the class that was chosen. It was turned into"
                    f" the {reading.score.words} for both models.",
                    "chosen": "Probabilities are those of the class that each model chose, which need not be"
                    " the same class.",
                    "value": "Both predict a number; they agree where the numbers differ by no more than the"
                    " challenger's own tolerance (model.json).",
                }[reading.score.kind],
            ),
        ),
        Section(
            "Statistics",
            (
                "Shares have Wilson intervals, means normal ones, all at 95%. Both take requests of one user"
                " as one cluster (variance of a ratio of sums over users). Errors and days are taken as"
                " requests.",
                "The shift is the mean of challenger minus champion. Segments are compared with all other"
                " requests by a z test of two shares, and where fewer than five are expected in a cell by"
                " Fisher's exact test; p-values are corrected by Holm, because one false alarm"
                " among many segments would be one too many, and because segments overlap. Segments with"
                f" fewer than 30 requests are left out. At {LEVEL:g} they are marked.",
                "The Kolmogorov-Smirnov distance is exact, of all values. Its p-value takes both samples as"
                " independent; they are of the same requests, so the true p-value is smaller. With many"
                " requests any difference is significant: look at the distance, not at p.",
                "The population stability index has ten bins with a tenth of the champion's answers each."
                " The trend over days is Cochran and Armitage's test.",
            ),
        ),
        Section(
            "What the answer goes by",
            (
                "Limits of `--fail-on`, and the usual ones of other names: agreement at least 90%, error rate"
                " at most 1%, p99 at most 1.5 times the champion's (counted as 10 ms where it is faster)"
                f"{of_classes if reading.confusion else ''}.",
                "Not by the stability index or the distance: two models that decide the same may be sure of"
                " it in different ways. Both are limits for who asks for them by name.",
            ),
        ),
    )


def _numbers(figures: ShadowFigures, written: datetime) -> dict[str, Any]:
    """Every figure, JSON types only. The rollout plan reads it (flags/rollout/shadow_report.py)."""
    reading = figures.reading
    champion_mean = reading.means["champion"]
    return {
        "kind": "shadow",
        "written": written.astimezone(UTC).isoformat(timespec="seconds"),
        "champion": {"name": reading.pair.champion[0], "version": reading.pair.champion[1]},
        "challenger": {"name": reading.pair.challenger[0], "version": reading.pair.challenger[1]},
        "since": reading.first.isoformat(),
        "until": reading.last.isoformat(),
        "enough": figures.enough,
        "records": reading.records,
        "requests": reading.answered,
        "agreement": _rate(figures.agreement) | {"design_effect": figures.design},
        "errors": _rate(figures.errors) | {"by_kind": dict(reading.errors)},
        "score": reading.score.words,
        "means": dict(reading.means),
        "difference": {
            "mean": figures.difference,
            "low": reading.difference.interval[0],
            "high": reading.difference.interval[1],
            "mean_absolute": reading.absolute,
            "relative": figures.difference / champion_mean
            if champion_mean and isfinite(champion_mean)
            else None,
            "correlation": reading.correlation,
        },
        "ks": {"distance": reading.ks, "p": figures.ks_p},
        "psi": figures.psi,
        "latency_seconds": {
            role: {f"p{100 * quantile:.0f}": value for quantile, value in zip(QUANTILES, of, strict=True)}
            for role, of in reading.latency.items()
        },
        "latency_ratio": dict(zip(("p50", "p95", "p99"), figures.latency_ratios, strict=True)),
        "confusion": [
            {"champion": ours, "challenger": theirs, "requests": count}
            for (ours, theirs), count in sorted(reading.confusion.items())
        ],
        "classes": [
            {"name": each.name, "old": each.champion, "new": each.challenger}
            | {"times": each.times, "both": each.both, "requests": each.requests}
            for each in figures.classes
        ],
        "segments": [
            {
                "segment": each.segment.name,
                "requests": each.segment.requests,
                "disagreement": _rate(each.rate),
                "elsewhere": each.elsewhere,
                "p_holm": each.p,
                "difference": each.segment.difference,
            }
            for each in figures.disagreements
        ],
        "days": [vars(day) | {"day": day.day.isoformat()} for day in reading.days],
        "drift_p": figures.drift_p,
        "limits": [
            {"limit": str(each.limit), "value": each.figure, "breached": each.breached}
            for each in figures.checked
        ],
        "passed": not any(each.breached for each in figures.checked) if figures.checked else None,
        "bad_lines": figures.bad.count,
    }


def _rate(rate: Rate) -> dict[str, float]:
    low, high = rate.interval
    return {"value": rate.value, "low": low, "high": high}
