"""The backtest's pure parts, and the command over a Prometheus that says what a test wants."""

import json
from datetime import timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from common.arms import OURS
from common.names import Model
from common.selector import parse_selector
from rollback.__main__ import main
from rollback.backtest.change import How, more_bad, moves, parse_injection, pretend, slower
from rollback.backtest.history import Family, History, histogram, pair, signals_of
from rollback.backtest.replay import families
from rollback.guardrails.counts import Counted
from rollback.guardrails.file import load_policy
from tests.unit.rollback.conftest import NOW, Answer, Numbers, Reading, Server

STEPS = 400
EDGES = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
DICE = np.random.default_rng(7)


def family(*groups: int, challenger: int = 0) -> Family:
    """Calls of the champion by group, the same in each step."""
    each = np.tile(np.array(groups), (STEPS, 1))
    mine = np.full_like(each, challenger)
    labels = tuple({"__name__": "x_bucket", "le": str(edge)} for edge in (*EDGES[: len(groups) - 1], np.inf))
    return Family(labels, {Model.CHAMPION: each, Model.CHALLENGER: mine})


@pytest.mark.parametrize(
    ("text", "what", "how", "amount"),
    [
        ("errors x2", "errors", How.TIMES, 2),
        ("latency x 1.5", "latency", How.TIMES, 1.5),
        ("errors +1%", "errors", How.MORE_OF_CALLS, 0.01),
        ("latency +500ms", "latency", How.LONGER, 0.5),
        ("conversion x0.8", "conversion", How.TIMES, 0.8),
    ],
)
def test_a_regression_is_read(text: str, what: str, how: How, amount: float) -> None:
    found = parse_injection(text)
    assert (found.what, found.how) == (what, how)
    assert found.amount == pytest.approx(amount)


@pytest.mark.parametrize(
    "text", ["", "errors", "errors twice", "errors +500ms", "latency +5%", "errors +101%"]
)
def test_what_is_no_regression_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"regression|latency grows|share of calls"):
        parse_injection(text)


def test_a_pretended_canary_has_its_share_of_each_group_and_no_call_is_lost() -> None:
    before = family(900, 90, 10)
    after = pretend(before, 0.05, DICE)
    whole = after.groups[Model.CHAMPION] + after.groups[Model.CHALLENGER]
    assert (whole == before.groups[Model.CHAMPION]).all()
    shares = after.groups[Model.CHALLENGER].sum(axis=0) / before.groups[Model.CHAMPION].sum(axis=0)
    assert shares == pytest.approx([0.05, 0.05, 0.05], rel=0.2)


def test_twice_the_errors_are_twice_as_many_from_then_on_and_no_call_more() -> None:
    before = pretend(family(10, 990), 0.5, DICE)
    after = more_bad(before, parse_injection("errors x2"), 200, DICE)
    old, new = (each.groups[Model.CHALLENGER] for each in (before, after))
    assert (new.sum(axis=1) == old.sum(axis=1)).all()
    assert (new[:200] == old[:200]).all()
    assert new[200:, 0].sum() == pytest.approx(2 * old[200:, 0].sum(), rel=0.15)
    assert (after.groups[Model.CHAMPION] == before.groups[Model.CHAMPION]).all()


def test_a_further_share_of_calls_fails() -> None:
    after = more_bad(family(0, 100, challenger=100), parse_injection("errors +10%"), 0, DICE)
    assert after.groups[Model.CHALLENGER][:, 0].mean() == pytest.approx(110, rel=0.02)


def test_fewer_of_what_is_wanted() -> None:
    after = more_bad(family(0, 100, challenger=100), parse_injection("conversion x0.8"), 0, DICE)
    assert after.groups[Model.CHALLENGER][:, 0].mean() == pytest.approx(80, rel=0.02)


def test_slower_calls_move_to_higher_buckets_and_none_is_lost() -> None:
    upper = np.array([*EDGES, np.inf])
    doubled = moves(upper, parse_injection("latency x2"))
    assert doubled.sum(axis=1) == pytest.approx(np.ones(len(upper)))
    assert doubled[1, 2] == pytest.approx(1)  # the edges double as well
    half = moves(upper, parse_injection("latency x1.4142135623730951"))
    assert half[1, 1:3] == pytest.approx([0.5, 0.5])
    assert moves(upper, parse_injection("latency +1s"))[:, -1] == pytest.approx(np.ones(len(upper)))
    assert moves(upper, parse_injection("latency +10ms"))[0, 1] == pytest.approx(1)
    before = family(100, 50, 20, 10, 5, 1, 0, challenger=10)
    after = slower(before, parse_injection("latency x1.5"), 100, DICE)
    assert (after.calls(Model.CHALLENGER) == before.calls(Model.CHALLENGER)).all()
    assert (after.groups[Model.CHALLENGER][:100] == 10).all()


