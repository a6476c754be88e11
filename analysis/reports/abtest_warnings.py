"""What spoils the answer of an A/B report, or may do so."""

from collections.abc import Iterator
from datetime import timedelta

from analysis.abtest.examine import Examined, Found
from analysis.log.bad import BadLines
from analysis.measures.left_out import LeftOut
from analysis.measures.metric import Kind
from analysis.reports.measure_words import moment
from analysis.reports.words import counted
from analysis.statistics.skewness import allowed
from common.names import Model

_FEW_EVENTS = 10
_SKEWED = 6.0  # of amounts as money is spent
_MOVED, _REPLACED = 0.01, 0.01  # shares of users and of requests that are worth a warning


def warnings(examined: Examined, bad: BadLines) -> tuple[str, ...]:
    """What spoils the answer, or may do so."""
    return tuple((*_of_file(examined), *_of_data(examined), *_of_log(examined, bad)))


def odd(left_out: LeftOut) -> str:
    """Of feedback that clocks or the log kept out."""
    return (
        f"Feedback is left out that should not be: {left_out.sentence} Does"
        " feedback name its request as it was answered, and is the log whole?"
    )


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
    if found.left_out.is_odd:
        yield odd(found.left_out)
    yield from _of_events(examined, found)
    yield from _of_skewness(examined, found)


def _of_events(examined: Examined, found: Found) -> Iterator[str]:
    """Too few for the approximation, or none at all, which is rather a wrong name."""
    effect = found.comparison.plain
    shown = [(examined.metric, effect), *((each.metric, each.comparison.plain) for each in found.guardrails)]
    never = sorted({metric.outcome for metric, of in shown if of.champion == of.challenger == 0})
    if never:
        names = " and ".join(repr(each) for each in never)
        yield f"No feedback named {names} was counted at all: is that its name?"
    if examined.metric.kind is Kind.PROPORTION and examined.metric.outcome not in never:
        arms = ((effect.champion, found.arms.champion), (effect.challenger, found.arms.challenger))
        fewest = min(min(share, 1 - share) * arm.users for share, arm in arms)
        if fewest < _FEW_EVENTS:
            yield (
                f"Only {round(fewest)} users of an arm are the exception in {examined.metric.name}: the test "
                "is rough with less than ten."
            )


def _of_skewness(examined: Examined, found: Found) -> Iterator[str]:
    """A mean of a small arm beside a large one, whose skewness nobody has said."""
    if examined.metric.kind is not Kind.MEAN or examined.wish.sequential:
        return
    fits = allowed(found.arms.champion.users, found.arms.challenger.users, examined.registration.alpha)
    if fits < (examined.registration.skewness or _SKEWED):
        yield (
            f"One arm is small, and its mean is tested well up to a skewness of {fits:.2g} from user to user"
            " (amounts of money often have 6 and more): beyond that, the small arm is called worse too often"
            " where both are alike. Arms of equal sizes do not have that."
        )


def _of_log(examined: Examined, bad: BadLines) -> Iterator[str]:
    end = examined.log_end
    needed = min(examined.question.now, examined.course.expected or examined.question.now)
    if end is None:
        yield "The log holds no record."
    elif end < needed - timedelta(hours=1):
        yield f"The log ends at {moment(end)}: if it is behind, outcomes are missing here."
    if bad.count:
        first = "; ".join(f"{line.file}:{line.line}: {line.why}" for line in bad.first[:3])
        were = "was" if bad.count == 1 else "were"
        yield f"{counted(bad.count, 'bad line')} of the log {were} left out: {first}."
