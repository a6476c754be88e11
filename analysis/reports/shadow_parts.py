"""The sections of the shadow report."""

from collections.abc import Iterator

from analysis.reports import shadow_answers as answers
from analysis.reports import shadow_trouble as trouble
from analysis.reports.document import Section, Table
from analysis.reports.shadow_classes import thresholds
from analysis.reports.shadow_figures import ENOUGH, ShadowFigures
from analysis.reports.shadow_limits import GREAT_PSI
from analysis.reports.words import counted, number, percent


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
        early = (_unsaid(figures), trouble.failures(figures), trouble.unlike(figures))
        return tuple(section for section in early if section.text or section.blocks)
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
    if figures.enough and figures.psi > GREAT_PSI and not any(each.name == "psi" for each in figures.asked):
        yield _spread(figures)


def _spread(figures: ShadowFigures) -> str:
    """What a great index means, which is no limit unless somebody asks for it."""
    index = f"stability index {number(figures.psi, 2)}, where custom calls {GREAT_PSI:g} great"
    if figures.reading.scale.kind == "value":
        return (
            f"The answers are spread differently ({index}), though one by one they may agree: look at the"
            " distribution before anything is fed with sums or ranks of them. To make it a limit:"
            f" `--fail-on 'psi>{GREAT_PSI:g}'`."
        )
    at = max(thresholds(figures.reading), key=lambda each: abs(each.new - each.old))
    return (
        f"The two models are sure of themselves in different ways ({index}). Who goes by the class meets"
        " nothing but the disagreements. Who goes by the probability (a threshold of one's own, an order, an"
        f" expected value) meets more: {percent(at.old)} of requests reach {at.at:g} with the old model, and"
        f" {percent(at.new)} with the new one. To make it a limit: `--fail-on 'psi>{GREAT_PSI:g}'`."
    )
