"""`python -m drills story`."""

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click
import requests
from sklearn.datasets import load_breast_cancer

from common.errors import CanarioError
from common.terminal import Console
from drills.as_found import require_free_way
from drills.story import looking, testing
from drills.story.crowd import Crowd
from drills.story.ending import Findings, compared, decision, faults
from drills.story.keeper import bring_back, kept
from drills.story.notes import opened
from drills.story.scene import Plan, Scene, TakenAwayError
from drills.story.tools import Tools
from drills.story.truth import TRUTH
from drills.story.voice import Voice
from drills.target import of_stack
from stack.api import Stack

DEFAULTS = Plan()


@click.command()
@click.option(
    "--shadow", type=click.IntRange(1000), default=DEFAULTS.shadow, show_default=True, help="Shadow requests."
)
@click.option(
    "--effect",
    type=click.FloatRange(0.02, 0.05),
    default=DEFAULTS.effect,
    show_default=True,
    help="Smallest change that the test must not miss; a larger one needs fewer users.",
)
@click.option(
    "--rate",
    type=click.FloatRange(10, 1000),
    default=DEFAULTS.rate,
    show_default=True,
    help="Users a second, at most.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the findings to this file.",
)
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the stack; default: that of `make up`.",
)
@click.option(
    "--restore", is_flag=True, help="Only bring back what a story that was killed has left, and tell none."
)
def story(  # noqa: PLR0913, PLR0917 - one for each option
    shadow: int, effect: float, rate: float, json_file: Path | None, home: Path | None, restore: bool
) -> None:
    """From shadow to the decision, on simulated users of the running stack. Takes some three minutes.

    Shadow, power, canary, a registered A/B test, its segments, the decision; every report is a page to open.
    The users' true tastes are simulated: most countries gain by the challenger, a small one loses. Flags end
    as they were found, also after Ctrl-C; after a kill -9 by the next story, or by --restore.

    \b
    Exit codes:
      0    the reports found what was simulated
      1    they did not, or the challenger was taken away meanwhile
      2    wrong usage
      3    the story could not be told
      130  interrupted

    \b
    Examples:
      make story
      make story ARGS="--effect 0.05"
    """
    console = Console(highlight=False)
    voice = Voice(console)
    try:
        stack = Stack.existing(home)
        if restore:
            _restore(stack, voice)
            return
        found, folder = _tell(stack, voice, Plan(shadow, effect, rate))
    except TakenAwayError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except (CanarioError, requests.RequestException) as error:
        click.echo(f"error: the story could not be told: {error}", err=True)
        sys.exit(3)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(130)
    wrong = faults(found, TRUTH)
    voice.table(("", "the reports found", "simulated"), compared(found, TRUTH))
    voice.next_steps(stack.addresses, folder)
    for each in wrong:
        voice.found(f"NOT AS SIMULATED: {each}.", style="bold red")
    if not wrong:
        voice.found("The reports found what was simulated.", style="bold green")
    if json_file:
        figures = {**asdict(found), "harmed": sorted(found.harmed), "faults": wrong}
        json_file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    sys.exit(1 if wrong else 0)


def _tell(stack: Stack, voice: Voice, plan: Plan) -> tuple[Findings, Path]:
    """All acts; what the reports found, and the folder with them."""
    target, site, stories = of_stack(stack), stack.site, _stories(stack)
    requests.get(f"{target.service}/readyz", timeout=5).raise_for_status()
    target.switch_fault_off()
    rows = load_breast_cancer().data.tolist()
    folder = stories / datetime.now(UTC).strftime("%Y-%m-%d-%H%M%S")
    tools, crowd = Tools(stack, folder), Crowd(target.service, rows, plan.rate)
    with opened(stories) as notebook:
        bring_back(target, stack, tools, notebook, voice.say)
        require_free_way(stack, target)
        folder.mkdir()
        with kept(target, stack, tools, notebook, voice.say) as keeper:
            found = _acts(
                Scene(target.flag, site.home.models, rows, keeper, crowd, tools, voice, TRUTH, plan)
            )
    return found, folder


def _acts(scene: Scene) -> Findings:
    """All of them; what the reports found."""
    true, agreement = looking.shadow(scene)
    looking.power(scene)
    looking.canary(scene)
    early, test = testing.abtest(scene)
    harmed = testing.segments(scene)
    effect = test.numbers["effect"] or {"difference": None, "interval": None}
    interval = effect["interval"]
    found = Findings(
        true_agreement=true,
        agreement=agreement,
        early=early,
        verdict=test.numbers["finding"],
        effect=effect["difference"],
        interval=(interval[0], interval[1]) if interval else None,
        harmed=harmed,
    )
    scene.voice.act("The decision")
    scene.voice.found(decision(found))
    return found


def _restore(stack: Stack, voice: Voice) -> None:
    """What a story that was killed has left, and no more."""
    with opened(_stories(stack)) as notebook:
        tools = Tools(stack, _stories(stack))
        if not bring_back(of_stack(stack), stack, tools, notebook, voice.say):
            voice.say("No story was killed in its middle: there is nothing to bring back.")


def _stories(stack: Stack) -> Path:
    return stack.site.home.data / "story"
