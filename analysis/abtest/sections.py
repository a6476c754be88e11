"""The evidence of an A/B report: the metric, the guardrails beside it, and who was compared."""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import timedelta
from math import isfinite

from analysis.abtest.answer import unit_of
from analysis.abtest.examine import Examined, Results
from analysis.abtest.verdict import Comparison, Finding
from analysis.metric import Kind, Metric
from analysis.render import pictures
from analysis.render.document import Block, Picture, Section, Table
from analysis.render.words import chance, duration, moment, p_is, relative, relative_between
from analysis.statistics.effect import Effect, Interval, weights
from common.figures import NONE, percent
from common.names import Model

_COLUMNS = ("champion", "challenger", "difference")


def effect(examined: Examined) -> Section | None:
    """The metric: by the test that decides, and by those beside it."""
    results = examined.results
    if results is None:
        return None
    comparison, metric = results.comparison, examined.metric
    rows = [_row(comparison.effect, metric, examined)]
    text = []
    if comparison.narrowing:
        rows.append(_row(comparison.plain, metric, examined))
        text.append(f"{_narrowed(results)} The first row decides.")
    caption = f"{_capital(metric.of_users)}; {_brackets(examined.registration.alpha)}"
    columns, cells = _with_relative(rows, [metric], ("test", *_COLUMNS), ("p",))
    blocks: list[Block] = [Table(columns, cells, caption)]
    if len(results.arms.by_stage) > 1:
        text.append(
            "The share of the flag changed during the test. Users are compared within the stage in which they"
            " first came, so that a busy week is no effect; the levels above are those with the same mix of"
            " stages in both arms."
        )
        blocks.append(_by_stage(examined, results))
    if picture := _picture(examined, results):
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


def _by_stage(examined: Examined, results: Results) -> Table:
    """What each stage says by itself, without a test."""
    rows, shares = [], examined.stages.shares
    weight = weights([(one.users, other.users) for one, other in results.arms.samples])
    for place, part, (champion, challenger) in zip(
        results.arms.places, weight, results.arms.samples, strict=True
    ):
        unit = unit_of(examined.metric, examined, results.comparison.plain)
        rows.append(
            (
                f"{shares[place]:g}%",
                f"{champion.users:,}",
                f"{challenger.users:,}",
                unit.level(champion.mean),
                unit.level(challenger.mean),
                unit.change(challenger.mean - champion.mean),
                percent(part),
            )
        )
    columns = ("share", "champion's users", "challenger's", *_COLUMNS, "weight")
    return Table(columns, tuple(rows), "By the stage in which users first came")


def _narrowed(results: Results) -> str:
    assert results.comparison.narrowing is not None  # noqa: S101
    assert results.covariate is not None  # noqa: S101
    worth, time = results.comparison.narrowing, results.covariate
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


