"""A guardrail of kind `sequential` weighs bad calls as evidence, from the stage's beginning on.

It has one of four forms, told apart by their fields:

                            against the champion                    against a fixed limit
    counters                CounterRatio: bad, total, worse         CounterLimit: bad, total, limit
    buckets of a histogram  TailRatio: histogram, quantile, margin  TailLimit: histogram, slower_than, limit

Here is what they share: how a tally of calls becomes a verdict. against.py has the columns of this table,
counters.py and tails.py its rows; common/sequential.py has the statistics, docs/guardrails.md a longer
description of each field.

    breach          the evidence was at least log(1 / alpha) after some step since the stage began
    cannot measure  no breach, and a counter does not exist: what was never counted is not zero
    no data         no breach, and too few calls to call the challenger well
    ok              no breach on enough calls

The highest evidence of the stage counts: the chance that it is ever so high for an equal model is at most
alpha, so a breach that a pass has missed is one all the same.
"""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from math import log
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from common.durations import format_duration
from common.e_process import Known, Values
from common.e_process import LateStart as Late
from common.figures import count
from common.names import JobMetric
from common.sequential import Buckets, Counts, Numbers
from rollback.guardrails.edges import Edges
from rollback.guardrails.effect import Effect
from rollback.guardrails.kinds.base import Guardrail, kind
from rollback.guardrails.kinds.question import Answers, LateStart, Moment, Question, Terms
from rollback.guardrails.tally import SeriesPlan
from rollback.guardrails.verdict import Status, Verdict
from rollback.guardrails.warm_up import NOTHING, LeftOut, WarmUps
from rollback.guardrails.window import Grid, TooYoung
from rollback.simulate.detect import Sensor

STOPS_WITHIN = timedelta(minutes=1)  # the challenger, for users who are excluded, and a scrape more
ARMS = ("champion_total", "champion_bad", "challenger_total", "challenger_bad")


@kind
class Sequential(Guardrail):
    """What the four forms share."""

    relative: ClassVar[bool]
    """Whether the champion is the measure."""
    chart: ClassVar[tuple[str, JobMetric, JobMetric]] = ("test score", JobMetric.LOG_E, JobMetric.LOG_E_LIMIT)

    kind: Literal["sequential"]
    share_of_alpha: Annotated[float, Field(gt=0, le=1)]
    """The part of the policy's `alpha` that this guardrail may use up."""
    dispersion: Annotated[float, Field(ge=1, le=1000)] = 1.0
    """Variance of bad calls over that of independent ones, from a quiet time before the stage."""
    smallest_sample: Annotated[int, Field(ge=1)] = 100
    """With fewer calls of the challenger than this, and no breach, the verdict is "no data"."""

    @classmethod
    def form(cls, fields: Mapping[str, Any]) -> type[Guardrail]:
        from rollback.guardrails.kinds.counters import CounterLimit, CounterRatio  # noqa: PLC0415 - they are made of this
        from rollback.guardrails.kinds.tails import TailLimit, TailRatio  # noqa: PLC0415

        if "histogram" in fields:
            return TailLimit if fields.keys() & {"slower_than", "limit"} else TailRatio
        return CounterLimit if "limit" in fields else CounterRatio

    @property
    def spends(self) -> float:
        return self.share_of_alpha

    @property
    def value_unit(self) -> str:
        return "share"

    @property
    def fewest_calls(self) -> int:
        return self.smallest_sample

    def needed(self, alpha: float) -> float:
        """The log of e that is a breach, where the file has this alpha."""
        return -log(alpha * self.share_of_alpha)

    # What each form says for itself.

    def plan(self, moment: Moment, start: datetime) -> SeriesPlan:
        """Which series it needs, where counting begins at `start`.

        Raises:
            NotYet, ValueError: as `ask` does.
        """
        raise NotImplementedError

    def log_e(self, counts: Counts, late: Late | None, known: Known | None = None) -> Values:
        """The evidence after each step; `known`: what it came to before, which changes nothing."""
        raise NotImplementedError

    def allowed(self, counts: Counts) -> float | None:
        """The challenger's share of bad calls that is just allowed; None without calls of the champion."""
        raise NotImplementedError

    def facts(self, counts: Counts, edges: Edges | None) -> str:
        """What was counted, in words."""
        raise NotImplementedError

    def _told(self, counts: Counts, edges: Edges | None) -> tuple[str, str]:
        """The part of `facts` on the challenger, and that on the champion."""
        raise NotImplementedError

    @property
    def calls(self) -> str:
        """What calls are called in sentences."""
        return "calls"

    # Asking, judging, and judging again.

    def ask(self, moment: Moment) -> "Counting | TooYoung":
        if isinstance(moment.grid, TooYoung):
            return moment.grid
        plan = self.plan(moment, moment.grid.start)
        warm_ups = moment.warm_ups if self.but_warm_up else None
        kept_out = str(self.only_for) in moment.kept_out
        return Counting(self, moment.terms, moment.grid, plan, warm_ups, kept_out=kept_out)

    def judge_again(self, evidence: Mapping[str, Any]) -> Verdict:
        counts = [np.array(evidence["counts"][arm], dtype=np.float64) for arm in ARMS]
        edges, late, bad_calls = (evidence.get(part) for part in ("edges", "late_start", "bad_calls"))
        left_out, kept_out = evidence.get("warm_up"), evidence.get("kept_out_seconds")
        return Tally(
            guardrail=self,
            alpha=evidence["alpha"],
            late_start=late and LateStart.model_validate(late),
            query=evidence["query"],
            grid=Grid(
                start=datetime.fromisoformat(evidence["began"]),
                step=timedelta(seconds=evidence["step_seconds"]),
                whole=len(counts[0]) - 1,
                now=datetime.fromisoformat(evidence["until"]),
            ),
            edges=edges and Edges(str(edges["champion"]), str(edges["challenger"])),
            counts=Counts(
                *counts,
                buckets=_read_buckets(evidence.get("buckets")),
                challenger_bad_calls=None if bad_calls is None else np.array(bad_calls, dtype=np.float64),
            ),
            missing=evidence["missing"],
            left_out=LeftOut.read(left_out) if left_out else NOTHING,
            stops_within=None if kept_out is None else timedelta(seconds=kept_out),
        ).judge()

    def sensor(self, terms: Terms) -> Sensor:
        late = terms.late_start.weight if terms.late_start else 0.0
        return Sensor(terms.alpha * self.share_of_alpha, late, dispersion=self.dispersion)

    def first_breach(self, counts: Counts, needed: float, late: Late | None) -> int | None:
        """The first step after which the evidence was enough; for simulations, which want no more."""
        return first_at_least(needed, self.log_e(counts, late))

    def _weighed(self, terms: Terms) -> Callable[[Counts], int | None]:
        """The same for made-up traffic, but for the counts."""
        late = terms.late_start.in_steps(terms.step) if terms.late_start else None
        needed = self.needed(terms.alpha)
        return lambda counts: self.first_breach(counts, needed, late)


