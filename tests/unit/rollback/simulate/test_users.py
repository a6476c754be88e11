"""Traffic of users: how much bad calls hang together, and what is counted by user."""

from datetime import timedelta

import numpy as np
import pytest
from click.testing import CliRunner

from common.arms import OURS, Signals
from rollback.guardrails.file import load_policy
from rollback.simulate.command import simulate
from rollback.simulate.rules import Rule
from rollback.simulate.study import rules_of
from rollback.simulate.traffic import Behaviour, Counted, Traffic
from rollback.simulate.users import WORLDS, Together, UserSource, draw_users

MODEL = Behaviour(median=0.02, sigma=0.6, errors=0.01)
DAY, HOUR = 5760, 240  # steps


def play(
    together: Together,
    steps: int,
    *,
    share: float = 0.05,
    seed: int = 1,
    worse: Behaviour = MODEL,
    after: int = 0,
) -> Traffic:
    dice = np.random.default_rng(seed)
    users = draw_users(dice, together, MODEL.errors, 50)
    edges = np.array([0.05, *rule("tail-latency").edges, 0.1])
    return UserSource(together, users, MODEL, worse, share, 15.0, edges).play(dice, steps, after)


def dispersion(bad: Counted, calls: Counted) -> float:
    """Pearson's, over buckets."""
    found, expected = bad.sum(axis=0), calls.sum(axis=0) * bad.sum() / calls.sum()
    return float(((found - expected) ** 2 / expected).sum() / (len(found) - 1))


def test_independent_calls_are_independent_of_each_other() -> None:
    traffic = play(WORLDS["independent"], DAY)
    assert traffic.by_user is not None
    assert dispersion(traffic.by_user.bad, traffic.by_user.calls) == pytest.approx(1, abs=0.4)
    assert traffic.champion.errors.sum() / traffic.champion.calls.sum() == pytest.approx(0.01, rel=0.02)
    assert traffic.challenger.calls.sum() / traffic.champion.calls.sum() == pytest.approx(5 / 95, rel=0.1)


def test_prone_users_make_the_stated_dispersion() -> None:
    # Of users who call once in half an hour, nearly every bad call is a bad user-window.
    found = []
    for seed in range(3):
        traffic = play(Together(users=100_000, dispersion=10), DAY, seed=seed)
        assert traffic.by_user is not None
        found.append(dispersion(traffic.by_user.bad, traffic.by_user.calls))
    assert np.mean(found) == pytest.approx(10, rel=0.2)


def test_a_user_window_counts_once() -> None:
    quiet = Behaviour(median=0.02, sigma=0.6, errors=0.0)
    together = Together(client=7200)
    dice = np.random.default_rng(3)
    users = draw_users(dice, together, 0.0, 50)
    traffic = UserSource(together, users, quiet, quiet, 0.05, 15.0, np.array([])).play(dice, DAY)
    assert traffic.by_user is not None
    assert traffic.champion.errors.sum() + traffic.challenger.errors.sum() == 7200
    windows = traffic.by_user.champion_bad.sum() + traffic.by_user.challenger_bad.sum()
    assert windows in (12, 13)  # of two hours, beginning anywhere in a window


def test_both_ways_of_counting_agree_on_what_they_count() -> None:
    traffic = play(WORLDS["retries"], HOUR, share=0.25)
    by_user = traffic.by_user
    assert by_user is not None
    assert (by_user.calls.sum(axis=1) == traffic.champion.calls).all()
    assert (by_user.bad.sum(axis=1) == by_user.champion_bad).all()
    assert (by_user.champion_bad <= traffic.champion.errors).all()
    assert by_user.calls.shape == (HOUR, 75)
    assert (traffic.challenger.errors <= traffic.challenger.calls).all()
    assert (np.diff(traffic.champion.slower, axis=1) <= 0).all()


def test_a_region_that_is_down_fails_in_both_arms() -> None:
    down = play(Together(region=0.02), DAY, share=0.25)
    up = play(Together(), DAY, share=0.25)
    more = down.champion.errors.sum() - up.champion.errors.sum()
    assert more == pytest.approx(0.75 * 0.02 * 50 * 1800, rel=0.25)


def test_the_challenger_is_worse_from_the_moment_on() -> None:
    traffic = play(Together(), 2 * HOUR, share=0.25, worse=MODEL.worse(errors=3, slower=2), after=HOUR)
    bad, calls = traffic.challenger.errors, traffic.challenger.calls
    slow = traffic.challenger.slower[:, 0]
    assert bad[:HOUR].sum() / calls[:HOUR].sum() == pytest.approx(0.01, rel=0.15)
    assert bad[HOUR:].sum() / calls[HOUR:].sum() == pytest.approx(0.03, rel=0.15)
    assert slow[:HOUR].sum() / calls[:HOUR].sum() == pytest.approx(MODEL.beyond(0.05), rel=0.1)
    assert slow[HOUR:].sum() / calls[HOUR:].sum() == pytest.approx(
        MODEL.worse(slower=2).beyond(0.05), rel=0.1
    )
    assert traffic.champion.errors.sum() / traffic.champion.calls.sum() == pytest.approx(0.01, rel=0.1)


