"""`./canario backtest`: the guardrails tried on what Prometheus remembers."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TextIO, TypedDict, Unpack

import click
import numpy as np

from common.arms import Arms
from common.config import ConfigError, load_settings
from common.durations import format_duration
from common.errors import CanarioError
from common.names import Model
from common.options import MOMENT, DurationType, Parsed, json_file
from common.prometheus import Prometheus
from common.rollouts import choose
from common.terminal import Console
from rollback.backtest import history, replay, together
from rollback.backtest.change import ERRORS, LATENCY, How, Injection, parse_injection
from rollback.backtest.report import Backtest, fields, show
from rollback.guardrails.file import Policy
from rollback.iteration import ExitCode
from rollback.rollouts import PROGRAM, GuardedFile, policy_of
from rollback.settings import PrometheusSettings
from rollback.simulate.report import counted_progress

READ_SECONDS = 60.0  # of one piece of history: nobody waits for a rollback here
PRETENDED_SHARE = 5.0  # percent, where history has no canary
SHORTEST = timedelta(minutes=10)


class NoHistoryError(CanarioError):
    """Prometheus remembers nothing that could be tried."""


class _Options(TypedDict):
    since: datetime
    until: datetime | None
    share: float | None
    injections: tuple[Injection, ...]
    after: timedelta | None
    stage: timedelta | None
    draws: int
    seed: int
    picture_file: Path | None
    name: str | None
    file: Path | None
    json_file: TextIO | None


@click.command()
@click.option(
    "--since", type=MOMENT, required=True, help="From then on: 24h (ago), or 2026-11-20T08:00 (UTC)."
)
@click.option("--until", type=MOMENT, help="Until then; now by default.")
@click.option(
    "--share",
    type=click.FloatRange(0, 50, min_open=True),
    metavar="PERCENT",
    help="Pretend a canary of so many percent, drawn from the champion's calls. By default the canary of"
    f" history counts, and where there was none, one of {PRETENDED_SHARE:g}%.",
)
@click.option(
    "--inject",
    "injections",
    type=Parsed("regression", parse_injection),
    multiple=True,
    help="Make the challenger worse: 'errors x2', 'errors +1%', 'latency x1.5', 'latency +500ms', or a"
    " guardrail with counters by its name, 'conversion x0.8'. May be given again.",
)
@click.option("--after", type=DurationType(), help="How long it is well before that; not at all by default.")
@click.option(
    "--stage",
    type=DurationType(),
    help="Length of a rollout; history is cut into so many. By default one of all.",
)
@click.option(
    "--draws", type=click.IntRange(1, 1000), default=10, show_default=True, help="Times that each is drawn."
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Same seed, same figures.")
@click.option(
    "--picture",
    "picture_file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Draw the evidence over time into this HTML file.",
)
@click.option("--rollout", "name", metavar="NAME", help="Whose history, where there are several rollouts.")
@click.option(
    "--guardrails",
    "file",
    type=click.Path(path_type=Path),
    help="File to try, instead of what the rollout's file says.",
)
@json_file("Write JSON to FILE, or to standard output instead of the tables.")
def backtest(**options: Unpack[_Options]) -> None:
    """Try the guardrails on what Prometheus remembers: would they have cried wolf, and how soon had they seen
    a regression?

    History is read as raw counters, and goes through the code by which the job judges. A pretended challenger
    is the champion's equal, so each of its rollbacks is a false one. Breaches are found at the end of a step
    of the counts; the job comes to them with its next pass. Nothing is asked of Unleash, nothing is changed.

    \b
    Needs CANARIO_PROMETHEUS_URL. Exit codes: 0 tried, whatever came of it; 2 wrong usage, guardrails or
    variables; 3 Prometheus could not be asked, or remembers nothing of that time.

    \b
    Examples:
      ./canario backtest --since 24h
      ./canario backtest --since 7d --stage 6h --share 5 --inject 'errors x2' --after 1h
      ./canario backtest --since 24h --inject 'latency x1.5' --picture evidence.html
    """
    try:
        chosen = choose(GuardedFile, PROGRAM, options["name"])
        policy = policy_of(chosen, options["file"], history.signals_of(chosen.file.signals))
        settings = load_settings(PrometheusSettings, chosen.environment)
    except ConfigError as error:
        click.echo(error, err=True)
        raise SystemExit(ExitCode.MISCONFIGURED) from None
    _check_injections(policy, options["injections"])
    part = chosen.file.flag
    arms = chosen.arms(part.name, part.environment, settings.selector)
    prometheus = Prometheus(settings.prometheus_url.get_secret_value(), read=READ_SECONDS)
    try:
        study = _try(policy, prometheus, arms, options)
    except CanarioError as error:
        click.echo(f"error: {error}", err=True)
        raise SystemExit(ExitCode.CANNOT_MEASURE) from None
    # The rollback job has the same entry point, and no use for these.
    from rollback.backtest import picture  # noqa: PLC0415

    if options["picture_file"]:
        options["picture_file"].write_text(picture.page(study), encoding="utf-8")
    json_file = options["json_file"]
    if json_file is not None:
        json.dump(fields(study), json_file, indent=2, allow_nan=False)
        json_file.write("\n")
        return
    console = Console()
    show(study, console)
    click.echo(picture.terminal(study, colours=console.is_terminal))
    if options["picture_file"]:
        click.echo(f"Picture: {options['picture_file']}")


def _try(policy: Policy, prometheus: Prometheus, arms: Arms, options: _Options) -> Backtest:
    since, until = options["since"], options["until"] or datetime.now(UTC)
    after = options["after"] or timedelta()
    with counted_progress() as progress:
        reading = progress.add_task("reading history", total=None)
        read = history.read(
            prometheus,
            policy,
            since,
            until,
            lambda done, every: progress.update(reading, completed=done, total=every),
            arms=arms,
        )
        families = replay.families(policy, read)
        stage = _stage(read, families, policy, options, until)
        pretended = _pretended(families, options["share"])
        _check_errors(families, options["injections"], policy)
        before, size = history.BEFORE // policy.step, stage // policy.step
        starts = range(before, read.steps - size + 1, size)
        draws = options["draws"] if pretended is not None or options["injections"] else 1
        recipes = [replay.Recipe(pretended)]
        if options["injections"]:
            recipes.append(replay.Recipe(pretended, options["injections"], after // policy.step))
        playing = progress.add_task("rollouts", total=len(starts) * draws * len(recipes))
        rollouts: list[list[replay.Rollout]] = [[] for _ in recipes]
        for which, recipe in enumerate(recipes):
            once = pretended is None and not recipe.injections  # nothing is drawn by chance
            for number, first in enumerate(starts):
                for draw in range(1 if once else draws):
                    dice = np.random.default_rng([options["seed"], number, draw])
                    rollouts[which].append(
                        replay.play(policy, read, families, range(first, first + size), recipe, dice)
                    )
                    progress.advance(playing)
    return Backtest(
        since=since,
        until=until,
        stage=size * policy.step,
        step=policy.step,
        draws=draws,
        pretended=pretended,
        injections=options["injections"],
        after=after,
        plain=rollouts[0],
        worse=rollouts[1] if len(rollouts) > 1 else [],
        together=together.look(prometheus, arms, since, until, policy.step),
    )


def _stage(
    read: history.History, families: replay.Families, policy: Policy, options: _Options, until: datetime
) -> timedelta:
    """The length of a rollout. Raises NoHistoryError, UsageError."""
    since = options["since"]
    span = until - since
    if span < SHORTEST:
        raise click.UsageError(
            f"from --since to --until are {span}: {format_duration(SHORTEST)} are the least"
        )
    before = history.BEFORE // policy.step
    calls = sum(
        int(family.between(before, read.steps).calls(Model.CHAMPION).sum()) for family in families.values()
    )
    if not calls:
        raise NoHistoryError(
            f"Prometheus remembers no calls of the champion from {since:%Y-%m-%d %H:%M} to"
            f" {until:%Y-%m-%d %H:%M} UTC: choose a time with traffic, or see its setting"
            " --storage.tsdb.retention.time"
        )
    stage = min(options["stage"] or span, span, history.longest_stage(policy.step))
    if stage < SHORTEST or (options["after"] or timedelta()) >= stage:
        raise click.UsageError(
            f"a rollout of {format_duration(stage)} is too short: it takes {format_duration(SHORTEST)}"
            " at least, and must outlast --after"
        )
    return stage


def _pretended(families: replay.Families, share: float | None) -> float | None:
    if share is not None:
        return share / 100
    had = any(family.calls(Model.CHALLENGER).any() for family in families.values())
    if had:
        return None
    click.echo(f"History has no canary: one of {PRETENDED_SHARE:g}% is pretended.", err=True)
    return PRETENDED_SHARE / 100


def _check_injections(policy: Policy, injections: tuple[Injection, ...]) -> None:
    named = (each.name for each in policy.guardrails if each.series and not each.edges_of)
    known = list(dict.fromkeys((LATENCY, ERRORS, *named)))
    for injection in injections:
        if injection.what not in known:
            raise click.UsageError(f"--inject {injection.text!r}: there is {', '.join(known)}")


def _check_errors(families: replay.Families, injections: tuple[Injection, ...], policy: Policy) -> None:
    """Twice nothing is nothing."""
    for injection in injections:
        if injection.what == LATENCY or injection.how is not How.TIMES:
            continue
        mine = [families[key] for key in replay.keys_of(policy, injection) if key in families]
        if not any(family.groups[model][:, 0].any() for family in mine for model in Model):
            raise NoHistoryError(
                f"{injection.text}: history has none of these, and so many times nothing is nothing;"
                f" write {injection.what} +1%"
            )
