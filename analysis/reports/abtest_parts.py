"""The sections of an A/B report, and its warnings."""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import timedelta

from analysis.abtest.compare import Comparison
from analysis.abtest.decide import Finding
from analysis.abtest.examine import Examined, Found
from analysis.log.bad import BadLines
from analysis.measures.metric import Direction, Kind, Metric
from analysis.reports.abtest_words import of_users, unit_of
from analysis.reports.document import Block, Picture, Section, Table
from analysis.reports.measure_words import duration, moment, relative, relative_between
from analysis.reports.words import NONE, chance
from analysis.show import pictures
from analysis.statistics.effect import Effect
from common.names import Model

_COLUMNS = ("champion", "challenger", "difference", "relative")
_FEW_EVENTS = 10
_MOVED, _REPLACED = 0.01, 0.01  # shares of users and of requests that are worth a warning


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
            f"p = {chance(ranks.p)}. It stands beside the test that decides; where the two disagree, few "
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
        f"{relative(effect.relative_difference)} ({relative_between(effect.relative)})",
        chance(effect.p),
    )


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


def users(examined: Examined) -> Section:
    """Who was compared, and whether the arms are what the flag says."""
    course, ratio, planned = examined.course, examined.ratio, examined.registration.users
    champion, challenger = course.arrived.users
    rows = []
    arms = examined.found.arms if examined.found else None
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
    text = [
        f"Sample ratio: p = {chance(ratio.p)} for one look, {chance(ratio.p_any_time)} for as many as one "
        "likes. Each user counts once, in the arm of the first request, whoever answered in the end."
    ]
    if examined.finding is Finding.MISMATCH:
        text.append(
            "Look for: a share that was changed during the test; users whom a constraint of the flag or a "
            "segment lets in on one side only; a challenger that fails, so that its users do not come back; "
            "a log that lacks files of some workers; clients that send no user, or a new one each time."
        )
    if course.watched:
        text.append(
            f"{course.watched:,} of {champion + challenger:,} users came less than "
            f"{duration(examined.registration.window)} ago: their outcomes may still come."
        )
    if arms:
        text.append(
            "No feedback yet: users of whom none of any name has come. It is large without harm where "
            "feedback says only what happened and not what did not; both arms should be alike."
        )
    blocks: list[Block] = [Table(columns, tuple(rows))]
    if picture := _progress(examined):
        blocks.append(picture)
    if answered := _answered(examined):
        blocks.append(answered)
    return Section("Users", tuple(text), tuple(blocks))


def _progress(examined: Examined) -> Picture | None:
    """Users of both arms day by day, of those that are needed; None for tests of less than two days."""
    arrived, planned = examined.course.arrived, examined.registration.users
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
        [examined.question.since.date() + timedelta(days=day) for day in range(last)],
        lines,
        ylabel="of the users needed",
        caption="Different users so far, of those that the verdict waits for.",
        alt=f"After {last} days: " + ", ".join(f"{line.name} {100 * line.values[-1]:.0f}%" for line in lines),
        limit=1.0,
        percent=True,
    )


def _answered(examined: Examined) -> Table | None:
    rows = tuple(
        (each.assigned, each.model, f"{each.name} {each.version}", f"{each.requests:,}")
        for each in examined.answered
    )
    return Table(("assigned", "answered by", "model", "requests"), rows, "Who answered") if rows else None


def promised(examined: Examined) -> Section:
    """What was registered."""
    registration = examined.registration
    segment = registration.segment
    unit = unit_of(registration.metric, examined)
    facts = {
        "registered": f"{moment(registration.registered)} by {registration.by}",
        "hash": registration.sha256[:16] + (" (does not fit the file)" if examined.changed else ""),
        "flag, share": f"{registration.flag}, {registration.share:g}%",
        "metric": f"{registration.metric.name}: {of_users(registration.metric)}, "
        f"{'more' if registration.metric.direction is Direction.INCREASE else 'less'} is better",
        "segment": f"{segment.property} = {segment.value}" if segment else "all users",
        "read by": ", ".join(registration.segments_by) or "no property",
        "to be found": f"{unit.change(registration.effect, sign=False)} from "
        f"{unit.level(registration.baseline)}, alpha {registration.alpha:g}, power {registration.power:g}",
        "users": f"{registration.users.champion:,} champion, {registration.users.challenger:,} challenger",
        "window": f"{duration(registration.window)} from a user's first request",
        "covariate": f"up to {duration(registration.covariate)} before" if registration.covariate else "none",
        "guardrails": ", ".join(each.name for each in registration.guardrails) or "none",
    }
    if registration.note:
        facts["note"] = registration.note
    return Section("What was registered", (), (Table(("", "promised"), tuple(facts.items())),))