def test_counters_become_groups_and_counters_again() -> None:
    labels = {"__name__": "x_bucket", "instance": "a"}
    counted = [
        Counted({**labels, "model": model, "le": le}, np.full(3, value))
        for model, values in (("champion", (5.0, 8.0, 9.0)), ("challenger", (1.0, 1.0, 2.0)))
        for le, value in zip(("0.1", "1", "+Inf"), values, strict=True)
    ]
    found = histogram(counted, "x")
    assert found is not None
    assert found.groups[Model.CHAMPION].tolist() == [[5, 3, 1]] * 3
    again = {(each.labels["model"], each.labels["le"]): each.steps.tolist() for each in found.counted()}
    assert again["champion", "1"] == [8.0] * 3
    assert again["challenger", "+Inf"] == [2.0] * 3
    assert histogram(counted, "y") is None


@pytest.mark.parametrize("inside", [False, True])
def test_a_pair_keeps_bad_and_all_calls(inside: bool) -> None:
    """Whether the bad calls are counted by a counter of their own, or are series of the one of all calls."""
    bad = {"__name__": "all_total" if inside else "bad_total", "outcome": "bad", "model": "champion"}
    rest = {"__name__": "all_total", "outcome": "good", "model": "champion"}
    counted = [Counted(bad, np.full(2, 3.0)), Counted(rest, np.full(2, 7.0 if inside else 10.0))]
    selectors = (
        parse_selector('all_total{outcome="bad"}' if inside else "bad_total"),
        parse_selector("all_total"),
    )
    found = pair(counted, *selectors)
    assert found is not None
    assert found.groups[Model.CHAMPION].tolist() == [[3, 7]] * 2
    again = pair(found.counted(), *selectors)
    assert again is not None
    assert again.groups[Model.CHAMPION].tolist() == [[3, 7]] * 2
    assert pair(counted, parse_selector("none_total"), selectors[1]) is None


def _count(slope: float, at: float) -> float:
    return float(int(slope * (at - NOW.timestamp() + 10**6)))


def test_dice_are_thrown_for_histograms_first_whatever_the_order_in_the_file() -> None:
    whole = np.ones(STEPS)
    counted = [
        Counted({"__name__": name, "model": model.value} | ({"le": le} if le else {}), whole)
        for model in Model
        for name, le in (
            ("model_calls_total", ""),
            ("prediction_errors_total", ""),
            ("latency_seconds_bucket", "0.2"),
            ("latency_seconds_bucket", "+Inf"),
        )
    ]
    policy = load_policy(signals=signals_of(OURS))
    assert policy.guardrails[0].name == "errors"
    found = families(policy, History(NOW, policy.step, tuple(counted), ""))
    assert [*found] == ["latency_seconds", "prediction_errors_total/model_calls_total"]


def history(*, canary: bool = True, failing: bool = True, spread: float = 0.0) -> Numbers:
    """Counters of a champion with 10 calls a second, perhaps of a challenger with 1; one in 100 is bad."""
    counters: list[tuple[dict[str, str], Reading]] = []
    for model, rate in (("champion", 10.0), ("challenger", 1.0 if canary else 0.0)):
        for name, le, share in (
            ("model_calls_total", None, 1.0),
            ("prediction_errors_total", None, 0.01 if failing else 0.0),
            ("latency_seconds_bucket", "0.01", 0.9),
            ("latency_seconds_bucket", "0.0144", 0.97),
            ("latency_seconds_bucket", "0.0173", 0.997),
            ("latency_seconds_bucket", "0.2", 1.0),
            ("latency_seconds_bucket", "+Inf", 1.0),
        ):
            labels = {"__name__": name, "model": model, "instance": "a"} | ({"le": le} if le else {})
            counters.append((labels, partial(_count, rate * share)))
    for bucket in range(100 if failing else 0):
        for name, rate in (("bucket_calls_total", 0.1), ("bucket_user_windows_bad_total", 0.001)):
            labels = {"__name__": name, "model": "champion", "instance": "a", "bucket": str(bucket + 1)}
            more = 1 if "calls" in name else 1 + spread * (-1) ** bucket
            counters.append((labels, partial(_count, rate * more)))
    return Numbers({"sum(increase(pred": 720.0, "sum(increase(user": 360.0}, counters=counters)


