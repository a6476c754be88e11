"""What spoils the answer of an A/B report, or may do so."""

from collections.abc import Iterator
from datetime import timedelta

from analysis.abtest.examine import Examined, Results
from analysis.log.engine import BadLines
from analysis.log.left_out import LeftOut
from analysis.metric import Kind
from analysis.render.words import counted, moment
from analysis.statistics.power import allowed
from analysis.statistics.proportions import EXACT
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
    registration, options = examined.registration, examined.options
    if examined.changed:
        reason = f" Accepted: {options.accepted}." if options.accepted else ""
        when = moment(registration.registered)
        yield f"THE REGISTRATION WAS CHANGED after {when}: its hash does not fit.{reason}"
    if options.since and options.since < registration.registered:
        yield (
            f"Data since {moment(options.since)} are read, from before the registration on "
            f"{moment(registration.registered)}: no verdict can rest on them."
        )
    elif options.since and options.since > registration.registered:
        yield f"The test's time until {moment(options.since)} is left out: no verdict can rest on the rest."


def _of_data(examined: Examined) -> Iterator[str]:
    progress, results = examined.progress, examined.results
    total = sum(progress.arrived.users)
    if not total:
        yield (
            "The log holds no request of a user of the test: is it the right one, did users get ids, and is "
            "`CANARIO_LOG_USERS` not off?"
        )
    if total and progress.arrived.changed > _MOVED * total:
        yield (
            f"{progress.arrived.changed:,} of {total:,} users had both models before their time was over: the"
            " flag's stickiness is not `userId`, or its share was changed. They count in their first arm: the"
            " effect looks smaller."
        )
    if (shares := examined.stages.shares) and shares != (examined.registration.share,):
        told = " and ".join(f"{share:g}%" for share in shares)
        within = ": users are compared within each" if len(shares) > 1 else ", and the arms are held to that"
        yield (
            f"The flag gave the challenger {told}, not the {examined.registration.share:g}% that were"
            f" registered{within}."
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
    if results is None:
        return
    if (
        examined.registration.covariate
        and not examined.options.sequential
        and not results.comparison.narrowing
    ):
        yield (
            "The registered covariate could not be used: the log holds nothing from before the test, or the "
            "challenger had users all that time."
        )
    if results.left_out.is_odd:
        yield odd(results.left_out)
    yield from _of_events(examined, results)
    yield from _of_skewness(examined, results)


def _of_events(examined: Examined, results: Results) -> Iterator[str]:
    """Too few for the approximation, or none at all, which is rather a wrong name."""
    effect = results.comparison.plain
    shown = [
        (examined.metric, effect),
        *((each.metric, each.comparison.plain) for each in results.guardrails),
    ]
    never = sorted({metric.outcome for metric, of in shown if of.champion == of.challenger == 0})
    if never:
        names = " and ".join(repr(each) for each in never)
        yield f"No feedback named {names} was counted at all: is that its name?"
    if examined.metric.kind is Kind.PROPORTION and examined.metric.outcome not in never:
        arms = ((effect.champion, results.arms.champion), (effect.challenger, results.arms.challenger))
        fewest = min(min(share, 1 - share) * arm.users for share, arm in arms)
        if effect.test.startswith(EXACT):
            yield (
                f"Few users are the exception in {examined.metric.name}, fewer than five expected in an arm: "
                "Fisher's exact test decides, and finds only large changes."
            )
        elif fewest < _FEW_EVENTS:
            yield (
                f"Only {round(fewest)} users of an arm are the exception in {examined.metric.name}: the test "
                "is rough with less than ten."
            )


def _of_skewness(examined: Examined, results: Results) -> Iterator[str]:
    """A mean of a small arm beside a large one, whose skewness nobody has said."""
    if examined.metric.kind is not Kind.MEAN or examined.options.sequential:
        return
    fits = allowed(results.arms.champion.users, results.arms.challenger.users, examined.registration.alpha)
    if fits < (examined.registration.skewness or _SKEWED):
        yield (
            f"One arm is small, and its mean is tested well up to a skewness of {fits:.2g} from user to user"
            " (amounts of money often have 6 and more): beyond that, the small arm is called worse too often"
            " where both are alike. Arms of equal sizes do not have that."
        )


def _of_log(examined: Examined, bad: BadLines) -> Iterator[str]:
    end = examined.log_end
    needed = min(examined.period.until, examined.progress.expected or examined.period.until)
    if end is None:
        yield "The log holds no record."
    elif end < needed - timedelta(hours=1):
        yield f"The log ends at {moment(end)}: if it is behind, outcomes are missing here."
    if bad.count:
        first = "; ".join(f"{line.file}:{line.line}: {line.why}" for line in bad.first[:3])
        were = "was" if bad.count == 1 else "were"
        yield f"{counted(bad.count, 'bad line')} of the log {were} left out: {first}."
