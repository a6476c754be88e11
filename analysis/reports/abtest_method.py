"""What was registered, and how it was read."""

from analysis.abtest.examine import Examined
from analysis.measures.metric import Direction, Kind
from analysis.reports.abtest_words import of_users, unit_of
from analysis.reports.document import Section, Table
from analysis.reports.measure_words import duration, moment


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
        "segments by": ", ".join(registration.segments_by) or "none",
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
    if examined.found is not None:
        text.append(examined.found.left_out.sentence)
    text.append(
        "It cannot tell what a novelty wears off to, nor anything of users who did not come; and "
        f"{100 * registration.alpha:g} of 100 tests of equal models find a difference."
    )
    return Section("How it was read", tuple(text))
