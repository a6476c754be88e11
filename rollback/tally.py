"""What a sequential guardrail weighs: calls and bad calls of both models in each step. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from common.names import Model
from common.sequential import Counts
from rollback.counts import Counted, Values, add_up
from rollback.edges import Edges
from rollback.guardrails import LateStart
from rollback.kinds.selector import Selector
from rollback.kinds.sequential import Counters, Form
from rollback.window import Grid

ALL = "+Inf"  # the label `le` of the bucket that holds every call


@dataclass(frozen=True)
class Tally:
    """All that a verdict on one sequential guardrail rests on."""

    guardrail: Form
    alpha: float
    """Of the policy, of which the guardrail has its share."""
    late_start: LateStart | None
    query: str
    """The selector that gave the raw counters."""
    grid: Grid
    edges: Edges | None
    counts: Counts
    missing: str | None = None
    """A counter of which there is no series at all."""


@dataclass(frozen=True)
class Plan:
    """Which series a guardrail needs, and from when on."""

    guardrail: Form
    edges: Edges | None = None
    """None for counters."""
    counting_from: datetime | None = None
    """Later than the stage's beginning where something had to be learnt or waited for first."""

    @property
    def names(self) -> set[str]:
        """Names of the metrics."""
        return {selector.name for selector in self._selectors()}

    @property
    def les(self) -> set[str]:
        """Values of the label `le`."""
        return {ALL, self.edges.champion, self.edges.challenger} if self.edges else set()

    def count(self, counted: Sequence[Counted], grid: Grid) -> tuple[Counts, str | None]:
        """Add up what the guardrail needs; and the name of a counter that is missing for both models."""
        found = {model: self._of_model(counted, model) for model in Model}
        missing = None
        for place, selector in enumerate(self._selectors()):
            if all(found[model][place] is None for model in Model):
                missing = missing or str(selector)
        wait = self.counting_from - grid.start if self.counting_from else timedelta()
        first = -(-wait // grid.step)  # rounded up: the first step that lies wholly after it
        arms = {model: [_from(first, each, grid.steps) for each in found[model]] for model in Model}
        (champion_total, champion_bad), (total, bad) = arms[Model.CHAMPION], arms[Model.CHALLENGER]
        return Counts(champion_total, champion_bad, total, bad), missing

    def _selectors(self) -> tuple[Selector, Selector]:
        """Of all calls, and of the bad ones."""
        if isinstance(self.guardrail, Counters):
            return self.guardrail.total, self.guardrail.bad
        bucket = Selector(f"{self.guardrail.histogram}_bucket")
        return bucket, bucket

    def _of_model(self, counted: Iterable[Counted], model: Model) -> tuple[Values | None, Values | None]:
        mine = [each for each in counted if each.labels.get("model") == model]
        total, bad = self._selectors()
        if self.edges is None:
            return add_up(mine, total.fits), add_up(mine, bad.fits)
        edge = self.edges.champion if model is Model.CHAMPION else self.edges.challenger
        every = add_up(mine, lambda labels: total.fits(labels) and labels.get("le") == ALL)
        fast = add_up(mine, lambda labels: total.fits(labels) and labels.get("le") == edge)
        return every, None if every is None or fast is None else np.maximum(every - fast, 0)


def _from(first: int, values: Values | None, steps: int) -> Values:
    """The counts from step `first` on; nothing where there is no series."""
    counts = np.zeros(steps)
    if values is not None:
        counts[first:] = values[first:]
    return counts


def selector(plans: Iterable[Plan], matchers: str) -> str:
    """PromQL for the raw counters of all `plans`, in one selector."""
    plans = list(plans)
    names = "|".join(sorted(set().union(*(plan.names for plan in plans))))
    models = "|".join(Model)
    # A series without the label has it empty, so that the first alternative lets plain counters through.
    edges = "".join(f"|{_escaped(each)}" for each in sorted(set().union(*(plan.les for plan in plans))))
    return f'{{__name__=~"{names}", {matchers}, model=~"{models}", le=~"{edges}"}}'


def _escaped(text: str) -> str:
    """An edge as part of a regular expression inside a PromQL string."""
    return text.replace("+", "\\\\+").replace(".", "\\\\.")
