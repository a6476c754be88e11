"""The row about what watches: the rollback job, and the files of all rollouts."""

from typing import Final

from common.names import JobMetric, PlanMetric
from monitoring.dashboard.panels import BAD, GOOD, Panels, lines, rows_of_now, stacked
from monitoring.dashboard.query import RANGE, of_job

FITS: Final = {0: ("fits", GOOD), 1: ("does not fit", BAD)}


def machinery() -> Panels:
    """Do the jobs work?"""
    return (
        stacked(
            lines(
                "Iterations of the rollback job",
                "By what they came to.",
                {"{{outcome}}": f"sum by (outcome) (rate({of_job(JobMetric.PASSES)}[{RANGE}]))"},
                unit="cps",
                per_line=3,
            )
        ),
        lines(
            "Duration of an iteration",
            "It comes every few seconds, so it must take less.",
            {"iteration": f"max({of_job(JobMetric.DURATION)})"},
            unit="s",
            per_line=3,
        ),
        lines(
            "The last rollback",
            "From the breach to the flag off, and to the challenger's last answer. 0 before the first.",
            {
                "to the flag off": f"max({of_job(JobMetric.TO_OFF)})",
                "to the stop": f"max({of_job(JobMetric.TO_STOP)})",
            },
            unit="s",
            per_line=3,
        ),
        lines(
            "Messages and decisions that got lost",
            "Of the rollback job; it works all the same.",
            {
                "message by {{channel}}": f"sum by (channel) "
                f"(increase({of_job(JobMetric.NOTIFICATIONS_FAILED)}[{RANGE}]))",
                "decision": f"sum(increase({of_job(JobMetric.DECISIONS_FAILED)}[{RANGE}]))",
            },
            unit="short",
        ),
        rows_of_now(
            "Files of all rollouts",
            "For each job. One that does not fit stops only its own rollout, or leaves it at what the file"
            " said before.",
            {
                "Guardrails": f"max by (rollout) ({JobMetric.ROLLOUT_BROKEN})",
                "Plan": f"max by (rollout) ({PlanMetric.ROLLOUT_BROKEN})",
            },
            columns={"Guardrails": FITS, "Plan": FITS},
        ),
    )
