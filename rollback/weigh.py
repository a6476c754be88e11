"""From a tally of calls to a verdict, without asking anybody.

    breach          the evidence was at least log(1 / alpha) after some step since the stage began
    cannot measure  no breach, and a counter does not exist: what was never counted is not zero
    no data         no breach, and too few calls to call the challenger well
    ok              no breach on enough calls

The highest evidence of the stage counts: the chance that it is ever so high for an equal model is at most
alpha, so a breach that a pass has missed is one all the same.
"""

from datetime import UTC
from math import log

import numpy as np

from common.figures import count, percent, seconds
from common.sequential import LateStart, Values, log_e, log_e_limit
from rollback.kinds.sequential import CounterLimit, CounterRatio, TailLimit, Worse
from rollback.tally import Tally
from rollback.verdict import Status, Verdict


def evidence_needed(tally: Tally) -> float:
    """The log of e that is a breach."""
    return -log(tally.alpha * tally.guardrail.share_of_alpha)


def path(tally: Tally) -> Values:
    """Log e after each step."""
    guardrail, counts, late = tally.guardrail, tally.counts, None
    if tally.late_start:
        every = max(round(tally.late_start.every / tally.grid.step), 1)
        late = LateStart(every, tally.late_start.starts, tally.late_start.weight)
    if isinstance(guardrail, CounterLimit | TailLimit):
        return log_e_limit(
            counts.challenger_bad,
            counts.challenger_total,
            limit=guardrail.limit,
            dispersion=guardrail.dispersion,
            late=late,
        )
    effect = 1.0
    if isinstance(guardrail, CounterRatio):
        effect = guardrail.effect
        counts = counts.swapped() if guardrail.worse is Worse.FEWER else counts
    relative = log_e(counts, effect=effect, dispersion=guardrail.dispersion, late=late)
    if guardrail.at_least is None:
        return relative
    # The smaller of two e-processes is one against "one of the two is within its limit": alpha is not split.
    absolute = log_e_limit(
        counts.challenger_bad,
        counts.challenger_total,
        limit=guardrail.at_least,
        dispersion=guardrail.dispersion,
        late=late,
    )
    return np.minimum(relative, absolute)


def weigh(tally: Tally) -> Verdict:
    """Judge a sequential guardrail by its tally."""
    guardrail, counts = tally.guardrail, tally.counts
    log_es, needed = path(tally), evidence_needed(tally)
    calls, champion_calls = float(counts.challenger_total.sum()), float(counts.champion_total.sum())
    beyond = np.flatnonzero(log_es >= needed)
    breached_at = tally.grid.end(int(beyond[0])) if len(beyond) else None
    told = _facts(tally)
    if breached_at is not None:
        status = Status.BREACH
        day = "" if breached_at.date() == tally.grid.now.date() else "%d %B "
        at = breached_at.astimezone(UTC).strftime(f"{day}%H:%M UTC")
        sentence = f"{told}: test score {log_es.max():.1f}, threshold {needed:.1f}, breached at {at}"
    elif tally.missing and "{" not in tally.missing:  # with matchers, perhaps nothing was counted so far
        status = Status.CANNOT_MEASURE
        sentence = f"Prometheus has no series of {tally.missing}; is the name right?"
    elif reason := _too_little(tally, calls, champion_calls):
        status, sentence = Status.NO_DATA, reason
    else:
        status, sentence = Status.OK, f"{told}: test score {log_es[-1] + 0.0:.1f}, threshold {needed:.1f}"
    return Verdict(
        guardrail=guardrail.name,
        status=status,
        action=guardrail.action,
        unit="share",
        limit=_limit(tally),
        smallest_sample=guardrail.smallest_sample,
        sentence=sentence,
        value=float(counts.challenger_bad.sum()) / calls if calls else None,
        sample=calls,
        query=tally.query,
        window=tally.grid.now - tally.grid.start,
        log_e=float(log_es[-1]),
        log_e_needed=needed,
        breached_at=breached_at,
    )


def _too_little(tally: Tally, calls: float, champion_calls: float) -> str | None:
    """Why no breach does not mean that the challenger is well."""
    smallest = tally.guardrail.smallest_sample
    if tally.missing:
        return f"Prometheus has no series of {tally.missing}; is the name right?"
    if calls < smallest:
        noun = tally.guardrail.noun
        return f"only {count(calls)} {noun} of the challenger in this stage, and {smallest} are needed"
    if tally.guardrail.relative and champion_calls < 1:
        return "the champion has no calls in this stage, so there is nothing to compare with"
    return None


def _limit(tally: Tally) -> float | None:
    """The challenger's share of bad calls that is just allowed; None without calls of the champion."""
    guardrail, counts = tally.guardrail, tally.counts
    if isinstance(guardrail, CounterLimit | TailLimit):
        return guardrail.limit
    champion_calls = float(counts.champion_total.sum())
    if not champion_calls:
        return None
    share = float(counts.champion_bad.sum()) / champion_calls
    if isinstance(guardrail, CounterRatio):
        share *= 1 / guardrail.effect if guardrail.worse is Worse.FEWER else guardrail.effect
    return max(share, guardrail.at_least or 0.0)


def _facts(tally: Tally) -> str:
    """What was counted, in words."""
    guardrail, counts = tally.guardrail, tally.counts
    mine = f"{count(counts.challenger_bad.sum())} of {count(counts.challenger_total.sum())}"
    theirs = f"{count(counts.champion_bad.sum())} of {count(counts.champion_total.sum())}"
    if tally.edges:
        told = f"{mine} calls of the challenger took over {seconds(float(tally.edges.challenger))}"
        theirs += f" of the champion over {seconds(float(tally.edges.champion))}"
    else:
        told = f"the challenger {guardrail.verb} {mine} {guardrail.noun}"
        theirs = f"the champion {theirs}"
    if isinstance(guardrail, CounterLimit | TailLimit):
        return f"{told}, and {percent(guardrail.limit)} are allowed"
    if isinstance(guardrail, CounterRatio) and guardrail.effect != 1:
        theirs += f", and {guardrail.effect:g} times its share is allowed"
    if guardrail.at_least is not None:
        theirs += f", and up to {percent(guardrail.at_least)} is tolerated"
    return f"{told}, {theirs}"
