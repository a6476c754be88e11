"""How the figures of the shadow report were found."""

from analysis.reports.document import Section
from analysis.reports.shadow_classes import LEAST
from analysis.reports.shadow_figures import LEVEL, ShadowFigures
from analysis.reports.words import counted


def method(figures: ShadowFigures) -> tuple[Section, ...]:
    """How it was found."""
    reading = figures.reading
    return (
        Section(
            "What was compared",
            (
                f"{counted(reading.records, 'shadow record')} from {reading.first:%Y-%m-%d %H:%M} to"
                f" {reading.last:%Y-%m-%d %H:%M} UTC: requests that {' '.join(reading.pair.champion)}"
                f" answered and {' '.join(reading.pair.challenger)} saw a copy of."
                " Nobody got the new model's answer.",
                "Agreement says that both are alike, not which of them is right: that takes outcomes, and an"
                " A/B test.",
                {
                    "class": f"A record has the probability of the class that was chosen. It was turned into"
                    f" the {reading.scale.words} for both models.",
                    "chosen": "Probabilities are those of the class that each model chose, which need not be"
                    " the same class.",
                    "value": "Both predict a number; they agree where the numbers differ by no more than the"
                    " new model's own tolerance (model.json).",
                }[reading.scale.kind],
            ),
        ),
        Section(
            "Statistics",
            (
                "Shares have Wilson intervals, means normal ones, all at 95%. Both take requests of one user"
                " as one cluster (variance of a ratio of sums over users). Errors and days are taken as"
                " requests.",
                "The shift is the mean of new minus old. Segments are compared with all other requests by a"
                " z test of two shares; p-values are corrected by Holm, because one false alarm among many"
                " segments would be one too many, and because segments overlap. Segments with fewer than 30"
                f" requests are left out. At {LEVEL:g} they are marked.",
                "The Kolmogorov-Smirnov distance is exact, of all values. Its p-value takes both samples as"
                " independent; they are of the same requests, so the true p-value is smaller. With many"
                " requests any difference is significant: look at the distance, not at p.",
                "The population stability index has ten bins with a tenth of the old model's answers each."
                " The trend over days is Cochran and Armitage's test.",
            ),
        ),
        Section(
            "What the answer goes by",
            (
                "Limits of `--fail-on`, and the usual ones of other names: agreement at least 90%, failures"
                " at most 1%, p99 at most 1.5 times the old model's (counted as 10 ms where it is faster)"
                + (
                    ", no class chosen more than twice or less than half as often (classes of"
                    f" {LEAST} requests and more)."
                    if reading.confusion
                    else "."
                ),
                "Not by the stability index or the distance: two models that decide the same may be sure of"
                " it in different ways. Both are limits for who asks for them by name.",
            ),
        ),
    )