@dataclass(frozen=True)
class Counting(Question):
    """Raw counters over the stage."""

    guardrail: Sequential
    terms: Terms
    grid: Grid
    plan: SeriesPlan
    warm_ups: WarmUps | None = None
    kept_out: bool = False
    """Whether the flag keeps the users whom it is about with the champion."""

    @property
    def names(self) -> Set[str]:
        return self.plan.names

    @property
    def by_bucket(self) -> Set[str]:
        return self.plan.by_bucket

    @property
    def les(self) -> Set[str]:
        return self.plan.les

    def judge(self, answers: Answers) -> Verdict:
        counted = self.warm_ups.leave_out(answers.counted) if self.warm_ups else answers.counted
        counts, missing = self.plan.count(counted, self.grid, answers.by_bucket)
        return Tally(
            guardrail=self.guardrail,
            alpha=self.terms.alpha,
            late_start=self.terms.late_start,
            query=answers.query,
            grid=self.grid,
            edges=self.plan.edges,
            counts=counts,
            missing=missing,
            left_out=self.warm_ups.told if self.warm_ups else NOTHING,
            stops_within=STOPS_WITHIN + self.terms.scrape_interval if self.kept_out else None,
            known=answers.known.setdefault(self.guardrail.name, Known()),
        ).judge()


