"""The section of an A/B report about who was compared, and whether the arms are what the flag says."""

from bisect import bisect_right
from datetime import timedelta

from analysis.abtest.decide import Finding
from analysis.abtest.examine import Examined
from analysis.reports.document import Block, Picture, Section, Table
from analysis.reports.measure_words import duration
from analysis.reports.words import NONE, p_is
from analysis.show import pictures
from common.names import Model


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
        f"Sample ratio: {p_is(ratio.p)} for one look, {p_is(ratio.p_any_time)} for as many as one likes."
        " Each user counts once, in the arm of the first request, whoever answered in the end."
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
        limit=("needed", 1.0),
        percent=True,
    )


def _answered(examined: Examined) -> Table | None:
    rows = tuple(
        (each.assigned, each.model, f"{each.name} {each.version}", f"{each.requests:,}")
        for each in examined.answered
    )
    return Table(("assigned", "answered by", "model", "requests"), rows, "Who answered") if rows else None
