"""Rollouts over history: the counts of a stage, weighed by the job's own functions. Pure.

Sequential guardrails go through the job's own plan, tally and evidence. Thresholds ask in PromQL, which knows
nothing of calls that never were, so those by default are worked out from the same counts, as `simulate` does;
others are left out, and named.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from common.arms import Arms
from common.durations import parse_duration
from common.names import Metric, Model
from rollback.backtest.change import ERRORS, LATENCY, Dice, Injection, more_bad, pretend, slower
from rollback.backtest.history import BEFORE, Family, History, family_of, histogram, key_of
from rollback.guardrails.counts import Counted, Values
from rollback.guardrails.edges import FEWEST_CALLS, Buckets, calls
from rollback.guardrails.file import Policy
from rollback.guardrails.kinds.base import Guardrail
from rollback.guardrails.kinds.question import Answers, Moment, NotYet
from rollback.guardrails.kinds.sequential import first_at_least
from rollback.guardrails.measure import LEARNING
from rollback.guardrails.verdict import Action
from rollback.guardrails.window import Grid, TooYoung
from rollback.simulate.traffic import Arm, Behaviour, Traffic

Families = Mapping[str, Family]
"""By histogram, or by `bad / total`."""
NOBODY = Arms("", "")  # counts are made up: nobody is asked
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
    found: dict[str, Family | None] = {}
    for each in policy.guardrails:
        if (key := key_of(each)) and key not in found:
            found[key] = family_of(each, history.counted)
    if Metric.LATENCY not in found:
        found[Metric.LATENCY] = histogram(history.counted, Metric.LATENCY)
    # Histograms first, in whatever order the file has them: dice are thrown in this order.
    in_order = sorted(found.items(), key=lambda one: "/" in one[0])
    return {key: family for key, family in in_order if family is not None}


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
                _counted(policy, guardrail, made, past, grid, history.query)
                if guardrail.series
                else _played(policy, guardrail, made)
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
        key
        for each in policy.guardrails
        if (key := key_of(each)) and not each.edges_of
        if each.name == injection.what or (injection.what == ERRORS and not each.bad_is_wanted)
    }


def _counted(  # noqa: PLR0913, PLR0917 - each of another kind
    policy: Policy, guardrail: Guardrail, made: Families, past: Families, grid: Grid, query: str
) -> Trail:
    """A guardrail judged by its own counts, as in a pass at the end of the stage."""
    key = key_of(guardrail)
    if key is None or key not in made:
        raise NotYet(f"Prometheus has no series of {key}")
    known, before = {}, {}
    learnt: dict[str, tuple[Buckets, datetime]] = {}
    for name in guardrail.edges_of:
        known[name] = _buckets(made[name].counted(), (Model.CHAMPION, Model.CHALLENGER))
        before[name] = _buckets(past[name].counted())
        if calls(before[name]) < FEWEST_CALLS:
            learnt |= _learnt(name, made[name], grid)
    moment = Moment(
        policy, grid.now, grid.start, grid, known=known, before=before, learnt=learnt, arms=NOBODY
    )
    question = guardrail.ask(moment)
    if isinstance(question, TooYoung):
        raise NotYet("the stage is too short for it")
    verdict = question.judge(Answers(counted=made[key].counted(), query=query))
    needed, log_es = verdict.log_e_needed, verdict.path
    breach = first_at_least(needed, log_es) if log_es is not None and needed is not None else None
    return Trail(guardrail.name, guardrail.action, breach, verdict.sentence, log_es, needed)


def _played(policy: Policy, guardrail: Guardrail, made: Families) -> Trail:
    """A guardrail that asks in PromQL, worked out from counts as in a simulation."""
    rule = guardrail.rule(policy, _ANY)
    if rule is None:
        raise NotYet("its PromQL cannot be worked out from counts")
    return Trail(guardrail.name, guardrail.action, rule.judge(_traffic(rule.looks_at, made)), "")


def _traffic(metric: Metric, made: Families) -> Traffic:
    """What the rules of `simulate` look at; errors are counted over all calls, latencies over those timed."""
    errors = metric is Metric.ERRORS
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
