"""Acts four and five: is it better, and for whom? The A/B test and its segments."""

import time
from collections import Counter
from typing import Any

import yaml

from common.names import Model
from drills.story.crowd import BOUGHT
from drills.story.ending import points
from drills.story.looking import TEST_SHARE, require_exposure
from drills.story.scene import FLUSH_SECONDS, Scene
from drills.story.tools import Said, typed

WINDOW_SECONDS = 15
LOOK_AT = 0.25  # of the users: the look that is refused
SEGMENTS_BY = "country"
MOST_USERS = 3  # times those that both arms need


def abtest(scene: Scene) -> tuple[str, Said]:
    """Register, look too early, wait for all users, read the verdict: the early finding, and the report."""
    voice, file = scene.voice, scene.tools.folder / "test.yaml"
    voice.act(
        "A/B test: is it better?",
        "What will be measured, and on how many users, is written down and hashed before the first of them"
        f" comes. A purchase counts for {WINDOW_SECONDS} s after the first request: a week, in real life.",
    )
    arguments = (
        *(
            "--metric",
            BOUGHT,
            "--baseline",
            f"{scene.truth.baseline:g}",
            "--effect",
            f"{scene.plan.effect:g}",
        ),
        *("--share", str(TEST_SHARE), "--window", f"{WINDOW_SECONDS}s", "--covariate", "off"),
        *("--segments-by", SEGMENTS_BY),
        *("--name", "challenger or champion", "--note", "simulated users of make story"),
    )
    voice.command(typed("analysis", "abtest", "register", str(file), *arguments))
    voice.found(scene.tools.register(file, *arguments).splitlines()[0].partition(": ")[2], style="")
    needed = yaml.safe_load(file.read_text(encoding="utf-8"))["users"]
    most = max(needed.values())
    users = iter(scene.truth.users("ab", MOST_USERS * 2 * most, len(scene.rows)))

    def send(least: dict[str, int], before: Counter[str]) -> Counter[str]:
        def enough(counts: Counter[str]) -> bool:
            sums = before + counts
            advance(min(sums[Model.CHAMPION], sums[Model.CHALLENGER]))
            return all(sums[arm] >= count for arm, count in least.items())

        with voice.progress(
            "users of each model who asked, and bought or left", max(least.values())
        ) as advance:
            return before + scene.crowd.send(users, scene.truth, enough=enough)

    counts = send({arm: int(LOOK_AT * count) for arm, count in needed.items()}, Counter())
    time.sleep(FLUSH_SECONDS)
    early = _report(scene, "4a-too-early")
    voice.say("A look before the end. It is refused, because who looks often finds something by chance:")
    voice.report(early)
    send(needed, counts)
    require_exposure(scene)
    with voice.progress(
        "seconds until the last user's time is over", WINDOW_SECONDS + FLUSH_SECONDS
    ) as advance:
        begun = time.monotonic()
        while (passed := time.monotonic() - begun) < WINDOW_SECONDS + FLUSH_SECONDS:
            advance(passed)
            time.sleep(0.2)
    said = _report(scene, "4b-abtest")
    voice.report(said)
    return early.numbers["finding"], said


def segments(scene: Scene) -> frozenset[str]:
    """Who is harmed while the whole gains."""
    scene.voice.act(
        "Segments: better for everybody?",
        "A gain over all users can hide a loss of a few. The same test is read by country, as was registered,"
        " with a correction for looking five times.",
    )
    file = scene.tools.folder / "test.yaml"
    said = scene.tools.report("5-segments", "segments", file, "--log", scene.tools.log, "--by", SEGMENTS_BY)
    scene.voice.report(said)
    shown = said.numbers["segments"]
    scene.voice.table(("country", "users", "points", "95% interval", ""), [_segment(each) for each in shown])
    harmed = frozenset(each["segment"].partition("=")[2] for each in shown if each["verdict"] == "harmed")
    if harmed:
        scene.voice.say(
            "A constraint in Unleash keeps the champion for them, and everybody else keeps what they have:"
        )
        values = [f"country={each}" for each in sorted(harmed)]
        scene.voice.command(typed("flags", "exclude", scene.flag, *values))
        there, elsewhere = scene.exclude(harmed)
        scene.voice.found(
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


def _report(scene: Scene, page: str) -> Said:
    file = scene.tools.folder / "test.yaml"
    return scene.tools.report(page, "abtest", "report", file, "--log", scene.tools.log)
