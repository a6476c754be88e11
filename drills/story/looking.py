"""Acts one to three: before anybody is compared. Shadow, power, canary."""

import time
from datetime import UTC, datetime

from drills.story.keeper import SHADOW
from drills.story.models import true_agreement
from drills.story.scene import FLUSH_SECONDS, SETTLE_SECONDS, Scene, TakenAwayError

CANARY_SHARE, TEST_SHARE = 5, 50
CANARY_USERS_A_SECOND = 120.0
CANARY_SECONDS = 26.0  # guardrails need three scrapes of the stage, and a hundred calls


def shadow(scene: Scene) -> tuple[float, float]:
    """The challenger sees requests, and nobody its answers: the true agreement, and the reported one."""
    voice, users = scene.voice, scene.truth.users("shadow", scene.plan.shadow, len(scene.rows))
    voice.act(
        "Shadow: what would the challenger say?",
        f"The flag {SHADOW} goes to 100%: the challenger sees every request too, off the response path. All"
        " users get the champion's answer, so this costs nobody anything.",
    )
    true = true_agreement(scene.models, scene.rows, users)
    scene.keeper.share(scene.flag, 0)
    scene.keeper.share(SHADOW, 100)
    time.sleep(SETTLE_SECONDS)
    since = datetime.now(UTC)
    with voice.progress("requests that both models see", len(users)) as advance:
        scene.crowd.send(users, enough=lambda counts: advance(counts.total()))
    time.sleep(FLUSH_SECONDS)
    scene.keeper.share(SHADOW, 0)
    said = scene.tools.report(
        "1-shadow", "shadow", "--log", scene.tools.log, "--since", since.isoformat(timespec="milliseconds")
    )
    voice.report(said)
    if said.tone == "bad":
        voice.say(
            "A team would look into that before it goes on. This story goes on, because its users' taste is"
            " simulated, whatever the models say."
        )
    return true, float(said.numbers["agreement"]["value"])


def power(scene: Scene) -> None:
    """How many users the A/B test needs."""
    baseline, effect = scene.truth.baseline, scene.plan.effect
    scene.voice.act(
        "Power: how many users does a test need?",
        f"Today {baseline:.0%} of the users buy, and a change of {100 * effect:g} points must not be missed."
        " Who knows the number beforehand knows when to look, and does not stop at the first good day.",
    )
    said = scene.tools.report(
        "2-power",
        "power",
        "--baseline",
        f"{baseline:g}",
        "--effect",
        f"{effect:g}",
        "--share",
        str(TEST_SHARE),
    )
    scene.voice.report(said)


def canary(scene: Scene) -> None:
    """A few users first, for as long as the guardrails need; then half of them.

    Raises:
        TakenAwayError: a guardrail is breached, or somebody changed the flag.
    """
    voice = scene.voice
    voice.act(
        f"Canary: {CANARY_SHARE}% of the users, under guard",
        "Is it safe? comes before: is it better? The rollback job reads errors and latency from Prometheus"
        " every few seconds, and would take the challenger away by itself.",
    )
    scene.share(CANARY_SHARE)
    seconds, begun = CANARY_SECONDS, time.monotonic()
    users = scene.truth.users("canary", int(seconds * CANARY_USERS_A_SECOND), len(scene.rows))
    with voice.progress(f"seconds of {CANARY_SHARE}%", seconds) as advance:
        counts = scene.crowd.send(
            users, enough=lambda _: advance(time.monotonic() - begun), rate=CANARY_USERS_A_SECOND
        )
    voice.found(f"{counts['challenger']} of {counts.total()} users got the challenger.", style="")
    voice.command("python3 -m stack exec python -m rollback check")
    require_exposure(scene)
    checked = scene.tools.check()
    for each in checked["verdicts"]:
        voice.found(f"{each['guardrail']:<20} {each['verdict']:<14} {each['sentence']}", style="")
    if checked["exit_code"]:
        raise TakenAwayError(f"the challenger would be taken away now: {checked['outcome']}")
    voice.found(f"No guardrail is breached: on to {TEST_SHARE}%, where both models have equally many users.")
    scene.share(TEST_SHARE)


def require_exposure(scene: Scene) -> None:
    """Raises TakenAwayError where somebody took the challenger away since the story's last change."""
    if who := scene.keeper.taken_away(scene.flag):
        raise TakenAwayError(
            f"{who}. If it was the rollback job: `python3 -m stack exec python -m rollback explain` has why,"
            f" and its version is blocked until `python3 -m stack exec python -m flags lift {scene.flag}"
            ' --reason "..."`'
        )
