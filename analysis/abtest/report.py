"""The report of a registered test: the verdict or why there is none, then what it rests on."""

from dataclasses import asdict
from typing import Any

from analysis.abtest.answer import answer_of, tone_of, unit_of
from analysis.abtest.examine import Examined
from analysis.abtest.sections import effect, guardrails, users
from analysis.abtest.verdict import Comparison
from analysis.abtest.warnings import warnings
from analysis.log.engine import BadLines
from analysis.metric import Kind
from analysis.render.document import Report, Section, Table
from analysis.render.words import duration, moment
from analysis.statistics.effect import Effect, Interval


def abtest_report(examined: Examined, bad: BadLines) -> Report:
    """Make the report; `bad` are lines of the log that were left out."""
    return Report(
        title=f"A/B test: {examined.registration.name}",
        answer=answer_of(examined),
        tone=tone_of(examined),
        evidence=tuple(
            section for section in (effect(examined), guardrails(examined), users(examined)) if section
        ),
        method=(promised(examined), method(examined)),
        numbers=numbers(examined, bad),
        warnings=warnings(examined, bad),
    )


def promised(examined: Examined) -> Section:
    """What was registered."""
    registration = examined.registration
    segment = registration.segment
    unit = unit_of(registration.metric, examined)
    facts = {
        "registered": f"{moment(registration.registered)} by {registration.by}",
        "hash": registration.sha256[:16] + (" (does not fit the file)" if examined.changed else ""),
        "flag, share": f"{registration.flag}, {registration.share:g}%",
        "metric": f"{registration.metric.name}: {registration.metric.of_users}, "
        f"{registration.metric.better} is better",
        "segment": f"{segment.property} = {segment.value}" if segment else "all users",
        "segments by": ", ".join(registration.segments_by) or "none",
        "to be found": f"{unit.change(registration.effect, sign=False)} from "
        f"{unit.level(registration.baseline)}, alpha {registration.alpha:g}, power {registration.power:g}",
        "users": f"{registration.users.champion:,} champion, {registration.users.challenger:,} challenger",
        "window": f"{duration(registration.window)} from a user's first request",
        "covariate": f"up to {duration(registration.covariate)} before" if registration.covariate else "none",
        "guardrails": ", ".join(each.name for each in registration.guardrails) or "none",
    }
    if registration.note:
        facts["note"] = registration.note
    return Section("What was registered", (), (Table(("", "promised"), tuple(facts.items())),))


def method(examined: Examined) -> Section:
    """How it was read."""
    registration = examined.registration
    text = [
        f"Read: users whose first request since {moment(examined.period.since)} came before "
        f"{moment(examined.progress.came_before)}, each for {duration(registration.window)} from then on. "
        "A verdict is that of the users with whom both arms were full: a later report says the same.",
    ]
    if examined.stages.is_ramp:
        text.append(
            "By stage: users are told apart by the share that the flag had at their first request,"
            f" {' and '.join(f'{share:g}%' for share in examined.stages.shares)}; equal shares at different"
            " times are one stage, and requests while the flag gave one model to all do not count."
            " Differences within the stages are weighted by users of the champion times users of the"
            " challenger over both (Mantel and Haenszel), which depends on no outcome."
        )
    if examined.options.sequential:
        text.append(
            "A confidence sequence: the true difference lies in all of its intervals, however often one "
            f"reads, with a chance of {100 * (1 - registration.alpha):g}%. It uses no covariate."
        )
    else:
        text.append(
            {
                Kind.PROPORTION: "z test with continuity correction; the intervals are all values that it "
                "does not reject. Where fewer than five users are expected in a cell (of an arm, who did it "
                "or did not), Fisher's exact test, without a covariate.",
                Kind.MEAN: "Welch's t test on users' sums; the relative interval by the delta method.",
                Kind.COUNT: "Studentised bootstrap of the means from value counts, seeded by the hash.",
            }[examined.metric.kind]
            + " With a covariate Welch's t test on what it leaves (CUPED) decides instead."
        )
    if examined.results is not None:
        text.append(examined.results.left_out.sentence)
    text.append(
        "It cannot tell whether something new wears off, nor anything of users who did not come; and "
        f"{100 * registration.alpha:g} of 100 tests of equal models find a difference."
    )
    return Section("How it was read", tuple(text))


def numbers(examined: Examined, bad: BadLines) -> dict[str, Any]:
    """JSON types only."""
    progress, ratio, results = examined.progress, examined.ratio, examined.results
    return {
        "finding": examined.finding.value,
        "verdict": examined.finding.value if examined.finding.is_verdict else None,
        "metric": examined.metric.model_dump(mode="json"),
        "registered": examined.registration.registered.isoformat(),
        "sha256": examined.registration.sha256,
        "changed": examined.changed,
        "accepted": examined.options.accepted,
        "sequential": examined.options.sequential,
        "since": examined.period.since.isoformat(),
        "now": examined.period.until.isoformat(),
        "users": {
            "needed": examined.registration.users.model_dump(),
            "so_far": dict(zip(("champion", "challenger"), progress.arrived.users, strict=True)),
            "compared": {"champion": ratio.champion, "challenger": ratio.challenger},
            "changed_arm": progress.arrived.changed,
            "outcomes_open": progress.watched,
        },
        "expected": progress.expected.isoformat() if progress.expected else None,
        "sample_ratio": {
            "planned": ratio.planned,
            "observed": ratio.observed,
            "p": ratio.p,
            "p_any_time": ratio.p_any_time,
        },
        "stages": _stages(examined),
        "effect": _comparison(results.comparison) if results else None,
        "smallest_effect": results.smallest if results else None,
        "without_feedback": {
            arm: None if share is None else 1 - share
            for arm, share in (
                ("champion", results.arms.champion.heard),
                ("challenger", results.arms.challenger.heard),
            )
        }
        if results
        else None,
        "guardrails": [
            {"name": each.metric.name, "harmed": each.harmed, **_comparison(each.comparison)}
            for each in (results.guardrails if results else ())
        ],
        "left_out": asdict(results.left_out) if results else None,
        "bad_lines": bad.count,
    }


def _stages(examined: Examined) -> list[dict[str, Any]]:
    """Of a ramp; none of a test of one share."""
    arms = examined.results.arms if examined.results else None
    levels = dict(zip(arms.places, arms.samples, strict=True)) if arms and arms.places else {}
    found = []
    for place, (share, ratio) in enumerate(zip(examined.stages.shares, examined.ratio.stages, strict=False)):
        champion, challenger = levels.get(place, (None, None))
        found.append(
            {
                "share": share,
                "champion": ratio.champion,
                "challenger": ratio.challenger,
                "p": ratio.p,
                "p_any_time": ratio.p_any_time,
                "champion_level": champion.mean if champion else None,
                "challenger_level": challenger.mean if challenger else None,
            }
        )
    return found


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
