"""`./canario story`: from shadow to the decision; the acts are told in drills.story.acts."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click

from common.errors import CanarioError
from common.model_store import ModelStore
from common.names import Model
from common.release import Note
from common.terminal import Console
from drills.command import exit_codes, json_option, write_figures
from drills.story import acts
from drills.story.console import Commands, StoryConsole
from drills.story.context import Context, Plan, RolledBackError, truth_about
from drills.story.crowd import Crowd
from drills.story.models import train
from drills.story.shop import visitors
from drills.story.truth import Findings, compared, decision, faults
from drills.target import of_stack
from stack.api import Stack
from stack.paths import Home
from stack.progress import Progress
from stack.site import Settings, with_needs
from stack.up import step_count

DEFAULTS = Plan()
PROGRAMS = ("unleash", "prometheus", "service", "rollback", "board")
ROLLOUTS = Path(__file__).parent / "rollouts"
KNOWN = 20_000  # visitors of whom it is worked out what is true


class StoryError(CanarioError):
    """The story cannot have its folder."""


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
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of its own servers, made anew; default: .canario/story.",
)
@click.option("--keep", is_flag=True, help="Leave its servers up until Ctrl-C.")
def story(  # noqa: PLR0913, PLR0917 - one for each option
    shadow: int, effect: float, rate: float, json_file: Path | None, home: Path | None, keep: bool
) -> None:
    """From shadow to the decision in a simulated shop, on servers of its own. Takes some four minutes.

    Shadow, power, canary, a registered A/B test, its segments, the decision; every report is a page to open.
    The shop's two models are trained here. Its visitors buy more often after a model that knows who is ready
    to: most countries gain by the challenger, a small one loses. Nothing of `./canario up` is touched.

    \b
    Exit codes:
      0    the reports found what is true of the visitors
      1    they did not, or the challenger was rolled back meanwhile
      2    wrong usage
      3    the story could not be told
      130  interrupted

    \b
    Examples:
      ./canario story
      ./canario story --effect 0.05 --keep
    """
    console = StoryConsole(Console(highlight=False))
    with exit_codes("the story could not be told"), _own_stack(home, console) as (stack, models):
        commands = Commands(stack)
        try:
            truth = truth_about(models, visitors("everybody", KNOWN))
            crowd = Crowd(stack.addresses.service, rate)
            plan = Plan(shadow, effect, rate)
            found = _acts(Context(of_stack(stack), models, truth, crowd, commands, console, plan))
        except RolledBackError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(1)
        wrong = faults(found, truth)
        console.table(("", "the reports found", "true"), compared(found, truth))
        console.next_steps(commands.folder)
        for each in wrong:
            console.found(f"NOT AS IT IS: {each}.", style="bold red")
        if not wrong:
            console.found("The reports found what is true.", style="bold green")
        figures = {**asdict(found), "harmed": sorted(found.harmed), "faults": wrong}
        write_figures(console.line, json_file, figures)
        if keep:
            console.line(f"All of it stays up until Ctrl-C: {commands.typed('status')}")
            stack.wait()
    sys.exit(1 if wrong else 0)


@contextmanager
def _own_stack(folder: Path | None, console: StoryConsole) -> Iterator[tuple[Stack, dict[Model, Path]]]:
    """The servers in a fresh folder, with the shop's models. Raises StoryError, ArtifactError, StackError."""
    home = Home((folder or Home.default().root / "story").absolute())
    if home.root.exists() and any(home.root.iterdir()) and not home.settings.exists():
        raise StoryError(f"{home.root} holds something else: name an empty folder by --home")
    if Stack(home.root).is_running:
        raise StoryError(f"another story is being told in {home.root}: wait for its end, or end it by Ctrl-C")
    shutil.rmtree(home.root, ignore_errors=True)
    console.say("Training the shop's two models on simulated visitors of last year.")
    models = train(home.root / "trained")
    ModelStore(home.models).install(models[Model.CHAMPION], models[Model.CHALLENGER], Note("./canario story"))
    progress = Progress(step_count(Settings(programs=with_needs(PROGRAMS))))
    environment = {"flags": {"CANARIO_ROLLOUTS": str(ROLLOUTS)}}
    with Stack(home.root, only=PROGRAMS, ports="free", environment=environment, progress=progress) as stack:
        console.line(f"Watch it on the board:  {stack.addresses.board}")
        yield stack, models


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