@pytest.fixture
def runner(server: Server, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("CANARIO_PROMETHEUS_URL", server.url)
    server.reply = history()
    return CliRunner()


def run(runner: CliRunner, *arguments: str) -> Result:
    until = NOW.isoformat()
    since = (NOW - timedelta(hours=1)).isoformat()
    return runner.invoke(main, ["backtest", "--since", since, "--until", until, *arguments])


def test_equal_models_of_history_are_not_rolled_back(runner: CliRunner) -> None:
    done = run(runner)
    assert done.exit_code == 0, done.output
    assert "the canary of history" in done.output
    assert "Rollbacks: 0 of 1" in done.output
    assert "evidence against the challenger" in done.output
    assert "Not judged: agreement" in done.output


def test_a_regression_is_found_and_told(runner: CliRunner, tmp_path: Path) -> None:
    page = tmp_path / "evidence.html"
    file = tmp_path / "figures.json"
    arguments = ("--share", "25", "--inject", "latency +300ms", "--after", "10m", "--draws", "3")
    done = run(runner, *arguments, "--picture", str(page), "--json", str(file))
    assert done.exit_code == 0, done.output
    figures = json.loads(file.read_text())
    assert figures["false_rollbacks"]["rolled_back"] == 0
    assert figures["pretended_share"] == 0.25
    assert figures["delay"]["missed"] == 0
    assert 0 < figures["delay"]["median_minutes"] <= 1
    assert [each["injected"] for each in figures["rollouts"]] == [False] * 3 + [True] * 3
    text = page.read_text()
    assert text.count("<svg") == 3  # three guardrails could be weighed
    assert "regression" in text
    assert "src=" not in text
    assert "href=" not in text
    again = tmp_path / "again.json"
    run(runner, *arguments, "--json", str(again))
    assert json.loads(again.read_text()) == figures


@pytest.mark.parametrize(("spread", "row"), [(0.0, "independent"), (0.5, "dispersion-10")])
def test_how_much_users_hang_together_is_told(
    runner: CliRunner, server: Server, spread: float, row: str
) -> None:
    server.reply = history(spread=spread)
    until, since = NOW.isoformat(), (NOW - timedelta(hours=10)).isoformat()
    done = runner.invoke(main, ["backtest", "--since", since, "--until", until, "--json", "-"])
    told = json.loads(done.stdout)["together"]
    # 3,600 calls of each bucket, 36 of them bad, with half as many more or less.
    assert told["like_world"] == row
    assert told["dispersion"] == pytest.approx(max(36 * spread**2 / 0.99 * 100 / 99, 1), rel=0.1)
    assert (told["hours"], told["errors_per_bad_user_window"]) == (10, 2)
    assert told["bad_user_windows"] == pytest.approx(3600, rel=0.03)


def test_few_errors_tell_nothing_of_users(runner: CliRunner) -> None:
    done = run(runner)
    assert "bad user-windows in 1h: too few to tell how errors hang together" in " ".join(done.output.split())


def test_without_a_canary_one_is_pretended(runner: CliRunner, server: Server) -> None:
    server.reply = history(canary=False)
    done = run(runner, "--draws", "2")
    assert "a pretended canary of 5%" in done.output
    assert "False rollbacks: 0 of 2" in done.output


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--inject", "nonsense x2"), 2, "there is latency, errors, conversion"),
        (("--inject", "errors twice"), 2, "is no regression"),
        (("--stage", "5m"), 2, "too short"),
        (("--after", "2h"), 2, "must outlast --after"),
        (("--until", "yesterday"), 2, "neither a time"),
    ],
)
def test_wrong_usage_is_said(runner: CliRunner, arguments: tuple[str, ...], code: int, words: str) -> None:
    done = run(runner, *arguments)
    assert done.exit_code == code
    assert words in " ".join(done.output.replace("│", "").split())


def test_no_history_is_said(runner: CliRunner, server: Server) -> None:
    server.reply = Numbers({})
    done = run(runner)
    assert done.exit_code == 3
    assert "Prometheus remembers no calls of the champion" in done.output


def test_so_many_times_nothing_is_said_to_be_nothing(runner: CliRunner, server: Server) -> None:
    server.reply = history(failing=False)
    done = run(runner, "--inject", "errors x2")
    assert done.exit_code == 3
    assert "write errors +1%" in done.output


def test_a_prometheus_that_refuses_is_said(runner: CliRunner, server: Server) -> None:
    server.reply = lambda _path, _form: Answer(b'{"status": "error", "error": "too much"}', 422)
    done = run(runner)
    assert done.exit_code == 3
    assert "too much" in done.output