def test_only_the_challenger_is_cold_and_only_after_starts() -> None:
    traffic = play(Together(instances=4, cold=3), 2 * HOUR, share=0.25)
    assert [np.flatnonzero(one.starts)[0] for one in traffic.instances] == [0, 4, 8, 12]
    first = traffic.instances[0]
    for arm, usual in ((first.champion, True), (first.challenger, False)):
        slow = arm.slower[:8, 0].sum() / arm.calls[:8].sum()
        assert bool(slow == pytest.approx(MODEL.beyond(0.05), rel=0.25)) is usual
    later = slice(40, 80)
    slow = traffic.challenger.slower[later, 0].sum() / traffic.challenger.calls[later].sum()
    assert slow == pytest.approx(MODEL.beyond(0.05), rel=0.15)
    calls = np.sum([one.challenger.calls for one in traffic.instances], axis=0)
    assert (calls == traffic.challenger.calls).all()


def test_a_warm_up_is_left_out_of_the_instance_that_started() -> None:
    traffic = play(Together(instances=4, cold=3), HOUR, share=0.25)
    left = traffic.but_warm_up(8)
    first, second = traffic.instances[:2]
    assert left.challenger.calls[20] == traffic.challenger.calls[20] - sum(
        one.challenger.calls[20] for one in traffic.instances if one.starts[12:21].any()
    )
    assert left.champion.calls[2] == traffic.champion.calls[2] - first.champion.calls[2]
    assert second.champion.calls[2] > 0
    reach = traffic.after_warm_up(8).reach(100)
    assert isinstance(reach, np.ndarray)
    assert reach[:25].tolist() == [0] * 21 + [1, 2, 3, 4]
    assert traffic.but_warm_up(0) is traffic


def test_a_cold_start_is_no_regression_and_a_deployment_is_none() -> None:
    for cold, share in ((2, 0.01), (2, 0.25), (3, 0.05)):
        traffic = play(Together(instances=1, cold=cold), HOUR, share=share)
        assert rule("tail-latency").judge(traffic) is None
        assert rule("tail-latency", warm_up=timedelta()).judge(traffic) is not None
        assert rule("challenger-p99-ratio").judge(traffic) is None
    both = play(Together(instances=1, cold=2, both_cold=True), HOUR, share=0.25)
    assert rule("tail-latency", warm_up=timedelta()).judge(both) is None


def test_who_is_slow_after_the_warm_up_is_found() -> None:
    slow = play(Together(instances=1, cold=1), HOUR, share=0.25, worse=MODEL.worse(slower=2))
    found = rule("tail-latency").judge(slow)
    assert found is not None
    assert 8 < found < 12


def test_some_users_are_slow_and_some_minutes_are_bad() -> None:
    slow = play(WORLDS["slow-users"], DAY, share=0.25)
    part = slow.challenger.slower[:, -1].sum() / slow.challenger.calls.sum()
    usual, theirs = MODEL.beyond(0.1), MODEL.worse(slower=3).beyond(0.1)
    assert part == pytest.approx(0.95 * usual + 0.05 * theirs, rel=0.15)
    assert slow.champion.slower[:, -1].sum() / slow.champion.calls.sum() == pytest.approx(usual, rel=0.1)
    bad = play(WORLDS["periodic"], DAY, share=0.25)
    often = bad.challenger.errors / np.maximum(bad.challenger.calls, 1)
    assert bad.challenger.errors.sum() / bad.challenger.calls.sum() == pytest.approx(0.011, rel=0.04)
    by_minute = often[: DAY // 80 * 80].reshape(-1, 80).mean(axis=0)
    assert by_minute.max() > 0.03
    assert np.sort(by_minute)[-4] < 0.02


def test_the_command_plays_what_harms_at_each_share() -> None:
    few = ["--runs", "1", "--delay-runs", "1", "--plan", "25%:10m", "--processes", "1"]
    result = CliRunner().invoke(simulate, [*few, "--world", "slow-users"], env={"COLUMNS": "120"})
    assert result.exit_code == 0, result.output
    assert "slow-users" in result.stdout
    assert "Equal models" not in result.stdout


def test_the_same_seed_gives_the_same_traffic() -> None:
    one, two = (play(WORLDS["bursts-50"], HOUR, seed=5) for _ in range(2))
    assert (one.champion.errors == two.champion.errors).all()


def test_the_command_plays_a_world() -> None:
    few = ["--runs", "1", "--delay-runs", "0", "--plan", "25%:10m", "--processes", "1"]
    result = CliRunner().invoke(simulate, [*few, "--world", "retries"], env={"COLUMNS": "120"})
    assert result.exit_code == 0, result.output
    assert "Equal models, 1 rollouts" in result.stdout
    both = CliRunner().invoke(simulate, [*few, "--world", "retries", "--bursts", "5", "6"])
    assert both.exit_code == 2
    assert "leave out --bursts" in both.stderr


def rule(name: str, signals: Signals = OURS, **changes: object) -> Rule:
    """A default guardrail as it is played."""
    rules, _ = rules_of(load_policy(signals=signals).model_copy(update=changes), MODEL)
    return next(each for each in rules if each.name == name)


def test_one_client_rolls_back_by_calls_and_not_by_users() -> None:
    days = (play(Together(client=72_000), DAY, share=0.25, seed=seed) for seed in range(20))
    traffic = next(each for each in days if each.challenger.errors.sum() > 72_000)
    calls = OURS.model_copy(update={"user_windows": None})
    for name in ("errors", "challenger-errors"):
        assert rule(name, calls).judge(traffic) is not None
        assert rule(name).judge(traffic) is None


def test_a_few_users_whom_everything_fails_are_seen() -> None:
    """They call so often that hardly one bad call in a hundred is the first of its user."""
    for seed in range(3):
        broken = play(Together(users=40), 40, share=0.25, seed=seed, worse=MODEL.worse(errors=100))
        found = rule("challenger-errors").judge(broken)
        assert found is not None
        assert found < 4
