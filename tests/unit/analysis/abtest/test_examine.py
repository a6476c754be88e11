"""Registered tests against logs: what is read, when, and what is not."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from analysis.abtest.examine import Examined, ReportOptions, examine
from analysis.abtest.measure import loaded
from analysis.abtest.registration import RegisteredSegment
from analysis.abtest.verdict import Finding
from analysis.errors import AnalysisError
from analysis.log import open_log
from analysis.metric import Kind, Metric
from tests.unit.analysis.abtest.logs import Visit, covered, crowd, write_visits
from tests.unit.analysis.abtest.registered import RETURNED, promised, read
from tests.unit.analysis.make_log import START


def effect_of(examined: Examined) -> tuple[float, float]:
    """Levels of champion and challenger."""
    assert examined.results is not None
    effect = examined.results.comparison.plain
    return effect.champion, effect.challenger


@pytest.mark.parametrize(
    ("challenger", "expected"), [(0.8, Finding.BETTER), (0.2, Finding.WORSE), (0.5, Finding.NO_DIFFERENCE)]
)
def test_verdicts(tmp_path: Path, challenger: float, expected: Finding) -> None:
    examined = read(tmp_path, crowd(1, 400, 0.5, challenger))
    assert examined.finding is expected
    assert examined.results is not None
    if expected is Finding.NO_DIFFERENCE:
        assert examined.results.smallest == pytest.approx(0.166, abs=0.01)


def test_the_verdict_is_that_of_the_users_that_were_waited_for(tmp_path: Path) -> None:
    """Those who come afterwards change nothing, however long one goes on: no waiting for luck."""
    visits = crowd(2, 340, 0.5, 0.5)
    later = [visit._replace(user="x" + visit.user, day=visit.day + 9) for visit in crowd(3, 900, 0.1, 0.9)]
    first, again = read(tmp_path / "1", visits), read(tmp_path / "2", visits + later, day=20)
    assert first.finding is again.finding is Finding.NO_DIFFERENCE
    assert first.results is not None
    assert again.results is not None
    assert first.results.comparison == again.results.comparison
    assert first.ratio == again.ratio
    assert again.progress.arrived.users != first.progress.arrived.users


def test_before_n_there_is_progress_and_nothing_to_see(tmp_path: Path) -> None:
    examined = read(tmp_path, crowd(1, 400, 0.1, 0.9), day=3)
    assert (examined.finding, examined.results) == (Finding.TOO_EARLY, None)
    assert sum(examined.progress.arrived.users) == pytest.approx(172, abs=1)
    assert examined.progress.expected is not None
    assert START + timedelta(days=5.5) < examined.progress.expected < START + timedelta(days=8.5)


def test_the_last_users_outcomes_have_their_time(tmp_path: Path) -> None:
    visits = crowd(1, 400, 0.1, 0.9)
    reached = read(tmp_path / "1", visits).progress.reached
    assert reached is not None
    waiting = read(tmp_path / "2", visits, until=reached + timedelta(hours=23))
    assert (waiting.finding, waiting.results) == (Finding.TOO_EARLY, None)
    assert waiting.progress.expected == reached + timedelta(days=1)
    done = read(tmp_path / "3", visits, until=reached + timedelta(hours=25))
    assert done.finding is Finding.BETTER


def test_read_at_any_time_before_n(tmp_path: Path) -> None:
    visits = crowd(1, 400, 0.1, 0.9)
    examined = read(tmp_path / "1", visits, day=6, sequential=True)
    assert examined.finding is Finding.BETTER
    assert sum(examined.progress.compared) == pytest.approx(286, abs=1)  # without those of the last day
    few = read(tmp_path / "2", visits, day=2, sequential=True)
    assert few.finding is Finding.UNDECIDED
    nobody = read(tmp_path / "3", visits, day=0.5, sequential=True)
    assert (nobody.finding, nobody.results) == (Finding.UNDECIDED, None)


def test_arms_that_are_not_what_the_flag_says(tmp_path: Path) -> None:
    examined = read(tmp_path, crowd(1, 900, 0.1, 0.9, share=0.35))
    assert (examined.finding, examined.results) == (Finding.MISMATCH, None)


def test_a_changed_file(tmp_path: Path) -> None:
    visits = crowd(1, 400, 0.1, 0.9)
    changed = read(tmp_path / "1", visits, sha256="0" * 64)
    assert (changed.finding, changed.results, changed.changed) == (Finding.CHANGED, None, True)
    accepted = read(tmp_path / "2", visits, sha256="0" * 64, accepted="a typo in the note")
    assert (accepted.finding, accepted.changed) == (Finding.BETTER, True)


def test_another_metric(tmp_path: Path) -> None:
    visits = crowd(1, 400, 0.1, 0.9) + crowd(1, 400, 0.5, 0.5, name="returned")
    examined = read(tmp_path / "1", visits, metric=RETURNED)
    assert examined.finding is Finding.NO_VERDICT
    assert effect_of(examined) == pytest.approx((0.5, 0.5), abs=0.1)
    early = read(tmp_path / "2", visits, metric=RETURNED, day=3)
    assert (early.finding, early.results) == (Finding.TOO_EARLY, None)


def test_users_from_before_the_registration(tmp_path: Path) -> None:
    """They are in the test from their first request in it on; what they did before does not count."""
    before = [Visit(f"u{n}", -3 + n / 400, "challenger" if n % 2 else "champion", 0.1) for n in range(400)]
    during = [visit._replace(day=visit.day + 3.5, outcome=None) for visit in before]
    examined = read(tmp_path / "1", before + during)
    assert examined.finding is Finding.NO_DIFFERENCE
    assert effect_of(examined) == (0, 0)
    assert examined.progress.arrived.users == (200, 200)
    wide = read(tmp_path / "2", before + during, since=START - timedelta(days=4))
    assert wide.finding is Finding.NO_VERDICT
    assert effect_of(wide) == (1, 1)
    narrow = read(tmp_path / "3", before + during, since=START + timedelta(hours=6))
    assert narrow.finding is Finding.NO_VERDICT


def test_a_segment(tmp_path: Path) -> None:
    norway = crowd(1, 400, 0.5, 0.9)
    sweden = [visit._replace(user="s" + visit.user, country="SE") for visit in crowd(2, 400, 0.9, 0.5)]
    test = promised(segment=RegisteredSegment(property="country", value="NO"))
    examined = read(tmp_path, norway + sweden, test)
    assert examined.finding is Finding.BETTER
    assert sum(examined.progress.arrived.users) == 400
    assert sum(each.requests for each in examined.answered) == 400


def test_a_user_counts_once_and_in_the_first_arm(tmp_path: Path) -> None:
    visits = crowd(1, 400, 0.5, 0.5)
    again = [visit._replace(day=visit.day + 0.01, arm="champion", outcome=0.1) for visit in visits[:30]]
    examined = read(tmp_path, visits + again)
    assert sum(examined.progress.arrived.users) == 400
    moved = sum(visit.arm == "challenger" for visit in visits[:30])
    assert examined.progress.arrived.changed == moved > 0
    mine = sum(visit.arm == "challenger" for visit in visits)
    assert examined.progress.arrived.users == (400 - mine, mine)


def test_a_covariate_from_before(tmp_path: Path) -> None:
    with_it = read(tmp_path / "1", covered(challenger_before=False), promised(covariate="7d"))
    assert with_it.results is not None
    assert with_it.results.comparison.narrowing is not None
    assert with_it.results.comparison.narrowing.width < 0.5
    assert with_it.finding is Finding.WORSE
    without = read(tmp_path / "2", covered(challenger_before=False))
    assert without.finding is Finding.NO_DIFFERENCE


def test_what_users_did_with_the_challenger_is_no_covariate(tmp_path: Path) -> None:
    examined = read(tmp_path, covered(challenger_before=True), promised(covariate="7d"))
    assert examined.results is not None
    assert examined.results.covariate is not None
    assert examined.results.covariate.until == START + timedelta(days=-2 + 201 / 400)


def test_a_challenger_all_the_time_leaves_no_covariate(tmp_path: Path) -> None:
    visits = [visit._replace(user=f"w{visit.user}", day=visit.day - 7) for visit in crowd(1, 60, 0.5, 0.5)]
    visits[0] = visits[0]._replace(arm="challenger")
    examined = read(tmp_path, visits + crowd(1, 400, 0.5, 0.5), promised(covariate="7d"))
    assert examined.results is not None
    assert (examined.results.covariate, examined.results.comparison.narrowing) == (None, None)


@pytest.mark.parametrize(("kind", "deviation"), [(Kind.MEAN, 5.0), (Kind.COUNT, None)])
def test_means_and_counts(tmp_path: Path, kind: Kind, deviation: float | None) -> None:
    metric = Metric(name="sales", outcome="bought", kind=kind)
    visits = [visit._replace(value=10.0) for visit in crowd(1, 400, 0.3, 0.6)]
    test = promised(metric=metric, deviation=deviation)
    for number, sequential in enumerate((False, True)):
        examined = read(tmp_path / str(number), visits, test, sequential=sequential)
        assert examined.finding is Finding.BETTER
        levels = effect_of(examined)
        assert levels == pytest.approx((3, 6) if kind is Kind.MEAN else (0.3, 0.6), rel=0.25)


def test_guardrails_share_alpha(tmp_path: Path) -> None:
    visits = crowd(1, 400, 0.5, 0.8) + crowd(2, 400, 0.1, 0.3, name="returned")
    visits += crowd(2, 400, 0.5, 0.5, name="opened")
    opened = Metric(name="opened", outcome="opened", kind=Kind.COUNT)
    by_user = {visit.user: visit.arm for visit in visits[:400]}
    visits = [visit._replace(arm=by_user[visit.user]) for visit in visits]
    examined = read(tmp_path / "1", visits, promised(guardrails=[RETURNED, opened]))
    assert examined.finding is Finding.BETTER
    assert examined.results is not None
    assert [each.metric.name for each in examined.results.guardrails] == ["returned", "opened"]
    sequential = read(tmp_path / "2", visits, promised(guardrails=[RETURNED, opened]), sequential=True)
    assert sequential.results is not None
    assert len(sequential.results.guardrails) == 2


def test_a_test_that_has_not_begun(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="begins at"):
        read(tmp_path, crowd(1, 20, 0.5, 0.5), until=START)


def test_a_log_without_users_of_the_test(tmp_path: Path) -> None:
    visits = [visit._replace(day=visit.day - 30) for visit in crowd(1, 20, 0.5, 0.5)]
    examined = read(tmp_path, visits)
    assert (examined.finding, examined.progress.arrived.users) == (Finding.TOO_EARLY, (0, 0))
    assert examined.progress.expected is None


def test_a_log_ahead_of_the_clock_is_believed(tmp_path: Path) -> None:
    log = open_log(str(write_visits(tmp_path, crowd(1, 400, 0.1, 0.9))))
    test, early = promised(), START + timedelta(hours=1)
    examined = examine(log, test, test.sha256, ReportOptions(), early)
    assert examined.log_end is not None
    assert examined.period.until > examined.log_end > datetime.fromisoformat("2026-11-08T00:00+00:00")


def test_nobody_can_read_the_future(tmp_path: Path) -> None:
    """An --until beyond the present closes no window."""
    visits = crowd(1, 330, 0.1, 0.9)
    log, test = open_log(str(write_visits(tmp_path, visits))), promised()
    clock = START + timedelta(days=6.8)
    examined = examine(log, test, test.sha256, ReportOptions(until=START + timedelta(days=60)), clock)
    assert examined.finding is Finding.TOO_EARLY
    assert examined.progress.watched > 30


def test_a_log_that_is_behind_closes_no_window_at_any_time(tmp_path: Path) -> None:
    visits = crowd(1, 300, 0.1, 0.9)
    on_time = read(tmp_path / "1", visits, day=7, sequential=True)
    behind = read(tmp_path / "2", visits, day=30, sequential=True)
    assert on_time.progress.compared == pytest.approx(behind.progress.compared, abs=5)
    assert sum(behind.progress.compared) < sum(behind.progress.arrived.users)


@pytest.mark.slow
def test_equal_models_through_whole_logs(tmp_path: Path) -> None:
    """A few logs of equal models, and of models that differ as planned, from file to verdict."""
    equal = [read(tmp_path / f"e{seed}", crowd(seed, 360, 0.5, 0.5)).finding for seed in range(4)]
    differ = [read(tmp_path / f"d{seed}", crowd(seed, 360, 0.5, 0.8)).finding for seed in range(2)]
    assert equal.count(Finding.NO_DIFFERENCE) >= 3
    assert differ == [Finding.BETTER] * 2


@pytest.mark.slow
def test_equal_models_read_each_day(tmp_path: Path) -> None:
    log = loaded(open_log(str(write_visits(tmp_path, crowd(4, 900, 0.5, 0.5)))), segment=False)
    test, days = promised(), [START + timedelta(days=day) for day in range(2, 9)]
    found = [
        examine(log, test, test.sha256, ReportOptions(until=day, sequential=True), day).finding
        for day in days
    ]
    assert set(found) == {Finding.UNDECIDED}
