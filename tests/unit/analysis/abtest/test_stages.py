"""A test over several shares of the flag: who is compared with whom, and what is said of it."""

import json
from datetime import timedelta
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from analysis.abtest.examine import Examined
from analysis.abtest.measure import MEASURE
from analysis.abtest.registration import PlannedUsers
from analysis.abtest.report import abtest_report
from analysis.abtest.verdict import Finding
from analysis.log.engine import BadLines
from analysis.metric import Kind, Metric
from analysis.render.output import print_report, write_page
from analysis.statistics import means
from analysis.statistics.effect import Sample
from analysis.statistics.proportions import Share, Strata, p_value
from analysis.statistics.sequential import LEAST_USERS, Planned, compare, log_e
from tests.unit.analysis.abtest.arms import arm
from tests.unit.analysis.abtest.logs import Visit
from tests.unit.analysis.abtest.registered import promised, read
from tests.unit.analysis.make_log import START

USERS = PlannedUsers(champion=300, challenger=60)
RAMP = {"share": 25, "users": USERS}


def ramp(seed: int, effect: float = 0.0, *, logged: bool = True, back: int = 0) -> list[Visit]:
    """Three days at 10% with few sales, three at 30% with many, one at 100%; the first `back` return."""
    dice, visits = np.random.default_rng(seed), []
    for number in range(900):
        day, place = 7 * number / 900, dice.random()
        share, level = (10, 0.2) if day < 3 else (30, 0.6) if day < 6 else (100, 0.9)
        arm = "challenger" if 100 * place < share else "champion"
        buys = dice.random() < level + effect * (arm == "challenger")
        visit = Visit(f"u{number}", day, arm, 0.1 if buys else None, share=share if logged else None)
        visits.append(visit)
        if number < back and day < 3:
            again = "challenger" if place < 0.3 else "champion"
            visits.append(visit._replace(day=3.01, arm=again, outcome=None, share=30))
    return visits


def text_of(examined: Examined) -> str:
    """The report on the terminal."""
    file = StringIO()
    print_report(abtest_report(examined, BadLines()), file=file)
    return " ".join(file.getvalue().replace("│", " ").split())


def test_a_ramp_gets_a_verdict(tmp_path: Path) -> None:
    equal = read(tmp_path / "equal", ramp(2), promised(**RAMP))
    assert equal.finding is Finding.NO_DIFFERENCE
    assert equal.stages.shares == (10, 30)
    assert equal.results is not None
    pooled = [equal.results.arms.champion.sample.mean, equal.results.arms.challenger.sample.mean]
    assert pooled[1] - pooled[0] > 0.1  # more of its users came when all buy more
    assert abs(equal.results.comparison.effect.difference) < 0.08
    better = read(tmp_path / "better", ramp(2, 0.25), promised(**RAMP))
    assert better.finding is Finding.BETTER
    worse = read(tmp_path / "worse", ramp(2, -0.2), promised(**RAMP))
    assert worse.finding is Finding.WORSE


def test_users_of_one_model_alone_are_not_in_it(tmp_path: Path) -> None:
    examined = read(tmp_path, ramp(2), promised(**RAMP))
    assert sum(examined.progress.arrived.users) == sum(visit.share != 100 for visit in ramp(2))


@pytest.mark.parametrize("sequential", [False, True])
def test_stages_can_be_said_where_the_log_does_not_know_them(tmp_path: Path, sequential: bool) -> None:
    """A log of before: without the share it does not fit the registered one."""
    visits, test = ramp(2, logged=False), promised(**RAMP)
    assert read(tmp_path / "1", visits, test).finding is Finding.MISMATCH
    stages = tuple((START + timedelta(days=day), share) for day, share in ((-1, 10), (3, 30), (6, 100)))
    options = {"sequential": sequential}
    said = read(tmp_path / "2", visits, test, stages=stages, **options)
    logged = read(tmp_path / "3", ramp(2), test, **options)
    assert said.results is not None
    assert logged.results is not None
    assert said.results.comparison == logged.results.comparison
    assert said.finding is logged.finding


def test_each_stage_is_held_to_its_own_share(tmp_path: Path) -> None:
    """The shares of both stages together are nearly as planned, and neither is by itself."""
    swapped = [visit._replace(share={10: 30, 30: 10}.get(int(visit.share or 0), 100)) for visit in ramp(2)]
    examined = read(tmp_path, swapped, promised(**RAMP))
    assert examined.finding is Finding.MISMATCH
    assert "of the users who first came at 30%, not the 30% that were planned" in text_of(examined)


def test_who_changed_arms_is_counted_where_first_seen(tmp_path: Path) -> None:
    visits = ramp(2, back=200)
    firsts = {visit.user: visit.arm for visit in reversed(visits)}
    moved = sum(visit.day == 3.01 and visit.arm != firsts[visit.user] for visit in visits)
    assert moved > 10
    long = promised(**RAMP, window="5d")
    examined = read(tmp_path / "1", visits, long, day=12)
    assert examined.progress.arrived.changed == moved
    assert "had both models" in text_of(examined)
    short = read(tmp_path / "2", visits, promised(**RAMP, window="1m"), day=12)
    assert short.progress.arrived.changed == 0  # their time was over


