"""Rollouts over history: the counts of a stage, weighed by the job's own functions. Pure.

Sequential guardrails go through the job's own plan, tally and evidence. Thresholds ask in PromQL, which knows
nothing of calls that never were, so those by default are worked out from the same counts, as `simulate` does;
others are left out, and named.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from common.durations import parse_duration
from common.names import Metric, Model
from rollback.backtest.change import ERRORS, LATENCY, Dice, Injection, more_bad, pretend, slower
from rollback.backtest.families import Family, histogram, pair
from rollback.backtest.history import BEFORE, History
from rollback.counts import Counted, Values
from rollback.edges import FEWEST_CALLS, Buckets, calls
from rollback.guardrails import Action, Guardrail, Policy, Threshold
from rollback.kinds.sequential import CounterRatio, Counters, Form, Tail, Worse
from rollback.measure import LEARNING
from rollback.plans import NotYet, plan
from rollback.simulate.policy import rules_of
from rollback.simulate.traffic import Arm, Behaviour, Traffic
from rollback.tally import Tally
from rollback.weigh import evidence_needed, path, weigh
from rollback.window import Grid

Families = Mapping[str, Family]
"""By histogram, or by `bad / total`."""
_ANY = Behaviour(0.02, 0.6, 0.01)  # thresholds look at counts only, whatever the model


@dataclass(frozen=True)
class Trail:
    """One guardrail over one rollout."""

    guardrail: str
    action: Action
    breach: int | None
    """The first step at which it was breached."""
    sentence: str
    """The verdict at the breach, or at the end; of a threshold nothing."""
    log_e: Values | None = None
    """After each step; None for thresholds."""
    needed: float | None = None


@dataclass(frozen=True)
class Rollout:
    """One stage, as it was or as it was made."""

    start: datetime
    step: timedelta
    share: float
    """Of the calls that the challenger had."""
    calls: int
    """Of the challenger."""
    trails: tuple[Trail, ...]
    unjudged: Mapping[str, str]
    """Guardrails without a verdict, and why."""

    @property
    def first(self) -> Trail | None:
        """The breach that would have taken the challenger away."""
        breached = [
            trail for trail in self.trails if trail.breach is not None and trail.action is Action.ROLLBACK
        ]
        return min(breached, key=lambda trail: trail.breach or 0, default=None)

    def moment(self, step: int) -> datetime:
        """The end of a step."""
        return self.start + (step + 1) * self.step


@dataclass(frozen=True)
class Recipe:
    """What is made of history."""

    pretended: float | None
    """The share of a pretended canary; None for the real one."""
    injections: tuple[Injection, ...] = ()
    after: int = 0
    """Steps from the beginning of the stage to the regression."""


def families(policy: Policy, history: History) -> dict[str, Family]:
    """All that the guardrails count, and what thresholds by default look at."""
    found: dict[str, Family | None] = {
        each.histogram: histogram(history.counted, each.histogram)
        for each in policy.sequential
        if isinstance(each, Tail)
    }
    found.setdefault(Metric.LATENCY, histogram(history.counted, Metric.LATENCY))
    for each in policy.sequential:
        if isinstance(each, Counters):
            found[_key(each)] = pair(history.counted, each.bad, each.total)
    return {key: family for key, family in found.items() if family is not None}


def play(  # noqa: PLR0913, PLR0917 - each of another kind
    policy: Policy, history: History, every: Families, steps: range, recipe: Recipe, dice: Dice
) -> Rollout:
    """One stage: these steps of the history."""
    first, end = steps.start, steps.stop
    start = history.start + first * history.step
    grid = Grid(start, history.step, end - first - 1, start + (end - first) * history.step)
    before = first - min(BEFORE // history.step, first)
    made = {
        key: _made(policy, key, family.between(first, end), recipe, dice) for key, family in every.items()
    }
    past = {key: family.between(before, first) for key, family in every.items()}
    trails, unjudged = [], {}
    for guardrail in policy.guardrails:
        try:
            trails.append(
                _threshold(policy, guardrail, made)
                if isinstance(guardrail, Threshold)
                else _sequential(policy, guardrail, made, past, grid, history.query)
            )
        except (NotYet, ValueError) as reason:
            unjudged[guardrail.name] = str(reason)
    known = [family for key, family in made.items() if "/" not in key] or list(made.values())
    mine, theirs = (int(known[0].calls(model).sum()) for model in (Model.CHALLENGER, Model.CHAMPION))
    share = mine / (mine + theirs) if mine else 0.0
    return Rollout(start, history.step, share, mine, tuple(trails), unjudged)


def _made(policy: Policy, key: str, family: Family, recipe: Recipe, dice: Dice) -> Family:
    if recipe.pretended is not None:
        family = pretend(family, recipe.pretended, dice)
    for injection in recipe.injections:
        if "/" not in key:
            family = slower(family, injection, recipe.after, dice) if injection.what == LATENCY else family
        elif key in keys_of(policy, injection):
            family = more_bad(family, injection, recipe.after, dice)
    return family


def keys_of(policy: Policy, injection: Injection) -> set[str]:
    """Families of counters that a regression changes."""
    return {
        _key(each)
        for each in policy.sequential
        if isinstance(each, Counters)
        and (each.name == injection.what or (injection.what == ERRORS and not _counts_good(each)))
    }


def _counts_good(guardrail: Counters) -> bool:
    """Whether what it counts as bad is what one wants, and fewer are worse."""
    return isinstance(guardrail, CounterRatio) and guardrail.worse is Worse.FEWER


def _sequential(  # noqa: PLR0913, PLR0917 - each of another kind
    policy: Policy, guardrail: Form, made: Families, past: Families, grid: Grid, query: str
) -> Trail:
    key = _key(guardrail) if isinstance(guardrail, Counters) else guardrail.histogram
    if key not in made:
        raise NotYet(f"Prometheus has no series of {key}")
    known, before, learnt = {}, {}, {}
    if isinstance(guardrail, Tail):
        known = {key: _buckets(made[key].counted(), (Model.CHAMPION, Model.CHALLENGER))}
        before = {key: _buckets(past[key].counted())}
        if calls(before[key]) < FEWEST_CALLS:
            learnt = _learnt(key, made[key], grid)
    planned = plan(guardrail, known, before, learnt, grid.start)
    counts, missing = planned.count(made[key].counted(), grid)
    tally = Tally(guardrail, policy.alpha, policy.late_start, query, grid, planned.edges, counts, missing)
    log_e, needed = path(tally), evidence_needed(tally)
    beyond = np.flatnonzero(log_e >= needed)
    breach = int(beyond[0]) if len(beyond) else None
    return Trail(guardrail.name, guardrail.action, breach, weigh(tally).sentence, log_e, needed)


def _threshold(policy: Policy, guardrail: Threshold, made: Families) -> Trail:
    rolling = guardrail.model_copy(update={"action": Action.ROLLBACK})  # others are not played
    alone = policy.model_copy(update={"guardrails": (rolling,)})
    rules, left_out = rules_of(alone, _ANY)
    if left_out:
        raise NotYet("its PromQL cannot be worked out from counts")
    traffic = _traffic(guardrail, made)
    return Trail(guardrail.name, guardrail.action, rules[0].judge(traffic), "")


def _traffic(guardrail: Guardrail, made: Families) -> Traffic:
    """What the rules of `simulate` look at; errors are counted over all calls, latencies over those timed."""
    errors = isinstance(guardrail, Threshold) and Metric.ERRORS in guardrail.value
    key = f"{Metric.ERRORS}/{Metric.CALLS}" if errors else Metric.LATENCY.value
    if key not in made:
        raise NotYet(f"Prometheus has no series of {key}")
    family = made[key]
    arms = []
    for model in (Model.CHAMPION, Model.CHALLENGER):
        groups = family.groups[model]
        total = groups.sum(axis=1)
        if errors:
            arms.append(Arm(total, groups[:, 0], np.zeros((len(total), 1), dtype=np.int64)))
        else:
            slow = total[:, None] - groups[:, :-1].cumsum(axis=1)
            arms.append(Arm(total, np.zeros_like(total), slow))
    edges = [1.0] if errors else [float(labels["le"]) for labels in family.labels[:-1]]
    return Traffic(arms[0], arms[1], np.array(edges))


def _learnt(key: str, family: Family, grid: Grid) -> dict[str, tuple[Buckets, datetime]]:
    """The champion's first calls in the stage, as a pass learns them."""
    for period in LEARNING:
        steps = parse_duration(period) // grid.step
        if steps <= grid.steps:
            buckets = _buckets(family.between(0, steps).counted())
            if calls(buckets) >= FEWEST_CALLS:
                return {key: (buckets, grid.start + parse_duration(period))}
    return {}


def _buckets(counted: Iterable[Counted], models: tuple[str, ...] = (Model.CHAMPION,)) -> Buckets:
    """Calls of these models by the label `le`."""
    found: dict[str, float] = {}
    for each in counted:
        if each.labels["model"] in models:
            le = each.labels["le"]
            found[le] = found.get(le, 0.0) + float(each.steps.sum())
    return found


def _key(guardrail: Counters) -> str:
    return f"{guardrail.bad}/{guardrail.total}"
