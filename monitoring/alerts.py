"""The alerts of one rollout that need the series of its service. Pure.

Those of the jobs need none and are the same for all rollouts: monitoring/rules/canario.yml.
"""

from collections.abc import Iterator
from datetime import timedelta
from string import Template
from typing import Final

from common.arms import OURS, Arms
from common.durations import format_duration
from common.figures import in_unit
from common.names import Model
from common.recording import Rule, span
from rollback.guardrails.file import Policy
from rollback.guardrails.kinds.template import render
from rollback.guardrails.kinds.threshold import Threshold
from rollback.guardrails.verdict import Action

RUNBOOK: Final = "docs/runbook.md"
RUNBOOK_URL: Final = "http://127.0.0.1:8100/docs/runbook"
"""The board's copy, where it listens by default; `monitoring.write_rules` may put another in its place."""
FOLLOWS: Final = {
    Action.ROLLBACK: "The rollback job should have rolled the challenger back.",
    Action.PAUSE: "The share stays, and nobody is promoted until a person has looked.",
    Action.WARN: "Nothing is rolled back for it.",
}
PLAIN: Final = "{{ $value | humanize }}"
VALUES: Final = {
    "seconds": "{{ $value | humanizeDuration }}",
    "share": "{{ $value | humanizePercentage }}",
    "times": f"{PLAIN} times",
}


def guardrail_alerts(rollout: str, arms: Arms, policy: Policy) -> Iterator[Rule]:
    """An alert for each threshold over its whole window, and one where a breach has no consequence.

    They fire beside the rollback job, and also when it is dead. Sequential guardrails count from the
    beginning of a stage, which Prometheus does not know: the job alone judges them.
    """
    thresholds = policy.of(Threshold)
    yield from (_breached(rollout, arms, each) for each in thresholds)
    if any(each.action is Action.ROLLBACK for each in thresholds):
        yield _not_rolled_back(rollout, arms, policy.scrape_interval)


def service_alerts(rollout: str, arms: Arms, ours: list[Rule]) -> Iterator[Rule]:
    """Whether the service can be seen at all; of Canario's own service everything else too.

    Args:
        ours: alerts of Canario's own service, with `$selector` for its matchers and `$rollout` for its name.
    """
    labels = {"severity": "critical", "rollout": rollout}
    signals = arms.signals
    if signals.up:
        yield _alert(
            "ServiceNotScraped",
            f"absent({arms.of(signals.up)})",
            labels,
            summary=f"{rollout}: Prometheus scrapes no service with {_literal(arms.selector)}.",
            description="No target has these labels, so that the guardrails see nothing.",
            runbook="service-down",
            hold=timedelta(seconds=30),
        )
    if signals.follows:
        yield _alert(
            "SeveralRollouts",
            f"count(count by (flag, environment) ({arms.of(signals.follows)} == 1)) > 1",
            labels,
            summary=f"{rollout}: the services with {_literal(arms.selector)} follow {{{{ $value }}}} flags.",
            description=(
                "Their numbers cannot be told apart: no guardrail is judged, no plan goes on, and leases end."
            ),
            runbook="several-rollouts",
            hold=timedelta(minutes=1),
        )
    if signals == OURS:
        yield from (_filled(rule, rollout, arms) for rule in ours)


def _breached(rollout: str, arms: Arms, guardrail: Threshold) -> Rule:
    value, sample = (render(each, guardrail.window, arms) for each in (guardrail.value, guardrail.sample))
    side, beyond = ("<", "under") if guardrail.below else (">", "over")
    told, limit = VALUES.get(guardrail.unit, PLAIN), in_unit(guardrail.limit, guardrail.unit)
    lasted = f"; it was so for {format_duration(guardrail.hold)}" if guardrail.hold else ""
    rolls_back = guardrail.action is Action.ROLLBACK
    return _alert(
        "GuardrailBreached" if rolls_back else "GuardrailWarned",
        f"({value})\n{side} {guardrail.limit!r}\nand on () ({sample}) >= {guardrail.smallest_sample}",
        {
            "severity": "warning",
            "rollout": rollout,
            "guardrail": guardrail.name,
            "action": guardrail.action.value,
        },
        summary=(f"{rollout}: the guardrail {guardrail.name} is at {told}, {beyond} its limit of {limit}."),
        description=(
            f"{_literal(guardrail.description)} Counted over {format_duration(guardrail.window)}{lasted}."
            f" {FOLLOWS[guardrail.action]}"
        ),
        runbook="guardrail-breached" if rolls_back else "guardrail-warned",
        hold=guardrail.hold,
    )


def _not_rolled_back(rollout: str, arms: Arms, scrape: timedelta) -> Rule:
    # A rollback takes two scrapes, an iteration of the job and a refresh of the flags, some 20 s beside the
    # scrapes; and the rate tells of the end only when its window is over.
    window = max(timedelta(seconds=30), 3 * scrape)
    assigned = arms.of(arms.signals.of("assignments"), arms.only(Model.CHALLENGER))
    breached = f'alertstate="firing", rollout="{rollout}", guardrail!="", action="rollback"'
    return _alert(
        "CanaryNotRolledBack",
        f"sum by (guardrail) (ALERTS{{{breached}}})\n"
        f"and on () sum(rate({assigned}[{span(window, scrape, 3)}])) > 0",
        {"severity": "critical", "rollout": rollout},
        summary=(
            f"{rollout}: the guardrail {{{{ $labels.guardrail }}}} is breached,"
            " and users still get the challenger."
        ),
        description=(
            "The rollback job is dead, or cannot reach Prometheus or Unleash, or somebody turned the canary"
            " on again."
        ),
        runbook="canary-not-rolled-back",
        hold=2 * scrape + timedelta(seconds=20) + window,
    )


def _alert(  # noqa: PLR0913 - the fields of an alert
    name: str,
    expression: str,
    labels: dict[str, str],
    *,
    summary: str,
    description: str,
    runbook: str,
    hold: timedelta | None = None,
) -> Rule:
    rule: Rule = {"alert": name, "expr": expression}
    if hold:
        rule["for"] = format_duration(hold)
    told = {
        "summary": summary,
        "description": description,
        "runbook": f"{RUNBOOK}#{runbook}",
        "runbook_url": f"{RUNBOOK_URL}#{runbook}",
    }
    return rule | {"labels": labels, "annotations": told}


def _filled(rule: Rule, rollout: str, arms: Arms) -> Rule:
    """An alert of Canario's own service for this rollout's."""

    def fill(text: str, selector: str) -> str:
        return Template(text).safe_substitute(selector=selector, rollout=rollout)

    told = {name: fill(text, _literal(arms.selector)) for name, text in rule["annotations"].items()}
    labels = {**rule["labels"], "rollout": rollout}
    return {**rule, "expr": fill(rule["expr"], arms.selector), "labels": labels, "annotations": told}


def _literal(text: str) -> str:
    """A text of the user's as templates show it: where they took it for theirs, no rule would be loaded."""
    return text.replace("{{", '{{ "{{" }}')
