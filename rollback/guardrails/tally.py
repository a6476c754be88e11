"""Calls and bad calls of both models in each step, from the raw counters of a pass. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from common.arms import Arms, BucketCounters
from common.names import Model
from common.selector import Selector
from common.sequential import Buckets, Counts
from rollback.guardrails.counts import Counted, Values, add_up
from rollback.guardrails.edges import Edges
from rollback.guardrails.kinds.question import Question
from rollback.guardrails.window import Grid

ALL = "+Inf"  # the label `le` of the bucket that holds every call


@dataclass(frozen=True)
class SeriesPlan:
    """Which series a guardrail needs, and from when on."""

    total: Selector
    bad: Selector
    """Of bad calls; the buckets once more where calls beyond an edge are bad."""
    edges: Edges | None = None
    """None for counters."""
    counting_from: datetime | None = None
    """Later than the stage's beginning where something had to be learnt or waited for first."""
    bad_calls: Selector | None = None
    """Where `bad` is counted by user: the challenger's bad calls."""
    buckets: BucketCounters | None = None
    """Of bad calls that are counted by user: the same by bucket, whose dispersion they are divided by."""

    @property
    def names(self) -> set[str]:
        """Names of the metrics."""
        also = {self.bad_calls.name} if self.bad_calls else set()
        return {self.total.name, self.bad.name} | also

    @property
    def les(self) -> set[str]:
        """Values of the label `le`."""
        return {ALL, self.edges.champion, self.edges.challenger} if self.edges else set()

    @property
    def by_bucket(self) -> set[str]:
        """Names of the metrics by bucket."""
        return {self.buckets.calls.name, self.buckets.bad.name} if self.buckets else set()

    def count(
        self, counted: Sequence[Counted], grid: Grid, by_bucket: Sequence[Counted] = ()
    ) -> tuple[Counts, str | None]:
        """Add up what the guardrail needs; and the name of a counter that is missing for both models."""
        found = {model: self._of_model(counted, model) for model in Model}
        missing = None
        for place, selector in enumerate((self.total, self.bad)):
            if all(found[model][place] is None for model in Model):
                if place and not missing and self.bad.name == self.total.name:
                    missing = self._unknown_label(counted)
                    continue  # else a part of the calls that nobody had yet, as of one status
                missing = missing or str(selector)
        wait = self.counting_from - grid.start if self.counting_from else timedelta()
        first = -(-wait // grid.step)  # rounded up: the first step that lies wholly after it
        arms = {model: [_from(first, each, grid.steps) for each in found[model]] for model in Model}
        (champion_total, champion_bad), (total, bad) = arms[Model.CHAMPION], arms[Model.CHALLENGER]
        buckets = None
        if self.buckets:
            buckets = in_buckets(self.buckets, by_bucket, grid, first)
            if grid.spans and not buckets.calls.size:
                missing = missing or str(self.buckets.calls)
        bad_calls = None
        if self.bad_calls:
            mine = [each for each in counted if each.labels.get("model") == Model.CHALLENGER]
            bad_calls = _from(first, add_up(mine, self.bad_calls.fits), grid.steps)
        every = champion_total, champion_bad, total, bad
        return Counts(*every, buckets=buckets, challenger_bad_calls=bad_calls), missing

    def _unknown_label(self, counted: Iterable[Counted]) -> str | None:
        """Bad calls that can never be found, because no series of the calls has the label that tells them."""
        labels = {name for each in counted if self.total.fits(each.labels) for name in each.labels}
        unknown = next((each.label for each in self.bad.matchers if each.label not in labels), None)
        return f"{self.bad.name} with a label {unknown}" if unknown else None

    def _of_model(self, counted: Iterable[Counted], model: Model) -> tuple[Values | None, Values | None]:
        mine = [each for each in counted if each.labels.get("model") == model]
        total, bad = self.total, self.bad
        if self.edges is None:
            return add_up(mine, total.fits), add_up(mine, bad.fits)
        edge = self.edges.champion if model is Model.CHAMPION else self.edges.challenger
        every = add_up(mine, lambda labels: total.fits(labels) and labels.get("le") == ALL)
        fast = add_up(mine, lambda labels: total.fits(labels) and labels.get("le") == edge)
        return every, None if every is None or fast is None else np.maximum(every - fast, 0)


def in_buckets(counters: BucketCounters, counted: Sequence[Counted], grid: Grid, first: int = 0) -> Buckets:
    """The champion's calls and bad ones in each span and bucket; nothing before step `first`."""
    mine = [each for each in counted if each.labels.get("model") == Model.CHAMPION]
    names = sorted({each.labels[counters.label] for each in mine if counters.label in each.labels})
    by_name = {name: [each for each in mine if each.labels.get(counters.label) == name] for name in names}
    skipped = -(-first // grid.span_steps)

    def columns(selector: Selector) -> Values:
        added = [_from(skipped, add_up(each, selector.fits), grid.spans) for each in by_name.values()]
        return np.array(added).reshape(len(names), grid.spans).T

    return Buckets(grid.span_steps, columns(counters.calls), columns(counters.bad))


def _from(first: int, values: Values | None, steps: int) -> Values:
    """The counts from step `first` on; nothing where there is no series."""
    counts = np.zeros(steps)
    if values is not None:
        counts[first:] = values[first:]
    return counts


def selector(plans: Sequence[Question | SeriesPlan], arms: Arms) -> str:
    """PromQL for the raw counters of all `plans`, in one selector."""
    names = "|".join(sorted(set().union(*(plan.names for plan in plans))))
    # A series without the label has it empty, so that the first alternative lets plain counters through.
    edges = "".join(f"|{_escaped(each)}" for each in sorted(set().union(*(plan.les for plan in plans))))
    return f'{{__name__=~"{names}", {arms.selector}, {arms.both}, le=~"{edges}"}}'


def bucket_selector(plans: Sequence[Question | SeriesPlan], arms: Arms) -> str | None:
    """PromQL for the champion's raw counters by bucket; None where nobody wants them."""
    names = "|".join(sorted(set().union(*(plan.by_bucket for plan in plans))))
    return f'{{__name__=~"{names}", {arms.selector}, {arms.only(Model.CHAMPION)}}}' if names else None


def _escaped(text: str) -> str:
    """An edge as part of a regular expression inside a PromQL string."""
    return text.replace("+", "\\\\+").replace(".", "\\\\.")
