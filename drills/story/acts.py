"""The acts of the story, in order: shadow, power, canary, A/B test, segments."""

import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import yaml

from common.names import Model
from drills.story.console import Report, typed
from drills.story.context import FLUSH_SECONDS, SHADOW, Context, RolledBackError, truth_about
from drills.story.crowd import BOUGHT
from drills.story.shop import visitors
from drills.story.truth import points

CANARY_SHARE, TEST_SHARE = 5, 50
CANARY_USERS_A_SECOND = 120.0
CANARY_SECONDS = 26.0  # guardrails need three scrapes of the stage, and a hundred calls
WINDOW_SECONDS = 15
EXPECTED = "agreement<0.5,errors>1%"  # of two models that look at other things
LOOK_AT = 0.25  # of the users: the look that is refused
SEGMENTS_BY = "country"
MOST_USERS = 3  # times those that both arms need


def shadow(context: Context) -> tuple[float, float]:
    """The challenger sees requests, and nobody its answers: the true agreement, and the reported one."""
    console, users = context.console, visitors("shadow", context.plan.shadow)
    console.act(
        "Shadow: what would the challenger say?",
        f"The flag {SHADOW} goes to 100%: the challenger sees every request too, off the response path. All"
        " users get the champion's answer, so this costs nobody anything.",
    )
    true = truth_about(context.models, users).agreement
    context.copies(100)
    since = datetime.now(UTC)
    with console.progress("requests that both models see", len(users)) as advance:
        context.crowd.send(users, enough=lambda counts: advance(counts.total()))
    time.sleep(FLUSH_SECONDS)
    context.copies(0)
    report = context.commands.report(
        "1-shadow",
        "shadow",
        "--log",
        context.commands.log,
        "--since",
        since.isoformat(timespec="milliseconds"),
        "--fail-on",
        EXPECTED,
    )
    console.report(report)
    console.say(
        "This challenger looks at the basket too, so its team expected it to differ, and said by how much."
        " Which of the models is right, no copy of a request can tell: that takes the test below."
    )
    return true, float(report.numbers["agreement"]["value"])


def power(context: Context) -> None:
    """How many users the A/B test needs."""
    baseline, effect = round(context.truth.baseline, 2), context.plan.effect
    context.console.act(
        "Power: how many users does a test need?",
        f"Today {baseline:.0%} of the users buy, and a change of {100 * effect:g} points must not be missed."
        " Who knows the number beforehand knows when to look, and does not stop at the first good day.",
    )
    report = context.commands.report(
        "2-power",
        "power",
        "--baseline",
        f"{baseline:g}",
        "--effect",
        f"{effect:g}",
        "--share",
        str(TEST_SHARE),
    )
    context.console.report(report)


def canary(context: Context) -> None:
    """A few users first, for as long as the guardrails need; then half of them.

    Raises:
        RolledBackError: a guardrail is breached, or somebody changed the flag.
    """
    console = context.console
    console.act(
        f"Canary: {CANARY_SHARE}% of the users, under guard",
        "Is it safe? comes before: is it better? The rollback job reads errors and latency from Prometheus"
        " every few seconds, and would roll the challenger back by itself.",
    )
    context.share(CANARY_SHARE)
    seconds, begun = CANARY_SECONDS, time.monotonic()
    users = visitors("canary", int(seconds * CANARY_USERS_A_SECOND))
    with console.progress(f"seconds of {CANARY_SHARE}%", seconds) as advance:
        counts = context.crowd.send(
            users,
            shopping=True,
            enough=lambda _: advance(time.monotonic() - begun),
            rate=CANARY_USERS_A_SECOND,
        )
    console.found(f"{counts['challenger']:,} of {counts.total():,} users got the challenger.", style="")
    console.command(context.commands.typed("check"))
    context.require_exposure()
    checked = context.commands.check()
    for each in checked["verdicts"]:
        console.found(f"{each['guardrail']:<20} {each['verdict']:<14} {each['sentence']}", style="")
    if checked["exit_code"]:
        raise RolledBackError(f"the challenger would be rolled back now: {checked['outcome']}")
    console.found(
        f"No guardrail is breached: on to {TEST_SHARE}%, where both models have equally many users."
    )
    context.share(TEST_SHARE)


