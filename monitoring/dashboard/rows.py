"""The panels, row by row. Each row answers a question, and the most pressing one comes first."""

from collections.abc import Sequence

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as models

from common.names import JobMetric, Metric, Model
from monitoring.dashboard.panels import (
    BAD,
    GOOD,
    PLAIN,
    WARN,
    lines,
    number,
    rows_of_now,
    stacked,
    states,
    with_limit,
)
from monitoring.dashboard.query import (
    RANGE,
    challengers_share,
    latency,
    of_flag,
    of_job,
    of_service,
    per_second,
    share,
    verdict,
    verdicts,
)

Panels = Sequence[Builder[models.Panel]]
VERDICTS = {0: ("ok", GOOD), 1: ("no data", PLAIN), 2: ("cannot measure", WARN), 3: ("breach", BAD)}
CHALLENGER = f'model="{Model.CHALLENGER}"'


def now() -> Panels:
    """Is all well, and who gets what?"""
    left = f"max({of_flag(JobMetric.LEASE_END)}) - time()"
    return (
        number(
            "Share wanted",
            "Part of the users that the flag gives the challenger; 0% while it is off.",
            f"max({of_flag(JobMetric.FLAG_SHARE)})",
            unit="percentunit",
        ),
        number(
            "Share observed",
            "Part of the requests that the challenger answered. Less than wanted: its users got the"
            " champion's answer, see the errors.",
            challengers_share(Metric.PREDICTIONS),
            unit="percentunit",
        ),
        number(
            "Guardrails breached",
            "Those that turn the flag off or hold up a promotion. The table below names them.",
            f"sum({verdict('breach')} * on (guardrail) max by (guardrail) ({of_job(JobMetric.BINDING)}))",
            unit="short",
            steps=((None, GOOD), (1, BAD)),
        ).no_value("nothing judged"),
        number(
            "Lease left",
            "How long users keep the challenger without a word of the rollback job, while the flag is on.",
            left,
            unit="s",
            steps=((None, BAD), (0, WARN), (300, GOOD)),
        ).no_value("no lease"),
        number(
            "Last pass of the rollback job",
            "Seconds since the guard of the canary was last at work; it comes every few seconds.",
            f"time() - max({of_job(JobMetric.LAST)})",
            unit="s",
            steps=((None, GOOD), (30, WARN), (60, BAD)),
        ).no_value("not scraped"),
        number(
            "Flags heard of",
            "Seconds since the worker that waited longest heard from Unleash: so long may a change take to"
            " reach users.",
            f"time() - min({of_service(Metric.FLAG_FETCHED)})",
            unit="s",
            steps=((None, GOOD), (15, WARN), (30, BAD)),
        ),
    )


def traffic() -> Panels:
    """Who gets which model?"""
    return (
        lines(
            "Challenger's share",
            "Wanted by the flag, of users; assigned and answered, of requests. Users who ask more than others"
            " move the observed ones.",
            {
                "wanted": f"max({of_flag(JobMetric.FLAG_SHARE)})",
                "challenger, assigned": challengers_share(Metric.ASSIGNMENTS),
                "challenger, answered": challengers_share(Metric.PREDICTIONS),
            },
            unit="percentunit",
        ),
        stacked(
            lines(
                "Answers",
                "Answers that reached users, by the model that gave them.",
                {"{{model}}": per_second(Metric.PREDICTIONS, by="model")},
                unit="reqps",
            )
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
        ),
        lines(
            "Requests by status",
            "What clients of the service get.",
            {"{{status}}": per_second("flask_http_request_total", by="status")},
            unit="reqps",
        ),
    )


def guardrails() -> Panels:
    """Is the challenger worse?"""
    fields = {
        "Value": JobMetric.VALUE,
        "Limit": JobMetric.LIMIT,
        "Evidence": JobMetric.LOG_E,
        "Breached at": JobMetric.LOG_E_LIMIT,
        "Action": JobMetric.BINDING,
    }
    return (
        states(
            "Verdicts",
            "What each guardrail said in each pass. Empty while nobody gets the challenger.",
            verdicts(),
            "{{guardrail}}",
            VERDICTS,
        ),
        with_limit(
            lines(
                "Evidence against the challenger",
                "Of the sequential guardrails, as a part of what a breach takes. It stays low however often"
                " one looks, unless the challenger is worse.",
                {
                    "{{guardrail}}": f"max by (guardrail) ({of_job(JobMetric.LOG_E)})\n"
                    f"/ max by (guardrail) ({of_job(JobMetric.LOG_E_LIMIT)})"
                },
                unit="percentunit",
            ),
            ((None, "transparent"), (1, BAD)),
        ),
        rows_of_now(
            "Guardrails now",
            "What was judged in the last pass, in the unit of each guardrail: docs/guardrails.md.",
            {"Verdict": verdicts()}
            | {name: f"max by (guardrail) ({of_job(metric)})" for name, metric in fields.items()},
            columns={"Verdict": VERDICTS, "Action": {0: ("warns", PLAIN), 1: ("holds up", PLAIN)}},
        ),
        rows_of_now(
            "Alerts",
            "What fires or is about to, and since when. docs/runbook.md has a paragraph for each.",
            {
                "Since": "max by (alertname, severity, alertstate, guardrail, flag, reason)"
                " (ALERTS_FOR_STATE * ignoring (alertstate) group_right () ALERTS) * 1000"
            },
            columns={"Since": "dateTimeFromNow"},
        ),
    )


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
                "timeout: too late; busy: no room; open: the breaker keeps calls away; else the model.",
                {"{{reason}}": per_second(Metric.ERRORS, CHALLENGER, by="reason")},
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
            "The proxy for what a model is for: feedback by the model that was assigned, over its requests."
            " Outcomes come later than requests; for an answer with an interval, take the A/B report.",
            {
                "{{model}}: {{outcome}}": per_second(Metric.OUTCOMES, outcome, by="model, outcome")
                + "\n/ on (model) group_left () "
                + f"({per_second(Metric.ASSIGNMENTS, by='model')} > 0)"
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
