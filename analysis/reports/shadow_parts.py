"""The sections of the shadow report."""

from collections.abc import Iterator

from analysis.reports import shadow_answers as answers
from analysis.reports import shadow_trouble as trouble
from analysis.reports.document import Section, Table
from analysis.reports.limits import Held
from analysis.reports.shadow_figures import ENOUGH, ShadowFigures
from analysis.reports.words import NONE, counted, percent

_NAMES = {
    "agreement": "they agree too seldom",
    "errors": "it fails too often",
    "psi": "its answers are spread differently",
    "ks": "its answers are spread differently",
    "difference": "its answers lie elsewhere in the mean",
    "requests": "too few requests were compared",
    "p50": "it is slower",
    "p95": "it is slower",
    "p99": "it is slower",
}
_SHARES = {"agreement", "errors"}


def reason(held: Held) -> str:
    """Why a limit keeps the challenger from users, in words."""
    found, asked = (
        NONE if each is None else percent(each) if held.limit.name in _SHARES else f"{each:.3g}"
        for each in (held.figure, held.limit.value)
    )
    side = "at least" if held.limit.sign == "<" else "at most"
    return f"{_NAMES[held.limit.name]} ({held.limit.name} {found}, {side} {asked} is asked for)"


def limits(figures: ShadowFigures) -> tuple[Section, ...]:
    """What was asked by --fail-on."""
    if not figures.held:
        return ()
    rows = tuple(
        (
            each.limit.name,
            "cannot be told" if each.figure is None else f"{each.figure:.4g}",
            ("at least " if each.limit.sign == "<" else "at most ") + f"{each.limit.value:g}",
            "breached" if each.breached else "holds",
        )
        for each in figures.held
    )
    broken = frozenset(place for place, each in enumerate(figures.held) if each.breached)
    return (Section("The limits", (), (Table(("figure", "found", "asked for", ""), rows, marked=broken),)),)


def evidence(figures: ShadowFigures) -> tuple[Section, ...]:
    """What was found."""
    if not figures.enough:
        return (_unsaid(figures), trouble.failures(figures), trouble.unlike(figures))
    every = (
        answers.agreement(figures),
        answers.segments(figures),
        answers.distribution(figures),
        trouble.failures(figures),
        trouble.latency(figures),
        answers.days(figures),
        trouble.unlike(figures),
    )
    return tuple(section for section in every if section.text or section.blocks)


def _unsaid(figures: ShadowFigures) -> Section:
    reading = figures.reading
    low, high = figures.agreement.interval
    seen = (
        f"So far they agree for {counted(reading.agreements, 'request')} of {reading.answered:,}: a true"
        f" share anywhere from {percent(low)} to {percent(high)} fits that."
        if reading.answered
        else "Not one request was answered by both models."
    )
    rare = 3 / max(reading.records, 1)  # the rule of three
    return Section(
        "What cannot be said yet",
        (
            seen,
            f"Faults that hit fewer than about {percent(min(rare, 1.0))} of requests may not have shown at"
            " all, the slowest hundredth is a handful of requests, and segments hold too few to compare.",
            f"{counted(ENOUGH - reading.answered, 'more request')} are needed. More users in the flag"
            " `shadow` bring them sooner.",
        ),
    )


def warnings(figures: ShadowFigures) -> tuple[str, ...]:
    """What spoils the answer, or may."""
    return tuple(_warnings(figures))


def _warnings(figures: ShadowFigures) -> Iterator[str]:
    if figures.bad:
        yield f"{figures.bad}."
    for other in figures.reading.others:
        yield (
            f"{counted(other.records, 'record')} of {other} were left out: the report is of the two models"
            " that were compared last."
        )