def abtest(context: Context) -> tuple[str, Report]:
    """Register, look too early, wait for all users, read the verdict: the early finding, and the report."""
    console, file = context.console, context.commands.folder / "test.yaml"
    console.act(
        "A/B test: is it better?",
        "What will be measured, and on how many users, is written down and hashed before the first of them"
        f" comes. A purchase counts for {WINDOW_SECONDS} s after the first request: a week, in real life.",
    )
    arguments = (
        *(
            "--metric",
            BOUGHT,
            "--baseline",
            f"{context.truth.baseline:.2f}",
            "--effect",
            f"{context.plan.effect:g}",
        ),
        *("--share", str(TEST_SHARE), "--window", f"{WINDOW_SECONDS}s", "--covariate", "off"),
        *("--segments-by", SEGMENTS_BY),
        *("--name", "basket model", "--note", "simulated visitors of ./canario story"),
    )
    console.command(typed("analysis", "abtest", "register", str(file), *arguments))
    console.found(context.commands.register(file, *arguments).splitlines()[0].partition(": ")[2], style="")
    needed = yaml.safe_load(file.read_text(encoding="utf-8"))["users"]
    most = max(needed.values())
    users = iter(visitors("ab", MOST_USERS * 2 * most))

    def send(least: dict[str, int], before: Counter[str]) -> Counter[str]:
        def enough(counts: Counter[str]) -> bool:
            sums = before + counts
            advance(min(sums[Model.CHAMPION], sums[Model.CHALLENGER]))
            return all(sums[arm] >= count for arm, count in least.items())

        with console.progress(
            "users of each model who asked, and bought or left", max(least.values())
        ) as advance:
            return before + context.crowd.send(users, shopping=True, enough=enough)

    counts = send({arm: int(LOOK_AT * count) for arm, count in needed.items()}, Counter())
    time.sleep(FLUSH_SECONDS)
    early = _report(context, "4a-too-early")
    console.say("A look before the end. It is refused, because who looks often finds something by chance:")
    console.report(early)
    send(needed, counts)
    context.require_exposure()
    with console.progress(
        "seconds until the last user's time is over", WINDOW_SECONDS + FLUSH_SECONDS
    ) as advance:
        begun = time.monotonic()
        while (passed := time.monotonic() - begun) < WINDOW_SECONDS + FLUSH_SECONDS:
            advance(passed)
            time.sleep(0.2)
    report = _report(context, "4b-abtest")
    console.report(report)
    return early.numbers["finding"], report


def segments(context: Context) -> frozenset[str]:
    """Who is harmed while the whole gains."""
    context.console.act(
        "Segments: better for everybody?",
        "A gain over all users can hide a loss of a few. The same test is read by country, as was registered,"
        " with a correction for looking five times.",
    )
    file = context.commands.folder / "test.yaml"
    report = context.commands.report(
        "5-segments", "segments", file, "--log", context.commands.log, "--by", SEGMENTS_BY
    )
    context.console.report(report)
    shown = report.numbers["segments"]
    context.console.table(
        ("country", "users", "points", "95% interval", ""), [_segment(each) for each in shown]
    )
    harmed = frozenset(each["segment"].partition("=")[2] for each in shown if each["verdict"] == "harmed")
    if harmed:
        context.console.say(
            "The shop in Denmark counts baskets in kroner, and is younger than the challenger's data: to that"
            " model every basket there is too large for a buyer's."
        )
        context.console.say(
            "A constraint in Unleash keeps the champion for them, and everybody else keeps what they have:"
        )
        values = [f"country={each}" for each in sorted(harmed)]
        context.console.command(context.commands.typed("exclude", context.flag, *values))
        there, elsewhere = context.exclude(harmed)
        context.console.found(
            f"Now {there:.0%} of the users in {', '.join(sorted(harmed))} get the challenger, and"
            f" {elsewhere:.0%} elsewhere."
        )
    return harmed


def _segment(each: dict[str, Any]) -> tuple[str, ...]:
    users = each["champion_users"] + each["challenger_users"]
    interval = f"{points(each['low'])} to {points(each['high'])}"
    return (
        each["segment"].partition("=")[2],
        f"{users:,}",
        points(each["difference"]),
        interval,
        each["verdict"],
    )


def _report(context: Context, page: str) -> Report:
    file = context.commands.folder / "test.yaml"
    return context.commands.report(page, "abtest", "report", file, "--log", context.commands.log)
