"""From guardrails.yaml to rules that the simulation can play."""

import re
from datetime import timedelta
from functools import partial
from math import log

import numpy as np

from common.names import Metric
from common.sequential import Counts, LateStart, log_e, log_e_calls, log_e_limit
from rollback.guardrails import Action, Direction, Policy, Threshold
from rollback.kinds.sequential import CounterLimit, CounterRatio, Form, TailLimit, TailRatio, Worse
from rollback.simulate.readings import quantile, share_of
from rollback.simulate.rules import Compared, Judge, Rule, fewer_calls, first_at_least, p_ratio, slow
from rollback.simulate.traffic import EDGES, Behaviour, Counted, Traffic, Values
from rollback.tail import tail_edges

_P = (
    r"histogram_quantile\((?P<{0}>0?\.\d+),sumby\(le\)\(rate\(latency_seconds_bucket"
    r'\{{(?:job="service"|\{{selector\}}),model="\{{{0}\}}"\}}\[\{{window\}}\]\)\)\)'
)
_COUNT = (
    r'sum\(increase\({}\{{(?:job="service"|\{{selector\}}),model="\{{challenger\}}"\}}\[\{{window\}}\]\)\)'
)
_QUANTILE = re.compile(_P.format("challenger"))
_RATIO = re.compile(
    _P.format("challenger") + r"/(?:clamp_min\()?" + _P.format("champion") + r"(?:,(?P<least>[\d.]+)\))?"
)
_ERRORS = re.compile(_COUNT.format(Metric.ERRORS) + "/" + _COUNT.format(Metric.CALLS))


class CannotPlayError(Exception):
    """A guardrail asks for something that synthetic traffic does not have."""


def rules_of(policy: Policy, champion: Behaviour) -> tuple[tuple[Rule, ...], tuple[str, ...]]:
    """The guardrails of `policy` that roll back, as rules, and the names of those that cannot be played.

    Args:
        champion: its p99 before the stage chooses the edges for slow calls. The true one is taken: an hour
            of calls at 50 a second tells it to within half a percent.
    """
    rules, left_out = [], []
    for guardrail in policy.guardrails:
        if guardrail.action is not Action.ROLLBACK:
            continue
        try:
            judge = (
                _threshold(guardrail, policy.step)
                if isinstance(guardrail, Threshold)
                else _sequential(guardrail, policy, champion)
            )
        except CannotPlayError:
            left_out.append(guardrail.name)
        else:
            rules.append(Rule(guardrail.name, judge))
    return tuple(rules), tuple(left_out)


def edges_of(policy: Policy, champion: Behaviour) -> tuple[float, ...]:
    """Edges of buckets that sequential guardrails count at."""
    edges: set[float] = set()
    for guardrail in policy.sequential:
        if isinstance(guardrail, TailRatio):
            edges.update(_ratio_edges(guardrail, champion))
        elif isinstance(guardrail, TailLimit):
            edges.add(_limit_edge(guardrail))
    return tuple(sorted(edges))


def _ratio_edges(guardrail: TailRatio, champion: Behaviour) -> tuple[float, float]:
    floor = guardrail.floor.total_seconds() if guardrail.floor else 0.0
    before = champion.quantile(guardrail.quantile)
    return tail_edges(EDGES.tolist(), before, margin=guardrail.margin, floor=floor)


def _limit_edge(guardrail: TailLimit) -> float:
    return float(EDGES[np.searchsorted(EDGES, guardrail.slower_than.total_seconds())])


def _sequential(guardrail: Form, policy: Policy, champion: Behaviour) -> Judge:
    counts = _counts(guardrail, champion)
    late = _late_start(policy)

    needed = -log(policy.alpha * guardrail.share_of_alpha)

    def judge(traffic: Traffic) -> int | None:
        counted = counts(traffic)
        if isinstance(guardrail, CounterLimit | TailLimit):
            return first_at_least(needed, _limit(counted, guardrail.limit))
        effect = guardrail.effect if isinstance(guardrail, CounterRatio) else 1.0
        # The job takes the smallest of three; nearly always this one is low enough to know.
        evidence = log_e_calls(counted, effect=effect, dispersion=guardrail.dispersion, late=late)
        if evidence.max() < needed:
            return None
        evidence = log_e(counted, effect=effect, dispersion=guardrail.dispersion, late=late)
        if guardrail.at_least is not None:
            evidence = np.minimum(evidence, _limit(counted, guardrail.at_least))
        return first_at_least(needed, evidence)

    def _limit(counted: Counts, limit: float) -> Values:
        bad, total = counted.challenger_bad, counted.challenger_total
        return log_e_limit(bad, total, limit=limit, dispersion=guardrail.dispersion, late=late)

    return judge


def _late_start(policy: Policy) -> LateStart | None:
    late = policy.late_start
    return LateStart(late.every // policy.step, late.starts, late.weight) if late else None


def _counts(guardrail: Form, champion: Behaviour) -> partial[Counts]:
    if isinstance(guardrail, TailRatio | TailLimit):
        if guardrail.histogram != Metric.LATENCY:
            raise CannotPlayError
        if isinstance(guardrail, TailRatio):
            mine, theirs = reversed(_ratio_edges(guardrail, champion))
        else:
            mine = theirs = _limit_edge(guardrail)
        return partial(_slow_calls, theirs, mine)
    if (str(guardrail.bad), str(guardrail.total)) != (Metric.ERRORS, Metric.CALLS):
        raise CannotPlayError
    if isinstance(guardrail, CounterRatio) and guardrail.worse is Worse.FEWER:
        raise CannotPlayError
    return partial(_failed_calls)


def _slow_calls(champion_edge: float, challenger_edge: float, traffic: Traffic) -> Counts:
    champion, challenger = traffic.champion, traffic.challenger
    return Counts(
        champion.calls,
        slow(champion, traffic.edges, champion_edge),
        challenger.calls,
        slow(challenger, traffic.edges, challenger_edge),
    )


def _failed_calls(traffic: Traffic) -> Counts:
    champion, challenger = traffic.champion, traffic.challenger
    return Counts(champion.calls, champion.errors, challenger.calls, challenger.errors)


def _threshold(guardrail: Threshold, step: timedelta) -> Judge:
    window = guardrail.window // step
    query = "".join(guardrail.value.split())
    smaller = "".join(guardrail.sample.split()).startswith("min(")

    def sample(traffic: Traffic) -> Counted:
        return fewer_calls(traffic, window, both=smaller)

    return Compared(
        value=_value(query, window),
        sample=sample,
        limit=guardrail.limit,
        above=guardrail.direction is Direction.ABOVE,
        smallest_sample=guardrail.smallest_sample,
        looks=1 + (guardrail.hold or timedelta()) // step,
    )


def _value(query: str, window: int) -> partial[Values]:
    if found := _QUANTILE.fullmatch(query):
        return partial(_quantile, float(found["challenger"]), window)
    found = _RATIO.fullmatch(query)
    if found and found["challenger"] == found["champion"]:
        return partial(p_ratio, float(found["challenger"]), window, float(found["least"] or 0))
    if _ERRORS.fullmatch(query):
        return partial(_errors, window)
    raise CannotPlayError


def _quantile(share: float, window: int, traffic: Traffic) -> Values:
    return quantile(share, traffic.challenger, traffic.edges, window)


def _errors(window: int, traffic: Traffic) -> Values:
    return share_of(traffic.challenger.errors, traffic.challenger.calls, window)
