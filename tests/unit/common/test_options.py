"""Types of options that several command lines share."""

from datetime import UTC, datetime, timedelta

import click
import pytest
from click.testing import CliRunner

from common.options import MOMENT, DurationType, Parsed, parse_moment


@click.command()
@click.option("--every", type=DurationType(), default=timedelta(minutes=1))
@click.option("--since", type=MOMENT)
@click.option("--even", type=Parsed("even number", lambda text: int(text) // 2))
def command(every: timedelta, since: datetime | None, even: int | None) -> None:
    click.echo(f"{every} {since} {even}")


def told(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(command, words)
    return done.exit_code, done.output


def test_what_is_parsed_and_what_is_a_value_already() -> None:
    assert told() == (0, "0:01:00 None None\n")
    code, said = told("--every", "90s", "--since", "2026-11-20T08:00", "--even", "4")
    assert (code, said) == (0, "0:01:30 2026-11-20 08:00:00+00:00 2\n")


def test_a_fault_is_a_wrong_usage_in_the_words_of_the_parser() -> None:
    for words, fault in {
        ("--since", "soon"): "'soon' is neither a time (2026-11-20T08:00) nor how long ago (24h)",
        ("--even", "x"): "invalid literal for int()",
        ("--every", "5"): "Invalid value for '--every'",
    }.items():
        code, said = told(*words)
        assert code == 2
        assert fault in said


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-20T08:00", datetime(2026, 11, 20, 8, tzinfo=UTC)),
        ("2026-11-20T08:00+02:00", datetime(2026, 11, 20, 6, tzinfo=UTC)),
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
    ],
)
def test_a_moment(text: str, moment: datetime) -> None:
    assert parse_moment(text) == moment


def test_how_long_ago() -> None:
    assert abs(parse_moment("24h") - (datetime.now(UTC) - timedelta(days=1))) < timedelta(seconds=5)
