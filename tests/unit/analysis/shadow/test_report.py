"""The shadow report: what the engine aggregates against numpy and scipy, what it says, and its exit codes."""

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from analysis.__main__ import main
from analysis.errors import LogError
from analysis.log import open_log
from analysis.render.document import Report
from analysis.shadow.aggregates import ks
from analysis.shadow.figures import ShadowFigures, class_shares, farthest, thresholds
from analysis.shadow.limits import parse_limits
from analysis.shadow.measure import ShadowReading, read_shadow
from analysis.shadow.report import shadow_report
from flags.rollout.shadow_report import read_report
from tests.unit.analysis.make_log import START, Record, write_log
from tests.unit.analysis.shadow_logs import shadow_records


def reading(folder: Path, records: list[Record]) -> ShadowReading:
    return read_shadow(open_log(str(write_log(folder, records))))


def run(*args: str) -> Result:
    return CliRunner().invoke(main, ["shadow", *args])


def yes(answer: dict[str, Any]) -> float:
    return float(answer["probability"] if answer["class_name"] == "yes" else 1 - answer["probability"])


def test_the_engine_finds_what_numpy_finds(tmp_path: Path) -> None:
    records = shadow_records(3000, harmed="DE")
    found = reading(tmp_path, records)
    good = [each for each in records if each["error"] is None]
    ours, theirs = (np.array([yes(each[role]) for each in good]) for role in ("champion", "challenger"))
    assert (found.score.kind, found.score.name) == ("class", "yes")
    assert (found.records, found.answered) == (3000, len(good))
    assert found.errors == Counter(each["error"] for each in records if each["error"])
    assert found.agreements == sum(each["agree"] for each in good)
    assert found.ks == pytest.approx(ks_2samp(np.round(ours, 9), np.round(theirs, 9)).statistic, abs=1e-9)
    assert found.means["champion"] == pytest.approx(ours.mean(), abs=1e-9)
    assert found.difference.y == pytest.approx((theirs - ours).sum(), abs=1e-6)
    assert found.correlation == pytest.approx(np.corrcoef(ours, theirs)[0, 1], abs=1e-9)
    assert found.absolute == pytest.approx(abs(theirs - ours).mean(), abs=1e-9)
    for role in ("champion", "challenger"):
        seconds = [each[role]["seconds"] for each in good]
        assert found.latency[role] == pytest.approx(np.quantile(seconds, [0.5, 0.95, 0.99]), abs=1e-9)
    assert found.confusion == Counter(
        (each["champion"]["class_name"], each["challenger"]["class_name"]) for each in good
    )
    assert sum(found.champion) == sum(found.challenger) == len(good)
    assert sum(day.answered for day in found.days) == len(good)
    assert sum(day.records for day in found.days) == 3000
    far = np.sort(abs(theirs - ours))[::-1][:20]
    assert [row["far"] for row in found.most_different] == pytest.approx(far.tolist(), abs=1e-9)


def test_users_are_the_clusters(tmp_path: Path) -> None:
    records = shadow_records(1500)
    found = reading(tmp_path, records).agreement
    users: dict[str, list[bool]] = {}
    for each in records:
        if each["error"] is None:
            users.setdefault(each["user"] or each["request_id"], []).append(each["agree"])
    assert found.users == len(users)
    assert found.nn == sum(len(each) ** 2 for each in users.values())
    assert found.ny == sum(len(each) * sum(each) for each in users.values())
    assert found.yy == sum(sum(each) ** 2 for each in users.values())


def test_segments_are_those_of_the_context(tmp_path: Path) -> None:
    records = shadow_records(3000, harmed="DE")
    found = {each.name: each for each in reading(tmp_path, records).segments}
    assert set(found) == {"country=NO", "country=SE", "country=DE"}  # all share app=web
    german = [each for each in records if each["context"]["country"] == "DE" and not each["error"]]
    assert found["country=DE"].requests == len(german)
    assert found["country=DE"].agreements == sum(each["agree"] for each in german)


def test_the_segment_that_differs_is_told(tmp_path: Path) -> None:
    found = reading(tmp_path, shadow_records(3000, harmed="DE"))
    report = shadow_report(ShadowFigures(found, open_log(str(tmp_path)).bad))
    assert "least where country=DE" in report.answer
    assert report.tone == "bad"
    assert report.numbers["segments"][0]["segment"] == "country=DE"


def answer(folder: Path, records: list[Record], limits: str = "") -> Report:
    asked = parse_limits(limits) if limits else ()
    return shadow_report(ShadowFigures(reading(folder, records), open_log(str(folder)).bad, asked))


