"""`./canario story`: from shadow to the decision; the acts are told in drills.story.acts."""

import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click
import requests
from sklearn.datasets import load_breast_cancer

from common.terminal import Console
from drills.command import exit_codes, home_option, json_option, write_figures
from drills.flag_restorer import bring_back, flags_restored, notes_folder
from drills.notes import opened
from drills.story import acts
from drills.story.console import Commands, StoryConsole
from drills.story.context import SHADOW, Context, Plan, RolledBackError
from drills.story.crowd import Crowd
from drills.story.truth import TRUTH, Findings, compared, decision, faults
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
@json_option
@home_option
@click.option(
    "--restore",
    is_flag=True,
    help="Only bring back what a story or demo that was killed has left, and tell none.",
)
def story(  # noqa: PLR0913, PLR0917 - one for each option
    shadow: int, effect: float, rate: float, json_file: Path | None, home: Path | None, restore: bool
) -> None:
    """From shadow to the decision, on simulated users of the running stack. Takes some three minutes.

    Shadow, power, canary, a registered A/B test, its segments, the decision; every report is a page to open.
    The users' true tastes are simulated: most countries gain by the challenger, a small one loses. Flags end
    as they were found, also after Ctrl-C; after a kill -9 by the next story or demo, or by --restore.

    \b
    Exit codes:
      0    the reports found what was simulated
      1    they did not, or the challenger was rolled back meanwhile
      2    wrong usage
      3    the story could not be told
      130  interrupted

    \b
    Examples:
      ./canario story
      ./canario story --effect 0.05
    """
    console = StoryConsole(Console(highlight=False))
    with exit_codes("the story could not be told"):
        stack = Stack.existing(home)
        if restore:
            _restore(stack, console)
            return
        try:
            found, folder = _tell(stack, console, Plan(shadow, effect, rate))
        except RolledBackError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(1)
    wrong = faults(found, TRUTH)
    console.table(("", "the reports found", "simulated"), compared(found, TRUTH))
    console.next_steps(stack.addresses, folder)
    for each in wrong:
        console.found(f"NOT AS SIMULATED: {each}.", style="bold red")
    if not wrong:
        console.found("The reports found what was simulated.", style="bold green")
    write_figures(console.line, json_file, {**asdict(found), "harmed": sorted(found.harmed), "faults": wrong})
    sys.exit(1 if wrong else 0)


def _tell(stack: Stack, console: StoryConsole, plan: Plan) -> tuple[Findings, Path]:
    """All acts; what the reports found, and the folder with them."""
    target = of_stack(stack)
    requests.get(f"{target.service}/readyz", timeout=5).raise_for_status()
    target.switch_fault_off()
    rows = load_breast_cancer().data.tolist()
    folder = notes_folder(stack) / datetime.now(UTC).strftime("%Y-%m-%d-%H%M%S")
    commands, crowd = Commands(stack, folder), Crowd(target.service, rows, plan.rate)
    # The sample traffic is silent meanwhile: the story is about its own users.
    names = (target.flag, SHADOW)
    with flags_restored(stack, target, console.say, "story", names=names, silent=True) as flags:
        folder.mkdir()
        models = stack.site.home.models
        found = _acts(Context(target.flag, models, rows, flags, crowd, commands, console, TRUTH, plan))
    return found, folder


def _acts(context: Context) -> Findings:
    """All of them; what the reports found."""
    true, agreement = acts.shadow(context)
    acts.power(context)
    acts.canary(context)
    early, test = acts.abtest(context)
    harmed = acts.segments(context)
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
    context.console.act("The decision")
    context.console.found(decision(found))
    return found


def _restore(stack: Stack, console: StoryConsole) -> None:
    """What a run that was killed has left, and no more."""
    with opened(notes_folder(stack)) as notebook:
        if not bring_back(stack, of_stack(stack), notebook, console.say):
            console.say("No story or demo was killed in its middle: there is nothing to bring back.")
