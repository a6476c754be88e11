"""The answer of an A/B report, in a sentence or two for somebody who knows the product, and its tone."""

from analysis.abtest.examine import Examined, Results
from analysis.abtest.verdict import Finding
from analysis.metric import Metric
from analysis.render.document import Tone
from analysis.render.words import Unit, duration, moment
from analysis.statistics.effect import Effect


def answer_of(examined: Examined) -> str:
    """The report's answer."""
    match examined.finding:
        case Finding.BETTER:
            text = _verdict(examined, "better")
        case Finding.WORSE:
            text = _verdict(examined, "worse")
        case Finding.NO_DIFFERENCE:
            text = _no_difference(examined)
        case Finding.UNDECIDED:
            text = _undecided(examined)
        case Finding.TOO_EARLY:
            text = _too_early(examined)
        case Finding.MISMATCH:
            text = _mismatch(examined)
        case Finding.CHANGED:
            text = _changed()
        case Finding.NO_VERDICT:
            text = _no_verdict(examined)
    if worse := [each.metric.name for each in examined.harmed]:
        but = "But" if examined.finding is Finding.BETTER else "And"
        text += f" {but} {' and '.join(worse)} got worse, which must not happen: do not go on."
    return text


def tone_of(examined: Examined) -> Tone:
    """Harm of a guardrail outweighs any answer."""
    if examined.harmed or examined.finding in {Finding.WORSE, Finding.MISMATCH, Finding.CHANGED}:
        return "bad"
    if examined.finding is Finding.BETTER:
        return "good"
    return "plain" if examined.finding in {Finding.NO_DIFFERENCE, Finding.NO_VERDICT} else "wait"


def unit_of(metric: Metric, examined: Examined, effect: Effect | None = None) -> Unit:
    """How to write the measure: digits by the interval's width where there is one."""
    if effect is not None and effect.absolute.width < 1e9:
        return Unit(metric.kind, effect.absolute.width / 2)
    return Unit(metric.kind, examined.registration.effect)


def _verdict(examined: Examined, word: str) -> str:
    results = _seen(examined)
    return f"The challenger is {word} in {examined.metric.name}: {_effect(examined, results)}."


def _no_difference(examined: Examined) -> str:
    results = _seen(examined)
    text = f"No difference was found in {examined.metric.name}: {_effect(examined, results)}."
    if results.smallest is None:
        return f"{text} These users could not have found any."
    unit = unit_of(examined.metric, examined, results.comparison.effect)
    return (
        f"{text} A change of {unit.change(results.smallest, sign=False)} would have been found with a "
        f"chance of {100 * examined.registration.power:.0f}%; a smaller one may be there."
    )


def _undecided(examined: Examined) -> str:
    if examined.results is None:
        return "Nothing can be said yet: there are not two users in each arm whose outcomes are in."
    effect = examined.results.comparison.effect
    if effect.relative is None and effect.p == 1:
        return "Nothing can be said yet: too few users have come whose outcomes are in."
    return (
        f"Nothing is certain yet in {examined.metric.name}: {_effect(examined, examined.results)}. "
        "Read on as often as you like."
    )


def _too_early(examined: Examined) -> str:
    progress, planned = examined.progress, examined.registration.users
    champion, challenger = progress.arrived.users
    window = duration(examined.registration.window)
    if progress.reached and progress.expected:
        return (
            f"Too early for a verdict: all users have come, and the outcomes of the last have until "
            f"{moment(progress.expected)} ({window} after the first request)."
        )
    text = (
        f"Too early for a verdict: {min(challenger, planned.challenger):,} of {planned.challenger:,} "
        f"users of the challenger and {min(champion, planned.champion):,} of {planned.champion:,} of the "
        "champion."
    )
    if progress.expected is None:
        return f"{text} As users come now, so many never will: register a larger effect or share."
    return f"{text} As users come now, the verdict is to be had on {moment(progress.expected)}."


def _mismatch(examined: Examined) -> str:
    ratio, of = examined.ratio, "the users"
    if ratio.stages:
        ratio = min(ratio.stages, key=lambda stage: (stage.p, stage.p_any_time))
        of = f"the users who first came at {100 * ratio.planned:g}%"
    return (
        f"No verdict: the challenger has {100 * ratio.observed:.2f}% of {of}, not the "
        f"{100 * ratio.planned:g}% that were planned, and chance does that in less than one test of "
        "1,000. The arms differ in more than the model: find out why before anything else."
    )


def _changed() -> str:
    return (
        "No verdict: the file is not the one that was registered, its hash does not fit. Take the "
        'original from version control, or say why it was changed: `--accept-changed "reason"`.'
    )


def _no_verdict(examined: Examined) -> str:
    registration, metric = examined.registration, examined.metric
    if metric != registration.metric:
        why = f"{metric.name} is not what was registered, that is {registration.metric.name}"
    else:
        why = "the time is not that of the registration"
    text = f"No verdict: {why}. Whoever looks at enough figures finds one that differs."
    if examined.results is None:
        return text
    return f"{text} In {metric.name}: {_effect(examined, examined.results)}."


def _effect(examined: Examined, results: Results) -> str:
    effect, metric = results.comparison.effect, examined.metric
    unit = unit_of(metric, examined, effect)
    plain = results.comparison.plain
    confidence = f"{100 * (1 - examined.registration.alpha):g}%"
    adjusted = ", with what they did before the test taken out," if results.comparison.narrowing else ""
    stages = " by stage" if len(results.arms.by_stage) > 1 else ""
    return (
        f"{unit.level(plain.challenger)} for the challenger, {unit.level(plain.champion)} for the "
        f"champion, a difference{stages}{adjusted} of {unit.change(effect.difference)} ({confidence} "
        f"interval {unit.between(effect.absolute)})"
    )


def _seen(examined: Examined) -> Results:
    assert examined.results is not None  # noqa: S101  (a verdict has something to be of)
    return examined.results
