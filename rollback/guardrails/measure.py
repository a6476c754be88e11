"""What a pass asks Prometheus, in as few requests as can be: eight at most, whatever number of guardrails.

begin          its clock, whether the service is scraped, edges of histograms and the champion's times before
starts         when the challenger was started, at each step of the stage; only what is new
learn          the champion's times in the stage, where it was hardly called before (rare)
now            thresholds without a `for`, and the last readings of the counters
over the stage raw counters at each step, in one request or two; those by bucket in another; of a stage that
               was read before only what is new
looking back   thresholds with a `for`
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from common.answers import MARK, Sample, Track, marked
from common.arms import Arms
from common.durations import format_duration, parse_duration
from common.names import Model
from common.prometheus import BadAnswer, NotScraped, Prometheus
from common.served import BLUR, Fleet, fleet, terms
from rollback.guardrails.edges import FEWEST_CALLS, Buckets, calls
from rollback.guardrails.file import Policy
from rollback.guardrails.kinds.base import Guardrail
from rollback.guardrails.past import Past
from rollback.guardrails.warm_up import starts_query
from rollback.guardrails.window import Grid

FRESH_SCRAPES = 6
BEFORE = timedelta(hours=1)  # of the champion's calls before the stage
LEARNING = ("30s", "1m", "2m", "5m", "15m", "1h", "6h")  # of its calls in the stage, where those are too few


@dataclass(frozen=True)
class Opening:
    """What a pass knows before it judges."""

    now: datetime
    """By the clock of Prometheus, which stamps the samples: windows are counted from it, not from ours."""
    known: Mapping[str, Buckets]
    """By histogram: its buckets now, of both models; only their edges mean something."""
    before: Mapping[str, Buckets]
    """By histogram: the champion's calls in the hour before the stage."""
    seen: Fleet
    """The service, and the models that were seen since an hour before the stage."""
    whole: frozenset[str] = frozenset()
    """Histograms that are there as one series without buckets: native ones, and summaries."""
    started: Mapping[str, float] = field(default_factory=dict)
    """When each instance's challenger was started, in Unix seconds."""
    unseen: str | None = None
    """Which arm no call has been counted under, and which values the label has instead."""


def begin(prometheus: Prometheus, policy: Policy, arms: Arms, began: datetime | timedelta) -> Opening:
    """Begin a pass, and see that the numbers of Prometheus speak of the service of today.

    Without this, a service that nobody scrapes would look like one that nobody calls, and for five minutes
    like one that is well. One failed scrape is nothing: a service in trouble is slow to answer these as well.

    Args:
        prometheus: whom to ask.
        policy: what the pass is to judge.
        arms: whose numbers are meant.
        began: when the stage began, or how long ago.

    Raises:
        NotScraped: no scrape has succeeded lately.
        OtherRollout: the series are not, or not only, those of this rollout.
        PrometheusError: it could not be asked.
    """
    lately, stage = format_duration(FRESH_SCRAPES * policy.scrape_interval), modifier(began)
    age = began if isinstance(began, timedelta) else max(datetime.now(UTC) - began, timedelta())
    asked = [
        marked("vector(time())", "time"),
        marked(_heard(arms, lately), "up"),
        *terms(arms, age + BEFORE + BLUR),
        marked(f"count by ({arms.label}) ({arms.of(arms.signals.calls)})", "arms"),
    ]
    if policy.leaves_out and (starts := starts_query(arms)):
        asked.append(marked(starts, "started"))
    for name in sorted({name for each in policy.guardrails for name in each.edges_of}):
        asked.append(marked(f"sum by (le) ({arms.of(f'{name}_bucket')})", f"known {name}"))
        asked.append(marked(f"count({arms.of(name)})", f"whole {name}"))
    for name in sorted({name for each in policy.guardrails for name in each.champion_of}):
        asked.append(marked(_champion(arms, name, format_duration(BEFORE), stage), f"before {name}"))
    samples = prometheus.vector(" or ".join(asked))
    found, seen = _by_mark(samples), fleet(samples, arms)
    if "time" not in found:
        raise BadAnswer("Prometheus does not tell its time")
    _check_fresh(arms, found.get("up", {}).get(""), lately)
    seen.require_ours(arms)
    now = datetime.fromtimestamp(found["time"][""], UTC)
    # Another champion's times are no measure for this one's.
    left = seen.others_left((Model.CHAMPION,))
    same = left is None or left < now - age - BEFORE
    values = {one.labels.get(arms.label, "") for one in samples if one.labels.get(MARK) == "arms"}
    return Opening(
        now,
        known=_of(found, "known"),
        before=_of(found, "before") if same else {},
        seen=seen,
        started={
            one.labels.get("instance", ""): one.value for one in samples if one.labels.get(MARK) == "started"
        },
        unseen=arms.unseen(values),
        whole=frozenset(_of(found, "whole")),
    )


