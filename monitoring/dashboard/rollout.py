"""Rows about the rollout: is all well, who gets which model, is the challenger worse?"""

from common.names import JobMetric, Recorded
from monitoring.dashboard.panels import (
    BAD,
    GOOD,
    PLAIN,
    WARN,
    Panels,
    lines,
    number,
    rows_of_now,
    stacked,
    states,
    with_limit,
)
from monitoring.dashboard.query import of_flag, of_job, recorded, verdict, verdicts

VERDICTS = {0: ("ok", GOOD), 1: ("no data", PLAIN), 2: ("cannot measure", WARN), 3: ("breach", BAD)}


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
            "Part of the answers that were the challenger's, over 5 minutes. Less than wanted: its users got"
            " the champion's answer, see the errors.",
            f"max({recorded(Recorded.CHALLENGER_SHARE)})",
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
            "Safety timeout in",
            "How long users keep the challenger without a word of the rollback job, while the flag is on.",
            left,
            unit="s",
            steps=((None, BAD), (0, WARN), (300, GOOD)),
        ).no_value("no lease"),
        number(
            "Last iteration of the rollback job",
            "Seconds since the guard of the canary was last at work; it comes every few seconds.",
            f"min({of_job(JobMetric.LAST_AGO)})",
            unit="s",
            steps=((None, GOOD), (30, WARN), (60, BAD)),
        ).no_value("not scraped"),
        number(
            "Flags heard of",
            "Seconds since the instance that waited longest heard from Unleash: so long may a change take to"
            " reach users.",
            f"max({recorded(Recorded.FLAG_AGE)})",
            unit="s",
            steps=((None, GOOD), (15, WARN), (30, BAD)),
        ).no_value("not told"),
    )


def traffic() -> Panels:
    """Who gets which model?"""
    return (
        lines(
            "Challenger's share",
            "Wanted by the flag, of users; answered, of requests. Users who ask more than others move the"
            " observed one.",
            {
                "wanted": f"max({of_flag(JobMetric.FLAG_SHARE)})",
                "challenger, answered": f"max({recorded(Recorded.CHALLENGER_SHARE)})",
            },
            unit="percentunit",
        ),
        stacked(
            lines(
                "Answers",
                "Answers that reached users, by the model that gave them, over a minute.",
                {"{{model}}": f"max by (model) ({recorded(Recorded.REQUEST_RATE)})"},
                unit="reqps",
            )
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
    of = '{rollout=~"$rollout|"}'
    return (
        states(
            "Verdicts",
            "What each guardrail said in each iteration. Empty while nobody gets the challenger.",
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
            "What was judged in the last iteration, in the unit of each guardrail: docs/guardrails.md.",
            {"Verdict": verdicts()}
            | {name: f"max by (guardrail) ({of_job(metric)})" for name, metric in fields.items()},
            columns={"Verdict": VERDICTS, "Action": {0: ("warns", PLAIN), 1: ("holds up", PLAIN)}},
        ),
        rows_of_now(
            "Alerts",
            "What fires or is about to, of this rollout or of none, and since when. docs/runbook.md has a"
            " paragraph for each.",
            {
                "Since": "max by (alertname, severity, alertstate, guardrail, flag, reason)"
                f" (ALERTS_FOR_STATE{of} * ignoring (alertstate) group_right () ALERTS{of}) * 1000"
            },
            columns={"Since": "dateTimeFromNow"},
        ),
    )