def test_a_model_that_is_surer_and_decides_the_same_may_go_on(tmp_path: Path) -> None:
    report = answer(tmp_path, shadow_records(2000, shift=0, surer=3, slower=1, failing=0))
    assert report.numbers["agreement"]["value"] > 0.9
    assert report.numbers["psi"] > 0.25
    assert report.tone == "good", report.answer
    (warning,) = report.warnings
    assert "sure of themselves in different ways" in warning
    assert "--fail-on 'psi>0.25'" in warning


@pytest.mark.parametrize(
    ("truly", "why"),
    [
        ({"shift": 1.5}, "they agree too seldom (agreement"),
        # Who says "yes" to 5% of requests loses nearly all of them, and agrees for 95.
        ({"level": -2.5, "shift": -3, "surer": 0.5}, "it chooses yes for 0% of requests"),
        ({"failing": 0.03}, "its error rate is too high (errors"),
        ({"slower": 4}, "it is slower (p99"),
    ],
)
def test_a_challenger_that_is_truly_different_is_kept_from_users(
    tmp_path: Path, truly: dict[str, Any], why: str
) -> None:
    report = answer(tmp_path, shadow_records(2000, **{"shift": 0, "slower": 1, "failing": 0} | truly))
    assert report.tone == "bad"
    assert "do not give it to users yet, because" in report.answer
    assert why in report.answer


def test_who_asks_for_one_limit_still_reads_of_the_usual_others(tmp_path: Path) -> None:
    report = answer(tmp_path, shadow_records(2000, shift=1.5, slower=1), "requests<1500,errors>5%")
    assert report.numbers["passed"] is True
    assert report.tone == "bad"
    assert "at least 90% is usual" in report.answer


def test_who_asks_for_the_index_is_told_by_it(tmp_path: Path) -> None:
    report = answer(tmp_path, shadow_records(2000, shift=0, surer=3, slower=1, failing=0), "psi>0.25")
    assert report.numbers["passed"] is False
    assert "its scores are distributed differently (psi" in report.answer
    assert not report.warnings


def test_a_fast_champion_counts_as_ten_milliseconds(tmp_path: Path) -> None:
    records = shadow_records(1100, shift=0, slower=1, failing=0)
    for each in records:
        each["champion"]["seconds"], each["challenger"]["seconds"] = 0.00001, 0.001
    report = answer(tmp_path, records, "p99>1.5")
    assert report.numbers["latency_ratio"]["p99"] == pytest.approx(100)
    assert report.numbers["limits"] == [{"limit": "p99>1.5", "value": pytest.approx(0.1), "breached": False}]


def test_thresholds_are_shares_of_all_requests(tmp_path: Path) -> None:
    records = shadow_records(2000, failing=0)
    found = reading(tmp_path, records)
    ours, theirs = (np.array([yes(each[role]) for each in records]) for role in ("champion", "challenger"))
    for each in thresholds(found):
        # Bins are of a thousandth, and so are the probabilities: one may fall to the other side of an edge.
        assert each.champion == pytest.approx((ours >= each.at - 1e-9).mean(), abs=0.004)
        assert each.challenger == pytest.approx((theirs >= each.at - 1e-9).mean(), abs=0.004)
    most = farthest(found)
    assert abs(most.champion - most.challenger) == pytest.approx(found.ks, abs=0.008)


def test_how_often_each_class_is_chosen() -> None:
    said = {("a", "a"): 900, ("b", "b"): 20, ("b", "a"): 40, ("a", "c"): 29, ("b", "c"): 11}
    rare, *_, common = class_shares(said)
    assert (rare.name, rare.times, rare.ratio, rare.both) == ("c", 81, 81, 0)
    assert (common.name, common.champion, common.challenger) == ("a", 0.929, 0.94)
    assert common.both == 900 / (929 + 940 - 900)
    assert class_shares({("a", "b"): 29}) == ()


def test_a_regressor(tmp_path: Path) -> None:
    records = shadow_records(2000, regressor=True, failing=0)
    found = reading(tmp_path, records)
    ours, theirs = (
        np.array([each[role]["prediction"] for each in records]) for role in ("champion", "challenger")
    )
    assert found.score.kind == "value"
    assert found.difference.y / 2000 == pytest.approx((theirs - ours).mean(), abs=1e-9)
    assert found.correlation == pytest.approx(np.corrcoef(ours, theirs)[0, 1], abs=1e-9)
    assert found.confusion == {}
    report = shadow_report(ShadowFigures(found, open_log(str(tmp_path)).bad))
    relative = report.numbers["difference"]["relative"]
    assert relative == pytest.approx((theirs.mean() - ours.mean()) / ours.mean(), abs=1e-9)


def test_only_the_pair_that_was_compared_last_counts(tmp_path: Path) -> None:
    old = shadow_records(50, version="4-rc", hours=0.01)
    new = shadow_records(40, version="4", hours=2)
    found = reading(tmp_path, [*old, *new])
    assert found.pair.challenger == ("loan", "4")
    assert found.records == 40
    assert [(each.challenger[1], each.records) for each in found.others] == [("4-rc", 50)]


