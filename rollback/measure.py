"""What a pass asks Prometheus, in as few requests as can be: six at most, whatever number of guardrails.

begin          its clock, whether the service is scraped, edges of histograms and the champion's times before
learn          the champion's times in the stage, where it was hardly called before (rare)
now            thresholds without a `for`, and the last readings of the counters
over the stage raw counters at each step, in one request or two
looking back   thresholds with a `for`
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from common.answers import MARK, Sample, Track, marked
from common.durations import format_duration, parse_duration
from common.names import Model
from common.prometheus import BadAnswer, NotScraped, Prometheus
from common.served import BLUR, Arms, Fleet, fleet, terms
from rollback.edges import FEWEST_CALLS, Buckets, calls
from rollback.guardrails import Policy
from rollback.kinds.sequential import TailLimit, TailRatio
from rollback.window import Grid

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
        marked(f"max(max_over_time({arms.of('up')}[{lately}]))", "up"),
        *terms(arms, age + BEFORE + BLUR),
    ]
    tails = [each for each in policy.sequential if isinstance(each, TailRatio | TailLimit)]
    for name in sorted({each.histogram for each in tails}):
        asked.append(marked(f"sum by (le) ({arms.of(f'{name}_bucket')})", f"known {name}"))
    for name in sorted({each.histogram for each in tails if isinstance(each, TailRatio)}):
        asked.append(marked(_champion(arms, name, format_duration(BEFORE), stage), f"before {name}"))
    samples = prometheus.vector(" or ".join(asked))
    found, seen = _by_mark(samples), fleet(samples)
    if "time" not in found:
        raise BadAnswer("Prometheus does not tell its time")
    _check_fresh(arms, found.get("up", {}).get(""), lately)
    seen.require_ours(arms)
    now = datetime.fromtimestamp(found["time"][""], UTC)
    # Another champion's times are no measure for this one's.
    left = seen.others_left((Model.CHAMPION,))
    same = left is None or left < now - age - BEFORE
    return Opening(now, known=_of(found, "known"), before=_of(found, "before") if same else {}, seen=seen)


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


def read_counters(prometheus: Prometheus, query: str, grid: Grid, last: Sequence[Sample]) -> list[Track]:
    """Raw counters at the beginning of the grid, after each whole step and, as `last` has them, now.

    Raises:
        PrometheusError: it could not be asked.
    """
    points = grid.whole + 1
    newest = {frozenset(sample.labels.items()): sample for sample in last}
    readings = []
    for series in prometheus.matrix(query, grid.start, grid.step, points):
        sample = newest.pop(frozenset(series.labels.items()), None)
        value = np.nan if sample is None else sample.value
        readings.append(Track(series.labels, np.append(series.values, value)))
    for sample in newest.values():
        readings.append(Track(sample.labels, np.append(np.full(points, np.nan), sample.value)))
    return readings


def modifier(began: datetime | timedelta) -> str:
    """Where a stage begins, in PromQL: at a moment, or so long ago."""
    if isinstance(began, timedelta):
        return f"offset {format_duration(began)}"
    return f"@ {began.timestamp():.3f}"


def _champion(arms: Arms, histogram: str, period: str, when: str) -> str:
    calls = arms.of(f"{histogram}_bucket", f'model="{Model.CHAMPION}"')
    return f"sum by (le) (increase({calls}[{period}] {when}))"


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
