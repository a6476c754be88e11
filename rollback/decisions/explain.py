"""`./canario explain`: a decision in sentences, and its verdicts judged again from what was kept."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from common.config import ConfigError, load_settings
from common.rollouts import choose_name
from common.terminal import Console
from rollback.decisions.log import DecisionError, DecisionLog, log_from
from rollback.decisions.story import aftermath, tell, title
from rollback.guardrails.file import rejudge
from rollback.iteration import ExitCode
from rollback.settings import DecisionSettings, decisions_of

MOST_LISTED = 20
TOLERANCE = 1e-6  # of log e: other versions of numpy add in another order


@click.command()
@click.argument("decision_id", metavar="[ID]", required=False)
@click.option("--list", "listing", is_flag=True, help=f"The last {MOST_LISTED} decisions, newest first.")
@click.option(
    "--json", "as_json", is_flag=True, help="The document as it was kept, with what follows from it."
)
@click.option(
    "--decisions",
    "folder",
    type=click.Path(path_type=Path),
    help="Folder of the decisions log; default: CANARIO_DECISIONS_DIR.",
)
@click.option("--rollout", "name", metavar="NAME", help="Whose decisions, where there are several rollouts.")
def explain(
    decision_id: str | None, listing: bool, as_json: bool, folder: Path | None, name: str | None
) -> None:
    """Tell why the job decided what it decided: the last rollback, or the decision ID.

    Each verdict is judged again from the counts that were kept with it, without asking Prometheus. ID may be
    the beginning or the end of an id, as long as it names one decision.

    \b
    Exit codes:
      0  told; every verdict that can be judged again comes out the same
      1  a verdict comes out differently
      2  wrong usage, no decisions log, or no such decision
    """
    try:
        log = _log(folder, name)
        if listing:
            _list(log)
            return
        decision = log.find(decision_id) if decision_id else log.latest()
        after = log.stop_of(decision)
    except (ConfigError, DecisionError) as error:
        click.echo(error, err=True)
        raise SystemExit(ExitCode.MISCONFIGURED) from None
    checks = [_check(verdict) for verdict in decision.verdicts]
    if as_json:
        document = decision.model_dump(mode="json", by_alias=True)
        told = {"title": title(decision), "sentences": list(tell(decision, after)), "judged_again": checks}
        click.echo(json.dumps(document | {"explanation": told}, indent=2))
    else:
        known = aftermath(decision)
        first = [*known.lines, ""] if known else []
        head = [title(decision), f"({decision.id})", "", *first]
        click.echo("\n".join([*head, *tell(decision, after), *_judged(checks)]))
    raise SystemExit(int(any(check["same"] is False for check in checks)))


def _log(folder: Path | None, name: str | None) -> DecisionLog:
    settings = load_settings(DecisionSettings)
    if folder is None:
        folder = decisions_of(settings.decisions_dir, choose_name(name))
    log = log_from(settings, folder)
    if log is None:
        raise ConfigError("CANARIO_DECISIONS_DIR: names no folder (set it, or --decisions)")
    if not log.folder.is_dir():
        raise ConfigError(f"{log.folder}: is no folder yet: the job has kept no decision there")
    return log


def _check(verdict: dict[str, Any]) -> dict[str, Any]:
    """One verdict judged again; `same` is None where nothing was kept that could be judged."""
    check = {"guardrail": verdict["guardrail"], "verdict": verdict["verdict"], "same": None}
    if not verdict.get("evidence"):
        return check
    try:
        status, sentence, log_e = rejudge(verdict["evidence"])
    except Exception as error:  # evidence of an older version of the job is no reason to tell nothing
        return check | {"fault": f"{type(error).__name__}: {error}"}
    before = verdict["evidence"].get("log_e")
    close = before is None or log_e is None or math.isclose(log_e, float(before), abs_tol=TOLERANCE)
    again = {"verdict_again": status.value, "sentence_again": sentence, "log_e_again": log_e}
    return check | again | {"same": status.value == verdict["verdict"] and close}


def _judged(checks: list[dict[str, Any]]) -> Iterator[str]:
    if not checks:
        return
    yield ""
    yield "Judged again from what was kept:"
    for check in checks:
        name = check["guardrail"]
        if "fault" in check:
            yield f"  {name}: cannot be judged again ({check['fault']})"
        elif check["same"] is None:
            yield f"  {name}: {check['verdict']}, without any counts to judge it by"
        else:
            evidence = (
                f", test score {check['log_e_again'] + 0.0:.1f}" if check["log_e_again"] is not None else ""
            )
            verdict = f"{check['verdict_again']}{evidence}"
            yield f"  {name}: {verdict}: {'the same' if check['same'] else 'NOT what the job said'}"


def _list(log: DecisionLog) -> None:
    table = Table(box=None)
    table.add_column("id, which begins with the time (UTC)", no_wrap=True)
    table.add_column("what")
    for decision in log.newest(MOST_LISTED):
        table.add_row(decision.id, title(decision))
    Console().print(table)
