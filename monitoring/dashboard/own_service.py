"""The row about what only Canario's own service tells, by the names of its own metrics."""

from typing import Final

from common.names import Metric, Model
from monitoring.dashboard.panels import Panels, lines, rows_of_now, stacked
from monitoring.dashboard.query import RANGE, of_service, per_second, quantile, share, within_one_stage

CHALLENGER: Final = f'model="{Model.CHALLENGER}"'
OUTCOME: Final = 'outcome=~"$outcome"'


def own_service() -> Panels:
    """Requests, the challenger's process, outcomes, shadow, prediction log."""
    return (*_requests(), *_process(), *_outcomes(), *_shadow(), *_log())


def _requests() -> Panels:
    return (
        lines(
            "Challenger's share, assigned",
            "Of requests, by what the flag wanted. Users who ask more than others move it.",
            {
                "challenger, assigned": share(
                    per_second(Metric.ASSIGNMENTS, CHALLENGER), per_second(Metric.ASSIGNMENTS)
                )
            },
            unit="percentunit",
            per_line=3,
        ),
        lines(
            "Predictions by class",
            "Part of each class among a model's answers. The models meet different users: a lasting"
            " difference is worth a look, and is no proof.",
            {
                "{{model}}: {{class}}": per_second(Metric.PREDICTIONS, by="model, class")
                + "\n/ on (model) group_left () "
                + f"({per_second(Metric.PREDICTIONS, by='model')} > 0)"
            },
            unit="percentunit",
            per_line=3,
        ),
        lines(
            "Requests by status",
            "What clients of the service get.",
            {"{{status}}": per_second("flask_http_request_total", by="status")},
            unit="reqps",
            per_line=3,
        ),
    )


def _process() -> Panels:
    return (
        stacked(
            lines(
                "Errors of the challenger by reason",
                "timeout: too late; busy: it owes late answers; open: the breaker keeps calls away."
                " host: requests that this host kept from it, which are no errors.",
                {
                    "{{reason}}": per_second(Metric.ERRORS, CHALLENGER, by="reason"),
                    "host: {{reason}}": per_second(Metric.PREVENTED, by="reason"),
                },
                unit="reqps",
                per_line=3,
            )
        ),
        lines(
            "The challenger's process",
            "Starts of it, calls that it owes, and workers whose breaker is open.",
            {
                "starts": f"sum(increase({of_service(Metric.GUEST_STARTS)}[{RANGE}]))",
                "calls in flight": f"sum({of_service(Metric.IN_FLIGHT)})",
                "breakers open": f"sum({of_service(Metric.BREAKER_OPEN)})",
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


def _outcomes() -> Panels:
    """Is it better for the business?"""
    return (
        lines(
            "Outcomes by request assigned",
            "Feedback by the model that was assigned, over its requests, of $__rate_interval; only where that"
            " lies in one stage and version. Outcomes come later than requests; the board counts from the"
            " stage's beginning, the A/B report gives the answer.",
            {
                "{{model}}: {{outcome}}": within_one_stage(
                    per_second(Metric.OUTCOMES, OUTCOME, by="model, outcome")
                    + "\n/ on (model) group_left () "
                    + f"({per_second(Metric.ASSIGNMENTS, by='model')} > 0)"
                )
            },
            unit="percentunit",
        ),
        lines(
            "Outcomes",
            "Feedback as it comes in. `unknown`: about requests that the service does not remember.",
            {"{{model}}: {{outcome}}": per_second(Metric.OUTCOMES, OUTCOME, by="model, outcome")},
            unit="cps",
        ),
    )


def _shadow() -> Panels:
    """What would it have said?"""
    return (
        stacked(
            lines(
                "Shadowed requests",
                "Answered by both; failed in the challenger; dropped before it saw them. The agreement is"
                " that of those answered.",
                {
                    "answered": per_second(Metric.SHADOW_SAMPLES),
                    "failed: {{reason}}": per_second(Metric.SHADOW_ERRORS, by="reason"),
                    "dropped: {{reason}}": per_second(Metric.SHADOW_DROPS, by="reason"),
                },
                unit="reqps",
                per_line=3,
            )
        ),
        lines(
            "Batches",
            "How long a batch takes inside the challenger's process (p99).",
            {"p99": quantile(0.99, Metric.SHADOW_LATENCY)},
            unit="s",
            per_line=3,
        ),
    )


def _log() -> Panels:
    return (
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
    )