def test_numbers_that_are_none_are_failures(tmp_path: Path) -> None:
    records = shadow_records(30, failing=0)
    records[3]["challenger"]["probability"] = None
    found = reading(tmp_path, records)
    assert found.errors == {"no number": 1}
    assert found.answered == 29


def test_three_classes_keep_the_probability_of_the_chosen_one(tmp_path: Path) -> None:
    records = shadow_records(30, failing=0)
    records[3]["challenger"]["class_name"] = "maybe"
    assert reading(tmp_path, records).score.kind == "chosen"


def test_few_requests_say_what_they_cannot_say(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log", shadow_records(300))
    result = run("--log", str(log), "--fail-on", "requests<200,agreement<0.1")
    assert "too early to say" in " ".join(result.output.split())
    assert "What cannot be said yet" in result.output
    assert result.exit_code == 1
    assert "agreement cannot be told" in result.stderr
    assert "requests" not in result.stderr


def test_a_challenger_that_always_fails(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log", shadow_records(50, failing=1.0))
    result = run("--log", str(log), "--format", "json", "--html", str(tmp_path / "r.html"))
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["numbers"]["requests"] == 0
    assert report["tone"] == "bad"
    assert "it gave no usable answer to 50 of 50 requests" in report["answer"]


def test_limits_that_hold_and_that_do_not(tmp_path: Path) -> None:
    log = str(write_log(tmp_path / "log", shadow_records(2000, failing=0.005)))
    good = run("--log", log, "--fail-on", "agreement<0.8,errors>5%,psi>0.5,ks>0.5,p99>100,difference>0.5")
    assert good.exit_code == 0, good.output
    bad = run("--log", log, "--fail-on", "agreement<0.999,p50>0.5,errors>5%")
    assert bad.exit_code == 1
    assert "breached: agreement is 9" in bad.stderr
    assert "breached: p50 is" in bad.stderr
    assert "errors" not in bad.stderr
    assert run("--log", log, "--fail-on", "agreement>0.9").exit_code == 2


def test_the_plan_reads_what_is_written(tmp_path: Path) -> None:
    log = str(write_log(tmp_path / "log", shadow_records(2000)))
    result = run("--log", log, "--format", "json", "--fail-on", "agreement<0.5,errors>0.001")
    file = tmp_path / "shadow.json"
    file.write_text(result.stdout, encoding="utf-8")
    found = read_report(file)
    assert found.fault is None
    assert (found.version, found.passed) == ("4", False)
    assert len(found.breached) == 1
    assert "errors>0.001" in found.breached[0]


def test_the_page_has_its_pictures_and_no_markup_from_the_log(tmp_path: Path) -> None:
    records = shadow_records(1500)
    for each in records[::2]:
        each["context"]["country"] = "<script>alert(1)</script>"
    log = str(write_log(tmp_path / "log", records))
    page = tmp_path / "report.html"
    assert run("--log", log, "--html", str(page)).exit_code == 0
    text = page.read_text(encoding="utf-8")
    assert text.count("<svg") == 4
    assert "<script" not in text


def test_bad_lines_are_told(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log", shadow_records(1100), bad=[b"{cut"])
    assert "1 bad lines" in " ".join(run("--log", str(log)).output.split())


def test_no_shadow_records_at_all(tmp_path: Path) -> None:
    log = open_log(str(write_log(tmp_path, shadow_records(5))))
    with pytest.raises(LogError, match="flag `shadow`"):
        read_shadow(log, until=START)


def scores(name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of 4,000 requests."""
    rng = np.random.default_rng(len(name))
    one, noise = rng.random(4000), rng.normal(0, 0.05, 4000)
    pairs: dict[str, Any] = {
        "the same": (one, one),
        "alike": (one, np.clip(one + noise, 0, 1)),
        "moved": (one, np.clip(one + 0.3, 0, 1)),
        "few values": (np.round(one, 1), np.round(np.clip(one + noise, 0, 1), 1)),
        "one value each": (np.full(4000, 0.25), np.full(4000, 0.25000001)),
        "far from zero": (1e9 + one, 1e9 + one + noise),
    }
    champion, challenger = pairs[name]
    return champion, challenger


@pytest.mark.parametrize(
    "name", ["the same", "alike", "moved", "few values", "one value each", "far from zero"]
)
def test_the_distance_of_distributions_is_exact(name: str) -> None:
    champion, challenger = scores(name)
    engine = ibis.duckdb.connect()
    engine.con.register("answered", pa.table({"champion": champion, "challenger": challenger}))
    answered = engine.table("answered")
    log: Any = SimpleNamespace(rows=lambda table: engine.to_pyarrow(table).to_pylist())
    assert ks(log, answered) == pytest.approx(ks_2samp(champion, challenger).statistic, abs=1e-12)
