"""Every figure of an A/B report by name, for programs."""

from dataclasses import asdict
from typing import Any

from analysis.abtest.compare import Comparison
from analysis.abtest.examine import Examined
from analysis.log.bad import BadLines
from analysis.statistics.effect import Effect, Interval


def numbers(examined: Examined, bad: BadLines) -> dict[str, Any]:
    """JSON types only."""
    course, ratio, found = examined.course, examined.ratio, examined.found
    return {
        "finding": examined.finding.value,
        "verdict": examined.finding.value if examined.finding.is_verdict else None,
        "metric": examined.metric.model_dump(mode="json"),
        "registered": examined.registration.registered.isoformat(),
        "sha256": examined.registration.sha256,
        "changed": examined.changed,
        "accepted": examined.wish.accepted,
        "sequential": examined.wish.sequential,
        "since": examined.question.since.isoformat(),
        "now": examined.question.now.isoformat(),
        "users": {
            "needed": examined.registration.users.model_dump(),
            "so_far": dict(zip(("champion", "challenger"), course.arrived.users, strict=True)),
            "compared": {"champion": ratio.champion, "challenger": ratio.challenger},
            "changed_arm": course.arrived.changed,
            "outcomes_open": course.watched,
        },
        "expected": course.expected.isoformat() if course.expected else None,
        "sample_ratio": {
            "planned": ratio.planned,
            "observed": ratio.observed,
            "p": ratio.p,
            "p_any_time": ratio.p_any_time,
        },
        "effect": _comparison(found.comparison) if found else None,
        "smallest_effect": found.smallest if found else None,
        "without_feedback": {
            arm: None if share is None else 1 - share
            for arm, share in (
                ("champion", found.arms.champion.heard),
                ("challenger", found.arms.challenger.heard),
            )
        }
        if found
        else None,
        "guardrails": [
            {"name": each.metric.name, "harmed": each.harmed, **_comparison(each.comparison)}
            for each in (found.guardrails if found else ())
        ],
        "left_out": asdict(found.left_out) if found else None,
        "bad_lines": bad.count,
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        **_effect(comparison.effect),
        "without_covariate": _effect(comparison.plain) if comparison.narrowing else None,
        "covariate": vars(comparison.narrowing) if comparison.narrowing else None,
        "mann_whitney": vars(comparison.ranks) if comparison.ranks else None,
    }


def _effect(effect: Effect) -> dict[str, Any]:
    return {
        "test": effect.test,
        "champion": effect.champion,
        "challenger": effect.challenger,
        "difference": effect.difference,
        "interval": _interval(effect.absolute),
        "relative": effect.relative_difference,
        "relative_interval": _interval(effect.relative),
        "p": effect.p,
    }


def _interval(interval: Interval | None) -> list[float] | None:
    return [interval.low, interval.high] if interval else None
