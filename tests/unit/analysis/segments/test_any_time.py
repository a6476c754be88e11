"""Segments that are read again and again: the promise, what is left out, and the command."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from analysis.__main__ import main
from analysis.abtest.registration import PlannedUsers, write
from analysis.metric import Kind, Metric
from analysis.segments.figures import SegmentFigures
from analysis.segments.measure import MOST_VALUES, Divided, Others, Segment
from analysis.statistics.effect import Sample, holm, holm_of
from analysis.statistics.sequential import Planned, compare, log_e
from tests.unit.analysis.abtest.registered import registration
from tests.unit.analysis.make_log import START, make_records, write_log
from tests.unit.analysis.segment_report import HARMED

ALPHA = 0.05
PLANNED = Planned(400, 400, 0.16)
METRIC = Metric(name="m", outcome="m", kind=Kind.PROPORTION)


def segment(value: str, ours: float, theirs: float, users: int = 1000) -> Segment:
    champion, challenger = (Sample(users, level, level * (1 - level)) for level in (ours, theirs))
    return Segment(champion, challenger, "country", value)


def figures(*segments: Segment) -> SegmentFigures:
    divided = Divided({"country": segments})
    return SegmentFigures(METRIC, divided, registered=frozenset({"country"}), any_time=PLANNED)


def ever_harmed(dice: np.random.Generator, effects: list[float], tests: int = 2000) -> np.ndarray:
    """(tests, segments): whether p, corrected for the whole family, was ever below alpha, of 40 readings."""
    looks, users, level = 40, 50, 0.2
    counts = users * np.arange(1, looks + 1)
    ever = np.zeros((tests, len(effects)), dtype=bool)
    for place, effect in enumerate(effects):
        ours, theirs = (
            dice.binomial(users, chance, (tests, looks)).cumsum(axis=1) for chance in (level, level + effect)
        )
        pooled = (ours + theirs) / (2 * counts)
        error = pooled * (1 - pooled) * 2 / counts
        found = (theirs - ours) / counts
        evidence = log_e(found, np.maximum(error, 1e-12), PLANNED.error(), ALPHA / MOST_VALUES)
        enough = (counts >= 100) & (np.minimum(pooled, 1 - pooled) * counts >= 5)
        ever[:, place] = ((np.exp(-evidence) * MOST_VALUES < ALPHA) & enough & (found < 0)).any(axis=1)
    return ever


def test_however_often_five_equal_segments_are_read_one_in_twenty_is_called_harmed_at_most() -> None:
    assert (
        ever_harmed(np.random.default_rng(1), [0.0] * 5).any(axis=1).mean() <= 0.025
    )  # the harmed half of 5%


def test_a_segment_that_is_harmed_is_found() -> None:
    found = ever_harmed(np.random.default_rng(2), [0.05, 0.05, -0.1])
    assert found[:, 2].mean() > 0.95
    assert found[:, :2].mean() < 0.01


def test_the_simulation_above_reads_as_the_report_does() -> None:
    one = segment("NO", 0.2, 0.1)
    effect = compare([(one.champion, one.challenger)], Kind.PROPORTION, PLANNED, alpha=ALPHA / MOST_VALUES)
    pooled = 0.15 * 0.85 * 2 / 1000
    evidence = log_e(np.float64(-0.1), np.float64(pooled), PLANNED.error(), ALPHA / MOST_VALUES)
    assert effect.p == pytest.approx(float(np.exp(-evidence)), rel=0.02)
    (row,) = figures(one, segment("SE", 0.2, 0.2, 50)).effects
    assert row.p == pytest.approx(effect.p * MOST_VALUES)
    assert row.family == MOST_VALUES


def test_holm_of_a_family_that_is_larger_than_what_was_compared() -> None:
    assert holm_of([0.001, 0.5], 20) == holm([0.001, 0.5, *[1.0] * 18])[:2]
    assert holm_of([0.001], 20)[0] == pytest.approx(0.02)
    assert holm_of([0.01, 0.04], 2) == holm([0.01, 0.04])


def test_what_is_put_together_and_what_has_too_many_values_is_left_out() -> None:
    others = Segment(
        Sample(500, 0.5, 0.25), Sample(500, 0.1, 0.09), "country", None, Others(3, ("A", "B", "C"))
    )
    found = figures(segment("NO", 0.2, 0.2), others)
    assert [each.segment.value for each in found.effects] == ["NO"]
    many = figures(*(segment(str(number), 0.2, 0.2) for number in range(MOST_VALUES)))
    assert many.effects == ()
    assert many.too_many == ("country",)
    assert found.too_many == ()
    assert not found.mixes
    assert not found.heterogeneity


def run(*args: str) -> Result:
    return CliRunner().invoke(main, ["segments", *args])


def test_a_test_that_has_not_ended_is_read_by_what_was_registered(tmp_path: Path) -> None:
    log = str(write_log(tmp_path, make_records(HARMED)))
    users = PlannedUsers(champion=4000, challenger=4000)
    common = {"registered": START, "users": users, "share": 50.0, "covariate": None, "window": "2d"}
    file, without = tmp_path / "t.yaml", tmp_path / "u.yaml"
    write(registration(**common, segments_by=("country",)), file)
    write(registration(**common, segments_by=()), without)
    result = run(str(file), "--log", log, "--sequential", "--format", "json")
    assert result.exit_code == 0, result.output
    numbers = json.loads(result.stdout)["numbers"]
    assert numbers["any_time"] is True
    assert {each["segment"] for each in numbers["segments"]} == {"country=NO", "country=SE", "country=DE"}
    assert all(each["family"] == MOST_VALUES for each in numbers["segments"])
    assert all(each["p_benjamini_hochberg"] is None for each in numbers["segments"])
    assert "Not before the test itself has ended" in run(str(file), "--log", log).output
    assert run(str(file), "--log", log, "--sequential", "--by", "plan").exit_code == 2
    assert run("--metric", "bought", "--log", log, "--sequential").exit_code == 2
    refused = run(str(without), "--log", log, "--sequential")
    assert refused.exit_code == 2
    assert "registered without --segments-by" in refused.output
