"""`./canario dashboard`: write the Grafana dashboard from its code."""

from pathlib import Path

import click

from common.options import start
from monitoring.dashboard.build import FILE, Pages, build, render

DEFAULT = Pages()


@click.command()
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=FILE,
    help="Instead of Grafana's folder.",
)
@click.option("--board", default=DEFAULT.board, show_default=True, help="Address of the board, for the link.")
@click.option("--unleash", default=DEFAULT.unleash, show_default=True, help="Address of the Unleash UI.")
@click.option("--runbook", default=DEFAULT.runbook, help="Where your people read docs/runbook.md.")
def main(out: Path, board: str, unleash: str, runbook: str) -> None:
    """Write monitoring/grafana/dashboards/canario.json, which Grafana provisions.

    A test holds the file in the repository equal to the code. Give addresses where they are others than
    those of docker compose on this machine; an empty one leaves its link out.
    """
    out.write_text(render(build(Pages(board.rstrip("/"), unleash.rstrip("/"), runbook))), encoding="utf-8")
    click.echo(f"wrote {out}")


if __name__ == "__main__":
    start(main, "monitoring.dashboard")
