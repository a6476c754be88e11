"""How the effects by segment were found."""

from collections.abc import Iterator

from analysis.measures.segments import MOST_VALUES
from analysis.reports.document import Section
from analysis.reports.segment_figures import SegmentFigures
from analysis.reports.words import percent
from common.terminal import printable

_SPELLED = 12  # values that were put together, in a sentence


def method(figures: SegmentFigures, period: str) -> Section:
    """Who was compared, by which tests, corrected how."""
    if figures.any_time:
        return _any_time(figures, period)
    test = "z test with continuity correction" if figures.metric.kind == "proportion" else "Welch's t test"
    return Section(
        "What was compared",
        (
            f"{period}. Users count once, in the arm that the flag assigned at their first request, and"
            " in the segment of that request, whoever answered them.",
            f"Each segment by itself: {test}, without a covariate; the whole as its own report has it."
            " Intervals are Bonferroni's, so all of a family hold together, a little wider than Holm needs.",
            *_put_together(figures),
            figures.divided.left_out.sentence,
            f"p-values of {_families(figures)} are corrected by Holm: the chance to call even one"
            f" segment harmed (or better) of which it is not true stays below {percent(figures.alpha, 0)}."
            " Holm and not Benjamini-Hochberg, because each alarm here makes somebody act, and because it"
            " asks nothing of how segments overlap; the p-values of Benjamini and Hochberg, which find more"
            " and are wrong more often, are in the JSON. A segment that is not called harmed may be so all"
            " the same: its interval says how much.",
            "With the same mix: the mean of the segments' effects, weighted by their share of all users. Same"
            " mix: a chi-squared test of users by segment and arm, at 0.001. Same effect: Cochran's Q,"
            " the test of the interaction, corrected by Holm for the number of properties.",
        ),
    )


def _any_time(figures: SegmentFigures, period: str) -> Section:
    properties = len(figures.divided.segments)
    count = f"{MOST_VALUES} values" + (f" of each of {properties} properties" if properties > 1 else "")
    return Section(
        "What was compared",
        (
            f"{period}. Users whose time for an outcome is over, once, in the arm that the flag assigned at"
            " their first request, and in the segment of that request, whoever answered them.",
            "Each segment by itself: a confidence sequence, tuned to a segment with a fifth of the planned"
            " users. The true difference lies in all intervals of all segments, however often one reads, with"
            f" a chance of {percent(1 - figures.alpha, 0)}.",
            f"The correction is that for {count}, however few there are yet: a family that grew with the"
            " test would have spent its chance of a false alarm on its first segments. Holm, with p-values"
            " that are valid at any time: the chance to call even one segment harmed (or better) of which it"
            f" is not true, at any of all readings, stays below {percent(figures.alpha, 0)}.",
            "Only what was registered, because properties that are added later are a family without an end;"
            " not what is put together of small values, whose members change. Whether the arms are mixed"
            " alike and whether the effect is the same for all are tests for one look: they come at the end.",
            *_put_together(figures),
            figures.divided.left_out.sentence,
        ),
    )


def _families(figures: SegmentFigures) -> str:
    sizes = {each.registered: each.family for each in figures.effects}
    if set(sizes) == {True, False}:
        return f"{sizes[True]} registered segments, and by themselves those of {sizes[False]} others,"
    return f"{len(figures.effects)} segments"


def _put_together(figures: SegmentFigures) -> Iterator[str]:
    small = {each.name for each in figures.small}
    for segments in figures.divided.segments.values():
        for each in segments:
            if each.others is None:
                continue
            named = printable(", ".join(each.others.largest[:_SPELLED]))
            more = each.others.count - min(len(each.others.largest), _SPELLED)
            left = ", which are too few, so they are left out" if each.name in small else ""
            yield (
                f"{each.name} are values with fewer than {figures.least} users in an arm, or beyond the"
                f" {MOST_VALUES} largest: {named}{f' and {more:,} more' if more else ''}. Together they have"
                f" {each.users:,} users{left}."
            )
