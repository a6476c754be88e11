"""A log whose challenger harms one segment, and the command that reports segments."""

from click.testing import CliRunner, Result

from analysis.__main__ import main
from tests.unit.analysis.make_log import LogPlan

HARMED = LogPlan(
    users=3000,
    requests=1.2,
    baseline=0.3,
    effect=0.08,
    segment_effects={("country", "DE"): -0.12},
    shadow=0,
    by_user=0.3,
)


def run(*args: str) -> Result:
    return CliRunner().invoke(main, ["segments", *args])