def cold(guardrails: Iterable[Guardrail], before: Mapping[str, Buckets]) -> list[str]:
    """Histograms whose champion was called too little before the stage to know its times."""
    names = {name for each in guardrails for name in each.champion_of}
    return sorted(name for name in names if calls(before.get(name, {})) < FEWEST_CALLS)


def learn(
    prometheus: Prometheus, arms: Arms, histograms: Iterable[str], start: datetime, now: datetime
) -> dict[str, tuple[Buckets, datetime]]:
    """The champion's first calls in the stage: those of the shortest time in which they were enough.

    What is past stays as it is, so each pass learns the same.

    Returns:
        by histogram the calls, and the moment after the last of them; nothing where there are too few yet.
    """
    ends = {period: start + parse_duration(period) for period in LEARNING}
    asked = [
        marked(_champion(arms, name, period, f"@ {end.timestamp():.3f}"), f"{period} {name}")
        for name in histograms
        for period, end in ends.items()
        if end <= now
    ]
    found = _by_mark(prometheus.vector(" or ".join(asked), now)) if asked else {}
    learnt: dict[str, tuple[Buckets, datetime]] = {}
    for period, end in ends.items():
        for name, buckets in _of(found, period).items():
            if name not in learnt and calls(buckets) >= FEWEST_CALLS:
                learnt[name] = buckets, end
    return learnt


def read_counters(
    prometheus: Prometheus, query: str, grid: Grid, last: Sequence[Sample], past: Past | None = None
) -> list[Track]:
    """Raw counters at the beginning of the grid, after each whole step and, as `last` has them, now.

    `past`: what was read before.

    Raises:
        PrometheusError: it could not be asked.
    """
    points = grid.whole + 1
    newest = {frozenset(sample.labels.items()): sample for sample in last}
    readings = []
    for series in (past or Past()).matrix(prometheus, query, grid.start, grid.step, points):
        sample = newest.pop(frozenset(series.labels.items()), None)
        value = np.nan if sample is None else sample.value
        readings.append(Track(series.labels, np.append(series.values, value)))
    for sample in newest.values():
        readings.append(Track(sample.labels, np.append(np.full(points, np.nan), sample.value)))
    return readings


def read_buckets(prometheus: Prometheus, query: str, grid: Grid, past: Past | None = None) -> list[Track]:
    """Raw counters by bucket at the beginning of the grid, and after each of its spans that is over.

    `past`: what was read before.

    Raises:
        PrometheusError: it could not be asked.
    """
    if not grid.spans:
        return []
    span = grid.span_steps * grid.step
    return (past or Past()).matrix(prometheus, query, grid.start, span, grid.spans + 1)


def modifier(began: datetime | timedelta) -> str:
    """Where a stage begins, in PromQL: at a moment, or so long ago."""
    if isinstance(began, timedelta):
        return f"offset {format_duration(began)}"
    return f"@ {began.timestamp():.3f}"


def _champion(arms: Arms, histogram: str, period: str, when: str) -> str:
    calls = arms.of(f"{histogram}_bucket", arms.only(Model.CHAMPION))
    return f"sum by (le) (increase({calls}[{period}] {when}))"


def _heard(arms: Arms, lately: str) -> str:
    """Whether some scrape succeeded lately: 1, or 0 where all failed; nothing where there was none."""
    if arms.signals.up:
        return f"max(max_over_time({arms.of(arms.signals.up)}[{lately}]))"
    return f"max(count_over_time({arms.of(arms.signals.calls)}[{lately}]) > bool 0)"


def _by_mark(samples: Iterable[Sample]) -> dict[str, dict[str, float]]:
    """By mark and then by the label `le`, which is empty where there is none."""
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for sample in samples:
        found[sample.labels.get(MARK, "")][sample.labels.get("le", "")] = sample.value
    return found


def _of(found: Mapping[str, Buckets], part: str) -> dict[str, Buckets]:
    """Those marked `part <histogram>`, by histogram."""
    split = ((mark.partition(" "), buckets) for mark, buckets in found.items())
    return {name: buckets for (first, _, name), buckets in split if first == part}


def _check_fresh(arms: Arms, best: float | None, lately: str) -> None:
    if best is None:
        raise NotScraped(f"Prometheus has not scraped {arms.selector} for {lately}: see its page /targets")
    if best < 1:
        raise NotScraped(f"every scrape of {arms.selector} has failed for {lately}: is the service up?")
