"""What sequential guardrails compare the challenger with: the champion, or a fixed share of bad calls."""

from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import Field

from common.e_process import Known, Values
from common.e_process import LateStart as Late
from common.figures import percent
from common.sequential import Counts, log_e, log_e_calls, log_e_limit
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

    def log_e(self, counts: Counts, late: Late | None, known: Known | None = None) -> Values:
        return log_e(
            self._sides(counts),
            effect=self.times,
            dispersion=self.dispersion,
            late=late,
            at_least=self.at_least,
            known=known,
        )

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
        # A share of calls: who counts users has fewer, so beyond it the calls are as well.
        return max(self._scaled(share), self.at_least or 0.0)

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

    def log_e(self, counts: Counts, late: Late | None, known: Known | None = None) -> Values:
        bad, total = counts.challenger_bad, counts.challenger_total
        return log_e_limit(bad, total, limit=self.limit, dispersion=self.dispersion, late=late, known=known)

    def allowed(self, counts: Counts) -> float:  # noqa: ARG002 - whatever was counted
        return self.limit

    def facts(self, counts: Counts, edges: Edges | None) -> str:
        return f"{self._told(counts, edges)[0]}, and {percent(self.limit)} are allowed"
