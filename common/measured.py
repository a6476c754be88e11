"""What a guardrail measured, with units: told alike by board, conditions, commands and messages.

Made from a verdict, from its record in the decisions log, or from what the job tells Prometheus. Pure.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from math import exp, isfinite
from typing import Any, Final, Self

from common.durations import parse_duration
from common.figures import count, in_unit, percent, short

OK, BREACH, NO_DATA, CANNOT_MEASURE = "ok", "breach", "no data", "cannot measure"  # the four verdicts
MOST, LEAST = "most", "least"  # what a limit is
LONGEST: Final = 50  # characters of a tag's value that Unleash takes
BEGUN: Final = 0.5  # of the threshold: from here on the test score is worth a word
SAFE, WITHIN, WATCH, ROLLED_BACK = "safe to ship", "within its limit", "keep watching", "rolled back"


@dataclass(frozen=True)
class Measured:
    """One guardrail at one moment.

    Attributes:
        verdict: as rollback.guardrails.verdict says when it is which.
        binding: False where it only warns.
        unit: of value, champion, limit, low and high; see common.figures.
        fewer: whether a value under the limit is beyond it.
        value: of the challenger; of both models where the unit is `times` or the guardrail knows no champion.
        champion: by the same measure.
        low, high: of challenger - champion, at 95%; see rollback.guardrails.effect.
        sample: calls under the value.
        window: how far back it reaches.
        score, threshold: of a sequential guardrail, natural logarithms; the highest score of the stage.
        warm_up: seconds of the stage that are left out, since the challenger was warming up.
        warm_up_start: when it was last seen to start, in Unix seconds.
    """

    name: str
    verdict: str
    binding: bool = True
    unit: str = "number"
    fewer: bool = False
    value: float | None = None
    champion: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    sample: float | None = None
    window: timedelta | None = None
    score: float | None = None
    threshold: float | None = None
    warm_up: float | None = None
    warm_up_start: float | None = None

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Self:
        """From a verdict as the decisions log has it; documents of before have no interval."""
        evidence = record.get("evidence") or {}
        highest = finite(evidence.get("log_e_highest"))
        window = record.get("window")
        return cls(
            name=str(record.get("guardrail")),
            verdict=str(record.get("verdict")),
            unit=record.get("unit") or "number",
            fewer=bool(record.get("fewer_is_worse")),
            score=finite(record.get("log_e")) if highest is None else highest,
            threshold=finite(record.get("log_e_needed")),
            window=parse_duration(window) if window else None,
            champion=finite(record.get("champion", _champion(evidence.get("counts")))),
            value=finite(record.get("value")),
            limit=finite(record.get("limit")),
            sample=finite(record.get("sample")),
            low=finite(record.get("difference_low")),
            high=finite(record.get("difference_high")),
        )

    @property
    def difference(self) -> float | None:
        """Challenger - champion."""
        return None if self.value is None or self.champion is None else self.value - self.champion

    @property
    def reached(self) -> float | None:
        """How far the test score or the value is on its way to the limit, which is 1.

        A share that must not fall is on its way from all of them; else there is no beginning.
        """
        if self.score is not None and self.threshold:
            return max(self.score / self.threshold, 0.0)
        if self.value is None or not self.limit:
            return None
        if not self.fewer:
            return self.value / self.limit
        if self.limit < 1 and 0 <= self.value <= 1:
            return (1 - self.value) / (1 - self.limit)
        return None

    @property
    def interval(self) -> str:
        """What the interval promises."""
        return "95% at this moment" if self.threshold is None else "95% at every look"

    @property
    def safe(self) -> bool:
        """Whether all of the interval is within the limit."""
        if self.champion is None or self.limit is None or self.low is None or self.high is None:
            return False
        return (
            self.champion + self.low >= self.limit if self.fewer else self.champion + self.high <= self.limit
        )

    @property
    def status(self) -> str:
        """What follows, in two or three words."""
        if self.verdict == OK:
            return SAFE if self.safe else WITHIN if self.threshold is None else WATCH
        return {BREACH: "breached", NO_DATA: WATCH}.get(self.verdict, self.verdict)

    @property
    def sure(self) -> str:
        """How sure the verdict is, in words; "" where nothing was judged."""
        if self.verdict not in {OK, BREACH}:
            return "too few calls to tell" if self.verdict == NO_DATA else ""
        if self.score is None or self.threshold is None:
            calls = f"{count(self.sample)} calls" if self.sample is not None else "what it saw"
            return f"one number on {calls}, held against the limit as it is"
        if self.verdict == BREACH:
            return f"sure: by chance that comes in 1 of {exp(self.threshold):,.0f} stages at most"
        part = self.score / self.threshold
        if part >= BEGUN:
            return f"not sure, but suspicious: test score at {part:.0%} of its threshold"
        return (
            "no sign that it is worse than allowed"
            if part <= 0
            else f"no sign yet: test score at {part:.0%} of its threshold"
        )

    def rows(self) -> Iterator[tuple[str, str]]:
        """Name and value, as a tile shows them."""
        if self.value is not None:
            yield ("Challenger" if self._compared else "Value"), self._told(self.value)
        if self.champion is not None:
            yield "Champion", self._told(self.champion)
        if (difference := self._difference) is not None:
            yield "Difference", difference
        if self.low is not None and self.high is not None:
            yield "Interval", f"{self._ends}, {self.interval}"
        if self.limit is not None:
            yield "Limit", self._allowed
        if self.sure:
            yield "How sure", self.sure
        if self.score is not None and self.threshold is not None:
            yield "Test score", self._score
        if self.sample is not None and self.window is not None:
            yield "Sample", f"{count(self.sample)} calls, {self._window}"

    @property
    def short(self) -> str:
        """Against its limit in a few words: `12 ms (limit 200 ms)`; "" where nothing was measured."""
        score = "" if self.score is None or self.threshold is None else f"test score {self._score}"
        return "; ".join(filter(None, (self._against(self.champion), score)))

    def cause(self, sentence: object) -> str:
        """Why it rolled back, in the characters of a tag: `errors: 12%, champion 1.0% (limit 2.0%)`.

        `sentence` is of the verdict, for one without figures.
        """
        if self.value is None or self.limit is None:
            return f"{self.name}: {sentence}"
        whole = f"{self.name}: {self._against(self.champion)}"
        return whole if len(whole) <= LONGEST else f"{self.name}: {self._against(None)}"

    def __str__(self) -> str:
        """All of it in one sentence without an end; "" where nothing was measured."""
        if self.value is None:
            return ""
        told = self._told(self.value)
        if self.champion is not None:
            told = f"challenger {told}, champion {self._told(self.champion)}"
        if (difference := self._difference) is not None:
            told += f": {difference}"
        if self.low is not None and self.high is not None:
            told += f" ({self._ends}, {self.interval})"
        if self.limit is not None:
            told += f"; {self._allowed} is allowed"
        if self.sample is not None and self.window is not None:
            told += f"; {count(self.sample)} calls, {self._window}"
        return told

    def _against(self, champion: float | None) -> str:
        if self.value is None or self.limit is None:
            return ""
        compared = "" if champion is None else f", champion {in_unit(champion, self.unit)}"
        side = "at least" if self.fewer else "limit"
        return f"{in_unit(self.value, self.unit)}{compared} ({side} {in_unit(self.limit, self.unit)})"

    @property
    def _allowed(self) -> str:
        return f"{'at least' if self.fewer else 'at most'} {self._told(self.limit or 0.0)}"

    @property
    def _score(self) -> str:
        return f"{round(self.score or 0.0, 1) + 0.0:.1f}, threshold {self.threshold or 0.0:.1f}"

    @property
    def _compared(self) -> bool:
        return self.champion is not None or self.unit == "times"

    @property
    def _window(self) -> str:
        lasted = short(self.window) if self.window is not None else ""
        return f"the last {lasted}" if self.threshold is None else f"{lasted} since the stage began"

    @property
    def _difference(self) -> str | None:
        if self.unit == "times" and self.value is not None:  # such a value is a comparison itself
            return signed(percent(abs(self.value - 1)), self.value - 1)
        return None if self.difference is None else difference(self.difference, self.unit)

    @property
    def _ends(self) -> str:
        low, high = (difference(each or 0.0, self.unit) for each in (self.low, self.high))
        return f"{low.removesuffix(' points')} to {high}"

    def _told(self, value: float) -> str:
        told = in_unit(value, self.unit)
        return f"{told} the champion's" if self.unit == "times" else told


def difference(value: float, unit: str) -> str:
    """Of two values of a unit: +1.1 points, -12 ms."""
    if unit == "share":
        return signed(f"{percent(abs(value)).removesuffix('%')} points", value)
    return signed(in_unit(abs(value), unit), value)


def signed(told: str, value: float) -> str:
    """With the sign of `value`."""
    return f"{'-' if value < 0 else '+'}{told}"


def _champion(counts: Mapping[str, Any] | None) -> float | None:
    """Its share of bad calls, from the counts that a verdict rests on."""
    total, bad = (float(sum((counts or {}).get(f"champion_{part}", ()))) for part in ("total", "bad"))
    return bad / total if total else None


def finite(value: object) -> float | None:
    """A number of a document, in which NaN and the infinities are text; None for any other."""
    return float(value) if isinstance(value, int | float) and isfinite(value) else None
