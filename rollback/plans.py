"""Which series each sequential guardrail needs, by what a pass knows at its beginning. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from rollback.edges import FEWEST_CALLS, Buckets, calls, limit_edges, ratio_edges
from rollback.kinds.sequential import CounterLimit, CounterRatio, Form, TailLimit, TailRatio
from rollback.tally import Plan


class NotYet(Exception):  # noqa: N818 - no fault of anybody
    """There is no telling yet; the text says why."""


def cold(guardrails: Iterable[Form], before: Mapping[str, Buckets]) -> list[str]:
    """Histograms whose champion was called too little before the stage to know its times."""
    relative = {each.histogram for each in guardrails if isinstance(each, TailRatio)}
    return sorted(name for name in relative if calls(before.get(name, {})) < FEWEST_CALLS)


def plan(
    guardrail: Form,
    known: Mapping[str, Buckets],
    before: Mapping[str, Buckets],
    learnt: Mapping[str, tuple[Buckets, datetime]],
    start: datetime,
) -> Plan:
    """What `guardrail` needs.

    Args:
        guardrail: of any form.
        known: by histogram, its buckets now.
        before: by histogram, the champion's calls before the stage.
        learnt: by histogram, the champion's first calls in the stage and the moment after them, for those
            with too few calls before.
        start: when counting begins, unless a guardrail waits.

    Raises:
        NotYet: the champion's times are not known yet, or nobody has counted anything.
        ValueError: there is no such histogram, or no bucket fits.
    """
    if isinstance(guardrail, CounterRatio | CounterLimit):
        lag = guardrail.lag if isinstance(guardrail, CounterRatio) else None
        return Plan(guardrail, counting_from=start + lag if lag else None)
    if guardrail.histogram not in known:
        raise ValueError(f"Prometheus has no series of {guardrail.histogram}_bucket; is the name right?")
    if not calls(known[guardrail.histogram]):
        raise NotYet(f"nobody has been counted in {guardrail.histogram}_bucket yet")
    if isinstance(guardrail, TailLimit):
        return Plan(guardrail, limit_edges(guardrail, known[guardrail.histogram]))
    champion = before.get(guardrail.histogram, {})
    if calls(champion) >= FEWEST_CALLS:
        return Plan(guardrail, ratio_edges(guardrail, champion))
    if guardrail.histogram in learnt:
        champion, counting_from = learnt[guardrail.histogram]
        return Plan(guardrail, ratio_edges(guardrail, champion), counting_from)
    raise NotYet(f"how slow the champion is must be known first, from {FEWEST_CALLS:,} of its calls")
