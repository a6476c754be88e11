"""What sequential guardrails compare the challenger with: the champion, or a fixed share of bad calls."""

from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import Field

from common.figures import percent
from common.sequential import Counts, Numbers, Values, log_e, log_e_calls, log_e_limit
from common.sequential import LateStart as Late
from rollback.guardrails.edges import Edges
from rollback.guardrails.kinds.question import Terms
from rollback.guardrails.kinds.sequential import Sequential
from rollback.simulate.detect import Sensor

Limit = Annotated[float, Field(gt=0, lt=0.9)]


class Relative(Sequential):
    """The champion is the measure."""

    relative = True

    at_least: Limit | None = None
    """Up to this share of bad calls the challenger is well, however few the champion has."""

    @property
    def times(self) -> float:
        """How many times the champion's share of bad calls is allowed, or the challenger's of good ones."""
        return 1.0

    def log_e(self, counts: Counts, late: Late | None) -> Values:
        relative = log_e(self._sides(counts), effect=self.times, dispersion=self.dispersion, late=late)
        if self.at_least is None:
            return relative
        # The smaller of two e-processes is one against "one of the two is within its limit", so alpha is not
        # split.
        # A user counts once in ten minutes, however many calls fail; whether that matters, the calls tell.
        bad = counts.challenger_bad_calls if counts.buckets else None
        return np.minimum(relative, _absolute(self, counts, self.at_least, late, bad))

    def first_breach(self, counts: Counts, needed: float, late: Late | None) -> int | None:
        # The evidence is the smallest of several; nearly always this one is low enough to know. That of users
        # is at most log(1 + e).
        by_calls = log_e_calls(self._sides(counts), effect=self.times, dispersion=self.dispersion, late=late)
        highest = by_calls.max() if counts.buckets is None else np.logaddexp(0, by_calls.max())
        return None if highest < needed else super().first_breach(counts, needed, late)

    def sensor(self, terms: Terms) -> Sensor:
        return replace(super().sensor(terms), at_least=self.at_least)

    def allowed(self, counts: Counts) -> float | None:
        champion_calls = float(counts.champion_total.sum())
        if not champion_calls:
            return None
        share = float(counts.champion_bad.sum()) / champion_calls
        tolerated = 0.0 if counts.buckets else self.at_least or 0.0  # that is a share of calls
        return max(self._scaled(share), tolerated)

    def facts(self, counts: Counts, edges: Edges | None) -> str:
        told, theirs = self._told(counts, edges)
        if self.times != 1:
            theirs += f", and {self.times:g} times its share is allowed"
        if self.at_least is not None:
            of_calls = " of all calls" if counts.buckets else ""
            theirs += f", and up to {percent(self.at_least)}{of_calls} is tolerated"
        return f"{told}, {theirs}"

    def _sides(self, counts: Counts) -> Counts:
        return counts

    def _scaled(self, share: float) -> float:
        return share * self.times


class Absolute(Sequential):
    """A fixed limit is the measure."""

    relative = False

    limit: Limit
    """The share of bad calls that is allowed."""

    @property
    def fixed_limit(self) -> float:
        return self.limit

    def log_e(self, counts: Counts, late: Late | None) -> Values:
        return _absolute(self, counts, self.limit, late)

    def allowed(self, counts: Counts) -> float:  # noqa: ARG002 - whatever was counted
        return self.limit

    def facts(self, counts: Counts, edges: Edges | None) -> str:
        return f"{self._told(counts, edges)[0]}, and {percent(self.limit)} are allowed"


def _absolute(
    guardrail: Sequential, counts: Counts, limit: float, late: Late | None, bad: Numbers | None = None
) -> Values:
    """Evidence that the challenger's share of bad calls is more than `limit`; `bad`: other than counted."""
    found, total = counts.challenger_bad if bad is None else bad, counts.challenger_total
    return log_e_limit(found, total, limit=limit, dispersion=guardrail.dispersion, late=late)