@dataclass(frozen=True)
class Tally:
    """All that a verdict on a sequential guardrail rests on."""

    guardrail: Sequential
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
    left_out: LeftOut = NOTHING
    """Of the counts, since the challenger was warming up."""
    stops_within: timedelta | None = None
    """Users who are excluded: how long after the stage's beginning the challenger may have calls of them."""
    known: Known | None = field(default=None, repr=False, compare=False)
    """What the evidence came to before, which changes nothing."""

    def log_e(self) -> Values:
        """The evidence after each step."""
        late = self.late_start.in_steps(self.grid.step) if self.late_start else None
        return self.guardrail.log_e(self.counts, late, self.known)

    def judge(self) -> Verdict:
        """The verdict. The evidence is worked out here, once a pass."""
        guardrail, counts = self.guardrail, self.counts
        log_es, needed = self.log_e(), guardrail.needed(self.alpha)
        calls = float(counts.challenger_total.sum())
        first = first_at_least(needed, log_es)
        breached_at = None if first is None else self.grid.end(first)
        told = ", ".join(filter(None, (guardrail.facts(counts, self.edges), str(self.left_out))))
        if self.stops_within is not None and not self.missing:
            breached_at = None
            status, sentence = self._kept_out(self.stops_within)
        elif breached_at is not None:
            status = Status.BREACH
            day = "" if breached_at.date() == self.grid.now.date() else "%d %B "
            at = breached_at.astimezone(UTC).strftime(f"{day}%H:%M UTC")
            sentence = f"{told}: test score {log_es.max():.1f}, threshold {needed:.1f}, breached at {at}"
        elif self.missing and "{" not in self.missing:  # with matchers, perhaps nothing was counted so far
            status = Status.CANNOT_MEASURE
            sentence = f"Prometheus has no series of {self.missing}; is the name right?"
        elif reason := self._too_little(calls):
            status, sentence = Status.NO_DATA, reason
        else:
            status, sentence = Status.OK, f"{told}: test score {log_es[-1] + 0.0:.1f}, threshold {needed:.1f}"
        return Verdict(
            guardrail=guardrail.name,
            status=status,
            action=guardrail.action,
            unit=guardrail.value_unit,
            segment=str(guardrail.only_for) if guardrail.only_for else None,
            fewer=guardrail.bad_is_wanted,
            limit=guardrail.allowed(counts),
            smallest_sample=guardrail.smallest_sample,
            sentence=sentence,
            value=float(counts.challenger_bad.sum()) / calls if calls else None,
            sample=calls,
            query=self.query,
            window=self.grid.now - self.grid.start,
            effect=Effect.of_counts(counts, guardrail.dispersion),
            log_e=float(log_es[-1]),
            log_e_needed=needed,
            breached_at=breached_at,
            path=log_es,
            left_out=self.left_out,
            rests_on=partial(self._evidence, log_es, needed, breached_at),
        )

    def _kept_out(self, within: timedelta) -> tuple[Status, str]:
        """Whether calls of users who are excluded stand still, as they must after a rollback."""
        first = -(-within // self.grid.step)  # rounded up: the first step that lies wholly after it
        late = self.counts.challenger_total[first:]
        told, allowed = f"{self.guardrail.only_for} keeps the champion", format_duration(within)
        if not late.size:
            return Status.NO_DATA, f"{told}; whether the challenger has stopped is seen after {allowed}"
        if late.sum():
            calls = f"{count(late.sum())} of its calls"
            return (
                Status.BREACH,
                f"{told}, and {calls} went to the challenger later than {allowed} after that",
            )
        return Status.OK, f"{told}: the challenger was seen to stop within {allowed}"

    def _too_little(self, calls: float) -> str | None:
        """Why no breach does not mean that the challenger is well."""
        guardrail, smallest = self.guardrail, self.guardrail.smallest_sample
        if self.missing:
            return f"Prometheus has no series of {self.missing}; is the name right?"
        if calls < smallest:
            told = f"only {count(calls)} {guardrail.calls} of the challenger in this stage"
            return "; ".join(filter(None, (f"{told}, and {smallest} are needed", str(self.left_out))))
        if guardrail.relative and self.counts.champion_total.sum() < 1:
            return "the champion has no calls in this stage, so there is nothing to compare with"
        return None

    def _evidence(self, log_es: Values, needed: float, breached_at: datetime | None) -> dict[str, Any]:
        edges, late, bad_calls = self.edges, self.late_start, self.counts.challenger_bad_calls
        return {
            "kind": "sequential",
            "guardrail": self.guardrail.as_written(),
            "query": self.query,
            "began": self.grid.start.isoformat(),
            "until": self.grid.now.isoformat(),
            "step_seconds": self.grid.step.total_seconds(),
            "last_step_seconds": self.grid.last.total_seconds(),
            "edges": edges and {"champion": float(edges.champion), "challenger": float(edges.challenger)},
            "buckets": _written_buckets(self.counts.buckets),
            "bad_calls": None if bad_calls is None else _whole(bad_calls),
            "counts": {arm: _whole(each) for arm, each in zip(ARMS, self.counts.arms, strict=True)},
            "missing": self.missing,
            "warm_up": self.left_out.as_evidence,
            "kept_out_seconds": self.stops_within and self.stops_within.total_seconds(),
            "alpha": self.alpha,
            "late_start": late and late.model_dump(mode="json"),
            "log_e": float(log_es[-1]),
            "log_e_highest": float(log_es.max()),
            "limit": needed,
            "breached_at": breached_at.isoformat() if breached_at else None,
        }


def first_at_least(needed: float, evidence: Values) -> int | None:
    """The first step after which the evidence was enough."""
    beyond = evidence >= needed
    return int(beyond.argmax()) if beyond.any() else None


def bad_of_all(counts: Counts) -> tuple[str, str]:
    """`3 of 100` of the challenger, and of the champion."""
    mine = f"{count(counts.challenger_bad.sum())} of {count(counts.challenger_total.sum())}"
    theirs = f"{count(counts.champion_bad.sum())} of {count(counts.champion_total.sum())}"
    return mine, theirs


def _written_buckets(buckets: Buckets | None) -> dict[str, Any] | None:
    """Counts by bucket as JSON has them: a list for each span that is over."""
    if buckets is None:
        return None
    calls, bad = ([_whole(span) for span in each] for each in (buckets.calls, buckets.bad))
    return {"every": buckets.every, "calls": calls, "bad": bad}


def _read_buckets(written: Mapping[str, Any] | None) -> Buckets | None:
    """The same from evidence; older evidence has none."""
    if written is None:
        return None
    spans = len(written["calls"])
    width = len(written["calls"][0]) if spans else 0
    shaped = (np.array(written[part], dtype=np.float64).reshape(spans, width) for part in ("calls", "bad"))
    return Buckets(written["every"], *shaped)


def _whole(values: Numbers) -> list[float | int]:
    """Counts, which are whole numbers but for counters that count fractions."""
    return [int(value) if float(value).is_integer() else value for value in values.tolist()]