@pytest.mark.parametrize("kind", [Kind.MEAN, Kind.COUNT])
def test_means_and_counts_and_a_covariate(tmp_path: Path, kind: Kind) -> None:
    metric = Metric(name="sales", outcome="bought", kind=kind)
    visits = [visit._replace(value=10.0) for visit in ramp(2)]
    before = [
        visit._replace(day=visit.day - 9, share=None, arm="champion", outcome=visit.outcome or None)
        for visit in visits
    ]
    test = promised(**RAMP, metric=metric, deviation=5.0 if kind is Kind.MEAN else None, covariate="14d")
    for number, more in enumerate([[], before]):
        examined = read(tmp_path / str(number), visits + more, test)
        assert examined.finding is Finding.NO_DIFFERENCE
        assert examined.results is not None
        assert (examined.results.comparison.narrowing is not None) == bool(more)
        assert examined.results.comparison.effect.test.endswith(", by stage")


def test_the_report_tells_the_stages(tmp_path: Path) -> None:
    examined = read(tmp_path, ramp(2, back=100), promised(**RAMP, window="5d"), day=12)
    report = abtest_report(examined, BadLines())
    text = f"{report.answer} {text_of(examined)}"
    for words in (
        "10%",
        "30%",
        "by stage",
        "Users are compared within the stage",
        "with the same mix of stages",
    ):
        assert words in text, words
    stages = report.numbers["stages"]
    assert [each["share"] for each in stages] == [10, 30]
    assert sum(each["champion"] for each in stages) == report.numbers["users"]["compared"]["champion"]
    json.dumps(report.numbers)
    write_page(report, tmp_path / "report.html")
    assert "10%" in (tmp_path / "report.html").read_text(encoding="utf-8")


def found(dice: np.random.Generator, effect: float = 0.0) -> tuple[Strata, Strata]:
    """8,000 users at 5% of whom 20% buy, then as many at 25% of whom 30% do; by stage, and all as one."""
    stages = []
    for share, level in ((0.05, 0.2), (0.25, 0.3)):
        mine = int(dice.binomial(8000, share))
        ours = Share(int(dice.binomial(8000 - mine, level)), 8000 - mine)
        stages.append((ours, Share(int(dice.binomial(mine, level + effect)), mine)))
    one = [
        Share(sum(each.converted for each in arm), sum(each.users for each in arm))
        for arm in zip(*stages, strict=True)
    ]
    return stages, [(one[0], one[1])]


def test_equal_models_on_a_ramp_are_called_different_in_one_of_twenty() -> None:
    """Pooled, the later users make a difference of their own in nearly all tests."""
    dice = np.random.default_rng(1)
    p = np.array([[p_value(each) for each in found(dice)] for _ in range(3000)])
    by_stage, pooled = (p <= 0.05).mean(axis=0)
    assert 0.04 <= by_stage <= 0.06
    assert pooled > 0.9
    assert (np.array([p_value(found(dice, 0.035)[0]) for _ in range(500)]) <= 0.05).mean() > 0.85


def test_one_stage_is_the_test_that_it_was() -> None:
    dice = np.random.default_rng(2)
    for _ in range(20):
        champion, challenger = dice.lognormal(0, 1, 300), dice.lognormal(0.1, 1, 40)
        both = [arm(each, Kind.MEAN) for each in (champion, challenger)]
        ours = means.compare_strata([(both[0].sample, both[1].sample)])
        theirs = means.compare(both[0].aggregates, both[1].aggregates, means.Columns(MEASURE))
        assert (ours.difference, ours.p) == pytest.approx((theirs.difference, theirs.p), rel=1e-9)
        assert vars(ours.absolute) == pytest.approx(vars(theirs.absolute), rel=1e-9)


def test_a_ramp_may_be_read_at_any_time() -> None:
    """Twenty times in each stage, equal models; evidence as `compare` has it, for all ramps at once."""
    dice, planned, ramps = np.random.default_rng(3), Planned(7200, 1200, 0.19), 2000
    ever, cells = np.zeros(ramps, dtype=bool), np.zeros((2, 4, ramps))
    for stage, (share, level) in enumerate(((0.05, 0.2), (0.25, 0.3))):
        for _look in range(20):
            mine = dice.binomial(200, share, ramps)
            cells[stage] += 200 - mine, mine, dice.binomial(200 - mine, level), dice.binomial(mine, level)
            n0, n1, sold0, sold1 = np.maximum(cells[: stage + 1].swapaxes(0, 1), [[[1e-9]]] * 2 + [[[0]]] * 2)
            weight, rate = n0 * n1 / (n0 + n1), (sold0 + sold1) / (n0 + n1)
            whole = weight.sum(axis=0)
            difference = (weight * (sold1 / n1 - sold0 / n0)).sum(axis=0) / whole
            error = (weight * rate * (1 - rate)).sum(axis=0) / whole**2
            ready = n1.sum(axis=0) >= LEAST_USERS
            p = np.exp(-np.maximum(log_e(difference, error, planned.error(), 0.05), 0))
            ever |= ready & (p <= 0.05)
    assert 0.005 < ever.mean() <= 0.05
    arms = [
        tuple(
            Sample(int(n), sold / n, sold / n * (1 - sold / n))
            for n, sold in ((cell[0], cell[2]), (cell[1], cell[3]))
        )
        for cell in cells[:, :, 0]
    ]
    effect = compare([(pair[0], pair[1]) for pair in arms], Kind.PROPORTION, planned)
    assert effect.p == pytest.approx(p[0], rel=1e-9)