def _with_relative(
    rows: Sequence[tuple[str, ...]],
    metrics: Sequence[Metric],
    before: tuple[str, ...],
    after: tuple[str, ...],
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Columns and rows, without the relative change where all is told in points: a report has one unit."""
    if any(metric.kind is not Kind.PROPORTION for metric in metrics):
        return (*before, "relative", *after), tuple(rows)
    place = len(before)
    return (*before, *after), tuple((*row[:place], *row[place + 1 :]) for row in rows)


def _relative(effect: Effect) -> str:
    found = relative(effect.relative_difference)
    return found if effect.relative is None else f"{found} ({relative_between(effect.relative)})"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _brackets(alpha: float) -> str:
    return f"{100 * (1 - alpha):.3g}% intervals in brackets"


def _picture(examined: Examined, results: Results) -> Picture | None:
    """Effects of all metrics on one axis, in points where the metric is a share; None where none has ends."""
    in_points = examined.metric.kind is Kind.PROPORTION
    rows = []
    shown: list[tuple[Metric, Comparison]] = [(examined.metric, results.comparison)]
    shown += [(each.metric, each.comparison) for each in results.guardrails]
    for metric, comparison in shown:
        effect = comparison.effect
        if in_points:
            interval, value = effect.absolute, effect.difference
            if metric.kind is not Kind.PROPORTION or not isfinite(interval.width):
                continue
        elif effect.relative is None or effect.relative_difference is None or effect.relative.width > 20:
            continue
        else:
            interval, value = effect.relative, effect.relative_difference
        colour: pictures.Colour = "challenger" if metric is examined.metric else "plain"
        rows.append(pictures.Interval(metric.name, interval.low, value, interval.high, colour))
    if not rows:
        return None
    unit = unit_of(examined.metric, examined, results.comparison.effect)
    ends = [(row.label, Interval(row.low, row.high)) for row in rows]
    told = [f"{name} {unit.between(each) if in_points else relative_between(each)}" for name, each in ends]
    return pictures.intervals(
        rows,
        xlabel=f"challenger minus champion, {'points' if in_points else 'relative'}",
        caption="Effect with its interval; the dashed line is no difference.",
        alt=f"Effects{' in points' if in_points else ''}: {'; '.join(told)}.",
        unit="points" if in_points else "percent",
    )


def guardrails(examined: Examined) -> Section | None:
    """What must not get worse."""
    results = examined.results
    if results is None or not results.guardrails:
        return None
    rows, marked = [], set()
    for number, each in enumerate(results.guardrails):
        _test, *cells, _p = _row(each.comparison.effect, each.metric, examined)
        rows.append(
            (
                f"{each.metric.name} ({each.metric.better} is better)",
                *cells,
                "yes" if each.harmed else "not seen",
            )
        )
        if each.harmed:
            marked.add(number)
    share = examined.registration.alpha / len(results.guardrails)
    text = "Not seen to get worse is not proved to be as good: the interval tells how much worse it may be."
    if len(results.guardrails) > 1:
        text += f" Alpha is {share:.3g} each, {examined.registration.alpha:g} for all of them."
    metrics = [each.metric for each in results.guardrails]
    columns, told = _with_relative(rows, metrics, ("metric", *_COLUMNS), ("worse",))
    table = Table(columns, told, _brackets(share).capitalize(), frozenset(marked))
    return Section("Guardrails", (text,), (table,))


def users(examined: Examined) -> Section:
    """Who was compared, and whether the arms are what the flag says."""
    progress, ratio, planned = examined.progress, examined.ratio, examined.registration.users
    champion, challenger = progress.arrived.users
    rows = []
    arms = examined.results.arms if examined.results else None
    for role, needed, now, compared, share in (
        (Model.CHAMPION, planned.champion, champion, ratio.champion, 1 - ratio.planned),
        (Model.CHALLENGER, planned.challenger, challenger, ratio.challenger, ratio.planned),
    ):
        heard = getattr(arms, role.value).heard if arms else None
        total = ratio.champion + ratio.challenger
        rows.append(
            (
                role.value,
                f"{needed:,}",
                f"{now:,}",
                f"{compared:,}",
                f"{100 * share:g}%",
                f"{100 * compared / total:.2f}%" if total else NONE,
                NONE if heard is None else f"{100 * (1 - heard):.1f}%",
            )
        )
    columns = ("arm", "needed", "so far", "compared", "planned share", "share", "no feedback yet")
    each = "" if not ratio.stages else " over all stages, each held to its own share,"
    text = [
        f"Sample ratio:{each} {p_is(ratio.p)} for one look, {p_is(ratio.p_any_time)} if looked at often."
        " Each user counts once, in the arm of the first request, whoever answered in the end."
    ]
    if examined.finding is Finding.MISMATCH:
        text.append(
            "Look for: a share that was changed during the test; users whom a constraint of the flag or a "
            "segment lets in on one side only; a challenger that fails, so that its users do not come back; "
            "a log that lacks files of some workers; clients that send no user, or a new one each time."
        )
    if progress.watched:
        text.append(
            f"{progress.watched:,} of {champion + challenger:,} users came less than "
            f"{duration(examined.registration.window)} ago: their outcomes may still come."
        )
    if arms:
        text.append(
            "No feedback yet: users of whom nothing was told. Where only what happened is told, and not what "
            "did not, these are many; both arms should be alike."
        )
    blocks: list[Block] = [Table(columns, tuple(rows))]
    if ratio.stages:
        blocks.append(_ratios(examined))
    if picture := _progress(examined):
        blocks.append(picture)
    if answered := _answered(examined):
        blocks.append(answered)
    return Section("Users", tuple(text), tuple(blocks))


def _ratios(examined: Examined) -> Table:
    """Sizes of the arms by stage."""
    rows, marked = [], set()
    for number, stage in enumerate(examined.ratio.stages):
        rows.append(
            (
                f"{100 * stage.planned:g}%",
                f"{stage.champion:,}",
                f"{stage.challenger:,}",
                f"{100 * stage.observed:.2f}%" if stage.champion + stage.challenger else NONE,
                chance(stage.p),
            )
        )
        if stage.mismatch(once=True):
            marked.add(number)
    columns = ("planned share", "champion", "challenger", "share", "p")
    caption = "Users by the stage in which they first came"
    return Table(columns, tuple(rows), caption, frozenset(marked))


def _progress(examined: Examined) -> Picture | None:
    """Users of both arms day by day, of those that are needed; None for tests of less than two days."""
    arrived, planned = examined.progress.arrived, examined.registration.users
    last = int(arrived.days[-1]) if arrived.days else 0
    if last < 2:
        return None
    lines = []
    for role, users, needed in (
        (Model.CHAMPION, arrived.champion, planned.champion),
        (Model.CHALLENGER, arrived.challenger, planned.challenger),
    ):
        by_day = [users[bisect_right(arrived.days, day + 1) - 1] / needed for day in range(last)]
        lines.append(pictures.Line(role.value, by_day, role.value))
    return pictures.over_days(
        [examined.period.since.date() + timedelta(days=day) for day in range(last)],
        lines,
        ylabel="of the users needed",
        caption="Different users so far, of those that the verdict waits for.",
        alt=f"After {last} days: " + ", ".join(f"{line.name} {100 * line.values[-1]:.0f}%" for line in lines),
        limit=("needed", 1.0),
        unit="percent",
    )


def _answered(examined: Examined) -> Table | None:
    rows = tuple(
        (each.assigned, each.model, f"{each.name} {each.version}", f"{each.requests:,}")
        for each in examined.answered
    )
    return Table(("assigned", "answered by", "model", "requests"), rows, "Who answered") if rows else None
