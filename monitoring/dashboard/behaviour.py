"""Rows about the models: is the challenger slower, does it fail, would it have said the same?"""

from common.names import Recorded
from monitoring.dashboard.panels import Panels, lines
from monitoring.dashboard.query import recorded


def behaviour() -> Panels:
    """Is it slower, does it fail, does it answer otherwise?"""
    return (
        *(
            lines(
                f"{name} by model",
                "Of the calls of the model over 5 minutes, whoever waits for them: a service may give users"
                " the champion's answer where the challenger is late.",
                {"{{model}}": f"max by (model) ({recorded(series)})"},
                unit="s",
            )
            for name, series in (("p50", Recorded.LATENCY_P50), ("p99", Recorded.LATENCY_P99))
        ),
        lines(
            "Error rate by model",
            "Calls that brought no usable answer, of all of 5 minutes.",
            {"{{model}}": f"max by (model) ({recorded(Recorded.ERROR_RATE)})"},
            unit="percentunit",
        ),
        lines(
            "Agreement rate",
            "Part of the shadowed requests for which both models chose the same. Empty where the rollout has"
            " no shadow.",
            {"agreement": f"max({recorded(Recorded.AGREEMENT_RATE)})"},
            unit="percentunit",
        ),
    )