def method(examined: Examined) -> Section:
    """How it was read."""
    registration = examined.registration
    text = [
        f"Read: users whose first request since {moment(examined.question.since)} came before "
        f"{moment(examined.course.came_before)}, each for {duration(registration.window)} from then on. "
        "A verdict is that of the users with whom both arms were full: a later report says the same.",
    ]
    if examined.wish.sequential:
        text.append(
            "A confidence sequence: the true difference lies in all of its intervals, however often one "
            f"reads, with a chance of {100 * (1 - registration.alpha):g}%. It uses no covariate."
        )
    else:
        text.append(
            {
                Kind.PROPORTION: "z test with continuity correction; the intervals are all values that it "
                "does not reject.",
                Kind.MEAN: "Welch's t test on users' sums; the relative interval by the delta method.",
                Kind.COUNT: "Studentised bootstrap of the means from value counts, seeded by the hash.",
            }[examined.metric.kind]
            + " With a covariate Welch's t test on what it leaves (CUPED) decides instead."
        )
    text.append(
        "It cannot tell what a novelty wears off to, nor anything of users who did not come; and "
        f"{100 * registration.alpha:g} of 100 tests of equal models find a difference."
    )
    return Section("How it was read", tuple(text))


def warnings(examined: Examined, bad: BadLines) -> tuple[str, ...]:
    """What spoils the answer, or may do so."""
    return tuple((*_of_file(examined), *_of_data(examined), *_of_log(examined, bad)))


def _of_file(examined: Examined) -> Iterator[str]:
    registration, wish = examined.registration, examined.wish
    if examined.changed:
        reason = f" Accepted: {wish.accepted}." if wish.accepted else ""
        when = moment(registration.registered)
        yield f"THE REGISTRATION WAS CHANGED after {when}: its hash does not fit.{reason}"
    if wish.since and wish.since < registration.registered:
        yield (
            f"Data since {moment(wish.since)} are read, from before the registration on "
            f"{moment(registration.registered)}: no verdict can rest on them."
        )
    elif wish.since and wish.since > registration.registered:
        yield f"The test's time until {moment(wish.since)} is left out: no verdict can rest on the rest."


def _of_data(examined: Examined) -> Iterator[str]:
    course, found = examined.course, examined.found
    total = sum(course.arrived.users)
    if not total:
        yield (
            "The log holds no request of a user of the test: is it the right one, did users get ids, and is "
            "`CANARIO_LOG_USERS` not off?"
        )
    if total and course.arrived.changed > _MOVED * total:
        yield (
            f"{course.arrived.changed:,} of {total:,} users had both models: the flag's stickiness is not "
            "`userId`, or its share was changed. They count in their first arm: the effect looks smaller."
        )
    for role in Model:
        models = sorted({f"{each.name} {each.version}" for each in examined.answered if each.model == role})
        if len(models) > 1:
            yield f"More than one model was the {role} during the test: {', '.join(models)}."
    mine = [each for each in examined.answered if each.assigned == Model.CHALLENGER]
    replaced = sum(each.requests for each in mine if each.model != Model.CHALLENGER)
    if replaced > _REPLACED * sum(each.requests for each in mine):
        yield (
            f"{replaced:,} requests of the challenger's users were answered by the champion in its place: "
            "the effect is that of the challenger with its failures."
        )
    if found is None:
        return
    if examined.registration.covariate and not examined.wish.sequential and not found.comparison.narrowing:
        yield (
            "The registered covariate could not be used: the log holds nothing from before the test, or the "
            "challenger had users all that time."
        )
    effect = found.comparison.plain
    if examined.metric.kind is Kind.PROPORTION:
        arms = ((effect.champion, found.arms.champion), (effect.challenger, found.arms.challenger))
        fewest = min(min(share, 1 - share) * arm.users for share, arm in arms)
        if fewest < _FEW_EVENTS:
            yield (
                f"Only {round(fewest)} users of an arm are the exception in {examined.metric.name}: the test "
                "is rough with less than ten."
            )
    if effect.champion == effect.challenger == 0:
        yield f"No feedback named {examined.metric.outcome!r} was counted at all: is that its name?"


def _of_log(examined: Examined, bad: BadLines) -> Iterator[str]:
    end = examined.log_end
    needed = min(examined.question.now, examined.course.expected or examined.question.now)
    if end is None:
        yield "The log holds no record."
    elif end < needed - timedelta(hours=1):
        yield f"The log ends at {moment(end)}: if it is behind, outcomes are missing here."
    if bad.count:
        first = "; ".join(f"{line.file}:{line.line}: {line.why}" for line in bad.first[:3])
        yield f"{bad.count:,} bad lines of the log were left out: {first}."
