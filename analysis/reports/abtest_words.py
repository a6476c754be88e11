"""The answer of an A/B report, in a sentence or two for somebody who knows the product."""

from collections.abc import Callable
from dataclasses import dataclass

from analysis.abtest.decide import Finding
from analysis.abtest.examine import Examined, Found
from analysis.measures.metric import Kind, Metric
from analysis.reports.measure_words import Unit, duration, moment
from analysis.statistics.effect import Effect


def unit_of(metric: Metric, examined: Examined, effect: Effect | None = None) -> Unit:
    """How to write the measure: digits by the interval's width where there is one."""
    if effect is not None and effect.absolute.width < 1e9:
        return Unit(metric.kind, effect.absolute.width / 2)
    return Unit(metric.kind, examined.registration.effect)


def of_users(metric: Metric) -> str:
    """What the figure of an arm is."""
    return {
        Kind.PROPORTION: f"share of users with the outcome {metric.outcome}",
        Kind.MEAN: f"sum of the values of {metric.outcome} per user",
        Kind.COUNT: f"number of {metric.outcome} per user",
    }[metric.kind]


@dataclass(frozen=True)
class Words:
    """Sentences about what was examined."""

    examined: Examined

    @property
    def answer(self) -> str:
        """The report's answer."""
        say: dict[Finding, Callable[[], str]] = {
            Finding.BETTER: lambda: self._verdict("better"),
            Finding.WORSE: lambda: self._verdict("worse"),
            Finding.NO_DIFFERENCE: self._no_difference,
            Finding.UNDECIDED: self._undecided,
            Finding.TOO_EARLY: self._too_early,
            Finding.MISMATCH: self._mismatch,
            Finding.CHANGED: self._changed,
            Finding.NO_VERDICT: self._no_verdict,
        }
        text = say[self.examined.finding]()
        found = self.examined.found
        harmed = [each.metric.name for each in found.guardrails if each.harmed] if found else []
        if harmed:
            but = "But" if self.examined.finding is Finding.BETTER else "And"
            text += f" {but} {' and '.join(harmed)} got worse, which must not happen: do not go on."
        return text

    def _verdict(self, word: str) -> str:
        found = self._found()
        return f"The challenger is {word} in {self.examined.metric.name}: {self._effect(found)}."

    def _no_difference(self) -> str:
        found = self._found()
        text = f"No difference was found in {self.examined.metric.name}: {self._effect(found)}."
        if found.smallest is None:
            return f"{text} These users could not have found any."
        unit = unit_of(self.examined.metric, self.examined, found.comparison.effect)
        return (
            f"{text} A change of {unit.change(found.smallest, sign=False)} would have been found with a "
            f"chance of {100 * self.examined.registration.power:.0f}%; a smaller one may be there."
        )

    def _undecided(self) -> str:
        if self.examined.found is None:
            return "Nothing can be said yet: there are not two users in each arm whose outcomes are in."
        effect = self.examined.found.comparison.effect
        if effect.relative is None and effect.p == 1:
            return "Nothing can be said yet: too few users have come whose outcomes are in."
        return (
            f"Nothing is certain yet in {self.examined.metric.name}: {self._effect(self.examined.found)}. "
            "Read on as often as you like."
        )

    def _too_early(self) -> str:
        course, planned = self.examined.course, self.examined.registration.users
        champion, challenger = course.arrived.users
        window = duration(self.examined.registration.window)
        if course.reached and course.expected:
            return (
                f"Too early for a verdict: all users have come, and the outcomes of the last have until "
                f"{moment(course.expected)} ({window} after the first request)."
            )
        text = (
            f"Too early for a verdict: {min(challenger, planned.challenger):,} of {planned.challenger:,} "
            f"users of the challenger and {min(champion, planned.champion):,} of {planned.champion:,} of the "
            "champion."
        )
        if course.expected is None:
            return f"{text} As users come now, so many never will: register a larger effect or share."
        return f"{text} As users come now, the verdict is to be had on {moment(course.expected)}."

    def _mismatch(self) -> str:
        ratio = self.examined.ratio
        return (
            f"No verdict: the challenger has {100 * ratio.observed:.2f}% of the users, not the "
            f"{100 * ratio.planned:g}% that were planned, and chance does that in less than one test of "
            "1,000. The arms differ in more than the model: find out why before anything else."
        )

    def _changed(self) -> str:
        return (
            "No verdict: the file is not the one that was registered, its hash does not fit. Take the "
            'original from version control, or say why it was changed: `--accept-changed "reason"`.'
        )

    def _no_verdict(self) -> str:
        registration, metric = self.examined.registration, self.examined.metric
        if metric != registration.metric:
            why = f"{metric.name} is not what was registered, that is {registration.metric.name}"
        else:
            why = "the time is not that of the registration"
        text = f"No verdict: {why}. Whoever looks at enough figures finds one that differs."
        if self.examined.found is None:
            return text
        return f"{text} In {metric.name}: {self._effect(self.examined.found)}."

    def _effect(self, found: Found) -> str:
        effect, metric = found.comparison.effect, self.examined.metric
        unit = unit_of(metric, self.examined, effect)
        plain = found.comparison.plain
        confidence = f"{100 * (1 - self.examined.registration.alpha):g}%"
        adjusted = ", with what they did before the test taken out," if found.comparison.narrowing else ""
        return (
            f"{unit.level(plain.challenger)} for the challenger, {unit.level(plain.champion)} for the "
            f"champion, a difference{adjusted} of {unit.change(effect.difference)} ({confidence} interval "
            f"{unit.between(effect.absolute)})"
        )

    def _found(self) -> Found:
        assert self.examined.found is not None  # noqa: S101  (a verdict has something to be of)
        return self.examined.found
