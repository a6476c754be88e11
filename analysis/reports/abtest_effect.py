"""Sections of an A/B report about what was found: the metric, and the guardrails beside it."""

from analysis.abtest.compare import Comparison
from analysis.abtest.examine import Examined, Found
from analysis.measures.metric import Direction, Metric
from analysis.reports.abtest_words import of_users, unit_of
from analysis.reports.document import Block, Picture, Section, Table
from analysis.reports.measure_words import moment, relative, relative_between
from analysis.reports.words import chance, p_is
from analysis.show import pictures
from analysis.statistics.effect import Effect

_COLUMNS = ("champion", "challenger", "difference", "relative")


def effect(examined: Examined) -> Section | None:
    """The metric: by the test that decides, and by those beside it."""
    found = examined.found
    if found is None:
        return None
    comparison, metric = found.comparison, examined.metric
    rows = [_row(comparison.effect, metric, examined)]
    text = []
    if comparison.narrowing:
        rows.append(_row(comparison.plain, metric, examined))
        text.append(f"{_narrowed(found)} The first row decides.")
    caption = f"{_capital(of_users(metric))}; {_brackets(examined.registration.alpha)}"
    blocks: list[Block] = [Table(("test", *_COLUMNS, "p"), tuple(rows), caption)]
    if picture := _picture(examined, found):
        blocks.append(picture)
    if comparison.ranks:
        ranks = comparison.ranks
        text.append(
            "Mann-Whitney, of the whole distribution: a user of the challenger has more than one of the "
            f"champion with a chance of {100 * ranks.superiority:.1f}% (ties count half), "
            f"{p_is(ranks.p)}. It stands beside the test that decides; where the two disagree, few "
            "users with high counts make the difference, or many with small ones."
        )
    return Section(f"Effect on {metric.name}", tuple(text), tuple(blocks))


def _narrowed(found: Found) -> str:
    assert found.comparison.narrowing is not None  # noqa: S101
    assert found.covariate is not None  # noqa: S101
    worth, time = found.comparison.narrowing, found.covariate
    return (
        f"What users did from {moment(time.since)} to {moment(time.until)}, before the test, explains a part "
        f"of how they differ (correlation {worth.correlation:.2f}). With that taken out (CUPED) the interval "
        f"is {100 * (1 - worth.width):.0f}% narrower, worth {100 * worth.users_saved:.0f}% of the users."
    )


def _row(effect: Effect, metric: Metric, examined: Examined) -> tuple[str, ...]:
    unit = unit_of(metric, examined, effect)
    return (
        effect.test,
        unit.level(effect.champion),
        unit.level(effect.challenger),
        f"{unit.change(effect.difference)} ({unit.between(effect.absolute)})",
        _relative(effect),
        chance(effect.p),
    )


def _relative(effect: Effect) -> str:
    found = relative(effect.relative_difference)
    return found if effect.relative is None else f"{found} ({relative_between(effect.relative)})"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _brackets(alpha: float) -> str:
    return f"{100 * (1 - alpha):.3g}% intervals in brackets"


def _picture(examined: Examined, found: Found) -> Picture | None:
    """Relative effects of all metrics on one axis; None where one has no end."""
    rows = []
    shown: list[tuple[Metric, Comparison]] = [(examined.metric, found.comparison)]
    shown += [(each.metric, each.comparison) for each in found.guardrails]
    for metric, comparison in shown:
        effect = comparison.effect
        if effect.relative is None or effect.relative_difference is None or effect.relative.width > 20:
            continue
        rows.append(
            pictures.Interval(
                metric.name,
                effect.relative.low,
                effect.relative_difference,
                effect.relative.high,
                "challenger" if metric is examined.metric else "plain",
            )
        )
    if not rows:
        return None
    alt = "; ".join(f"{row.label} {relative(row.low)} to {relative(row.high)}" for row in rows)
    return pictures.intervals(
        rows,
        xlabel="challenger against champion, relative",
        caption="Effect with its interval; the dashed line is no difference.",
        alt=f"Relative effects: {alt}.",
        percent=True,
    )


def guardrails(examined: Examined) -> Section | None:
    """What must not get worse."""
    found = examined.found
    if found is None or not found.guardrails:
        return None
    rows, marked = [], set()
    for number, each in enumerate(found.guardrails):
        better = "more" if each.metric.direction is Direction.INCREASE else "less"
        _test, *cells, _p = _row(each.comparison.effect, each.metric, examined)
        rows.append(
            (f"{each.metric.name} ({better} is better)", *cells, "yes" if each.harmed else "not seen")
        )
        if each.harmed:
            marked.add(number)
    share = examined.registration.alpha / len(found.guardrails)
    text = "Not seen to get worse is not proved to be as good: the interval tells how much worse it may be."
    if len(found.guardrails) > 1:
        text += f" Alpha is {share:.3g} each, {examined.registration.alpha:g} for all of them."
    columns = ("metric", *_COLUMNS, "worse")
    return Section(
        "Guardrails",
        (text,),
        (Table(columns, tuple(rows), _brackets(share).capitalize(), frozenset(marked)),),
    )
