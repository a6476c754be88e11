"""Rows about the models: are they slow, do they fail, what are they worth, what would the challenger say?"""

from common.names import Metric, Model
from monitoring.dashboard.panels import BAD, Panels, lines, stacked, with_limit
from monitoring.dashboard.query import RANGE, latency, of_service, per_second, share, within_one_stage

CHALLENGER = f'model="{Model.CHALLENGER}"'


def speed() -> Panels:
    """Is it slower, and does it fail?"""
    return (
        *(
            lines(
                f"p{quantile * 100:g} by model",
                "Of the calls of the model, whoever waits for them: users of a late challenger get the"
                " champion's answer.",
                {"{{model}}": latency(quantile)},
                unit="s",
                per_line=3,
            )
            for quantile in (0.5, 0.95)
        ),
        with_limit(
            lines(
                "p99 by model",
                "The line is the hard limit of rollback/guardrails.yaml.",
                {"{{model}}": latency(0.99)},
                unit="s",
                per_line=3,
            ),
            ((None, "transparent"), (0.2, BAD)),
        ),
        lines(
            "Error rate by model",
            "Calls that brought no usable answer in time; its user got the champion's.",
            {"{{model}}": share(per_second(Metric.ERRORS, by="model"), per_second(Metric.CALLS, by="model"))},
            unit="percentunit",
            per_line=3,
        ),
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
    )


def worth() -> Panels:
    """Is it better for the business?"""
    outcome = 'outcome=~"$outcome"'
    return (
        lines(
            "Outcomes by request assigned",
            "Feedback by the model that was assigned, over its requests, of $__rate_interval; only where that"
            " lies in one stage and version. Outcomes come later than requests; the board counts from the"
            " stage's beginning, the A/B report gives the answer.",
            {
                "{{model}}: {{outcome}}": within_one_stage(
                    per_second(Metric.OUTCOMES, outcome, by="model, outcome")
                    + "\n/ on (model) group_left () "
                    + f"({per_second(Metric.ASSIGNMENTS, by='model')} > 0)"
                )
            },
            unit="percentunit",
        ),
        lines(
            "Outcomes",
            "Feedback as it comes in. `unknown`: about requests that the service does not remember.",
            {"{{model}}: {{outcome}}": per_second(Metric.OUTCOMES, outcome, by="model, outcome")},
            unit="cps",
        ),
    )


def shadow() -> Panels:
    """What would it have said?"""
    return (
        lines(
            "Agreement rate",
            "Part of the shadowed requests for which both models chose the same.",
            {"agreement": share(per_second(Metric.SHADOW_AGREEMENTS), per_second(Metric.SHADOW_SAMPLES))},
            unit="percentunit",
            per_line=3,
        ),
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
            {"p99": latency(0.99, Metric.SHADOW_LATENCY, by="")},
            unit="s",
            per_line=3,
        ),
    )
