"""The row about what watches and records: the rollback job and the prediction log."""

from common.names import JobMetric, Metric
from monitoring.dashboard.panels import Panels, lines, rows_of_now, stacked
from monitoring.dashboard.query import RANGE, of_job, of_service, per_second


def machinery() -> Panels:
    """Do the jobs and the log work?"""
    return (
        stacked(
            lines(
                "Passes of the rollback job",
                "By what they came to.",
                {"{{outcome}}": f"sum by (outcome) (rate({of_job(JobMetric.PASSES)}[{RANGE}]))"},
                unit="cps",
                per_line=3,
            )
        ),
        lines(
            "Duration of a pass",
            "It comes every few seconds, so it must take less.",
            {"pass": f"max({of_job(JobMetric.DURATION)})"},
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
            "Prediction log",
            "Records written, and lost for good.",
            {
                "{{kind}}": per_second(Metric.LOG_RECORDS, by="kind"),
                "lost: {{reason}}": per_second(Metric.LOG_DROPS, by="reason"),
            },
            unit="cps",
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
            per_line=3,
        ),
        rows_of_now(
            "Models served",
            "By the workers of the service.",
            {"Served": f"max by (model, name, version) ({of_service(Metric.MODEL_INFO)}) == 1"},
            per_line=3,
        ),
    )
