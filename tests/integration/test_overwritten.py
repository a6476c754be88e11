"""A person and a program write the same strategy at once, and Unleash overwrites one: it is put back.

Unleash reads a strategy, changes it and writes it whole. Here both calls are made to wait for a lock of the
database after they have read, so that the order of their writes is the test's.
"""

import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from common.arms import Arms
from common.errors import CanarioError
from flags.canary import share as canary
from flags.canary.history import history
from flags.canary.lease import ensure_lease, renew
from flags.canary.lease_segment import segment_name
from flags.canary.marks import resume
from flags.canary.share import read_state, set_share
from flags.canary.writes import change_parameter
from flags.rollout.controller import advance, look_and_decide
from flags.rollout.decide import StepKind
from flags.unleash.admin import UnleashAdmin
from flags.unleash.errors import ChangedMeanwhile
from flags.unleash.models import Segment
from flags.unleash.parts import SegmentStore
from stack.api import Stack
from stack.servers.machine import postgres
from stack.servers.postgres import SUPERUSER
from tests.integration.conftest import ProductManager, wait_for
from tests.integration.open_gates import COUNTRY, PLAN, OpenGates

MOST_TRIES = 300
STAGE_SECONDS = 0.25  # and a little more than PLAN wants
Act = Callable[..., Any]


class Row:
    """The strategy's row in Unleash's database, held so that nobody can write it."""

    def __init__(self, stack: Stack, flag: str) -> None:
        self._variables = {
            **os.environ,
            "PGHOST": stack.addresses.postgres.partition(":")[0],
            "PGPORT": stack.addresses.postgres.rpartition(":")[2],
            "PGUSER": SUPERUSER,
            "PGPASSWORD": stack.secret("postgres-superuser.password"),
            "PGDATABASE": stack.site.database,
        }
        self._holder = subprocess.Popen(
            [str(postgres("psql")), "-X", "-q", "-t"],
            env=self._variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._say(
            f"BEGIN; SELECT id FROM feature_strategies WHERE feature_name = '{flag}' FOR UPDATE;\n\\echo held"
        )
        assert self._holder.stdout
        while self._holder.stdout.readline().strip() != "held":
            assert self._holder.poll() is None

    def _say(self, words: str) -> None:
        assert self._holder.stdin
        self._holder.stdin.write(f"{words}\n")
        self._holder.stdin.flush()

    def waiting(self) -> int:
        """How many calls have read the strategy and wait to write it."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        done = subprocess.run(
            [str(postgres("psql")), "-X", "-t", "-c", query],
            env=self._variables,
            capture_output=True,
            text=True,
            check=True,
        )
        return int(done.stdout)

    def release(self) -> None:
        if self._holder.poll() is None:
            self._holder.communicate("COMMIT;\n\\q\n", timeout=10)


@contextmanager
def held(stack: Stack, flag: str) -> Iterator[Row]:
    row = Row(stack, flag)
    try:
        yield row
    finally:
        row.release()


def in_order(stack: Stack, flag: str, first: Act, second: Act) -> tuple[Future[Any], Future[Any]]:
    """Both have read the strategy before either writes it, `first` first."""
    with ThreadPoolExecutor(2) as pool, held(stack, flag) as row:
        one = pool.submit(first)
        wait_for(lambda: one.done() or row.waiting() == 1, 5, "the first write")
        two = pool.submit(second)
        wait_for(lambda: two.done() or row.waiting() == 2, 5, "the second write")
        row.release()
    return one, two


@pytest.fixture
def job(stack: Stack) -> UnleashAdmin:
    """The job of the plan."""
    return UnleashAdmin(stack.addresses.unleash, stack.secret("canario-rollout.token"))


@pytest.fixture
def flag(admin: UnleashAdmin, own_flag: str) -> str:
    """One whose next stage, 25%, may begin."""
    set_share(admin, own_flag, 5)
    resume(admin, own_flag, "begin")
    time.sleep(STAGE_SECONDS)
    return own_flag


def words(admin: UnleashAdmin, flag: str) -> list[str]:
    return [f"{one.who}: {one.words}" for one in history(admin, flag)]


def test_a_constraint_that_is_overwritten_is_put_back_and_the_raise_taken_back(
    stack: Stack, admin: UnleashAdmin, job: UnleashAdmin, manager: ProductManager, flag: str
) -> None:
    rollout = OpenGates(PLAN, job, Arms(flag, job.environment), "shadow")
    _, step = in_order(
        stack,
        flag,
        lambda: manager.edit_strategy(flag, constraints=[COUNTRY], title="Norway"),
        lambda: advance(rollout),
    )
    with pytest.raises(
        ChangedMeanwhile, match=r"admin changed .* in the moment in which it was raised to 25%"
    ):
        step.result()
    (strategy,) = manager.strategies(flag)
    assert [one["values"] for one in strategy["constraints"]] == [["NO"]]
    assert strategy["title"] == "Norway"
    assert strategy["parameters"]["rollout"] == "5"
    told = words(admin, flag)
    assert told[-4] == "admin: constraint country IN NO added"
    assert told[-3] == (
        "canario-rollout: share 5% -> 25% (it undid what admin had just done: constraint country IN NO added)"
    )
    assert told[-2] == "canario-rollout: constraint country IN NO added (put back: admin had set it)"
    assert told[-1] == "canario-rollout: share 25% -> 5%"
    # Nothing was lowered, so the plan goes on, for those whom the person left.
    time.sleep(STAGE_SECONDS)
    assert advance(rollout).done == "5% -> 25%: 25% of the users get the challenger"


@pytest.mark.parametrize("share", [3, 0, 60])
def test_a_share_that_is_overwritten_is_the_persons_again(
    stack: Stack, job: UnleashAdmin, manager: ProductManager, flag: str, share: int
) -> None:
    rollout = OpenGates(PLAN, job, Arms(flag, job.environment), "shadow")
    _, step = in_order(stack, flag, lambda: manager.set_share(flag, share), lambda: advance(rollout))
    with pytest.raises(ChangedMeanwhile, match=f"it is {share}, as admin wants it"):
        step.result()
    (strategy,) = manager.strategies(flag)
    assert strategy["parameters"]["rollout"] == str(share)
    assert (look_and_decide(rollout).step.kind is StepKind.REFUSE) == (share < 5)


def test_a_strategy_that_was_disabled_stays_so_and_the_flag_off(
    stack: Stack, job: UnleashAdmin, manager: ProductManager, flag: str
) -> None:
    rollout = OpenGates(PLAN, job, Arms(flag, job.environment), "shadow")
    _, step = in_order(
        stack, flag, lambda: manager.edit_strategy(flag, disabled=True), lambda: advance(rollout)
    )
    with pytest.raises(CanarioError):
        step.result()
    (strategy,) = manager.strategies(flag)
    assert strategy["disabled"]
    assert strategy["parameters"]["rollout"] == "5"
    state = read_state(job, flag)
    assert not state.enabled
    step_now = look_and_decide(rollout).step
    assert step_now.kind is StepKind.REFUSE
    assert "(strategy disabled by admin at" in step_now.sentence or "turned off by admin" in step_now.sentence


def test_an_order_of_a_person_loses_nothing_either(
    stack: Stack, admin: UnleashAdmin, manager: ProductManager, flag: str
) -> None:
    _, order = in_order(
        stack,
        flag,
        lambda: manager.edit_strategy(flag, constraints=[COUNTRY]),
        lambda: set_share(admin, flag, 25),
    )
    state = order.result()
    assert (state.percent, state.constraints) == (25, ("country IN NO",))
    _, order = in_order(
        stack,
        flag,
        lambda: manager.edit_strategy(flag, constraints=[]),
        lambda: ensure_lease(admin, flag, timedelta(minutes=15)),
    )
    assert order.result().attached
    state = read_state(admin, flag)
    assert (state.percent, state.constraints, len(state.segments)) == (25, (), 1)


def test_whoever_saves_after_the_program_wins_whole(
    stack: Stack, job: UnleashAdmin, manager: ProductManager, flag: str
) -> None:
    rollout = OpenGates(PLAN, job, Arms(flag, job.environment), "shadow")
    step, _ = in_order(
        stack,
        flag,
        lambda: advance(rollout),
        lambda: manager.edit_strategy(flag, constraints=[COUNTRY]),  # the form shows 5%
    )
    with suppress(ChangedMeanwhile):  # if it looks after the person's write
        step.result()
    (strategy,) = manager.strategies(flag)
    assert [one["values"] for one in strategy["constraints"]] == [["NO"]]
    assert strategy["parameters"]["rollout"] == "5"
    found = look_and_decide(rollout)
    assert found.step.kind is StepKind.REFUSE
    assert "admin lowered it" in found.step.sentence


def test_what_a_job_undid_that_was_ended_is_put_back_by_the_next(
    stack: Stack, job: UnleashAdmin, manager: ProductManager, flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout = OpenGates(PLAN, job, Arms(flag, job.environment), "shadow")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(canary, "settle", killed)
        _, step = in_order(
            stack,
            flag,
            lambda: manager.edit_strategy(flag, constraints=[COUNTRY]),
            lambda: advance(rollout),
        )
        assert isinstance(step.exception(), KeyboardInterrupt)
    assert manager.strategies(flag)[0]["constraints"] == []
    done = advance(rollout).done
    assert done == (
        "what admin had set was put back, which Unleash had overwritten: constraint country IN NO added"
    )
    assert [one["values"] for one in manager.strategies(flag)[0]["constraints"]] == [["NO"]]
    time.sleep(STAGE_SECONDS)
    assert advance(rollout).done == "25% -> 50%: 50% of the users get the challenger"


def test_a_renewal_costs_nothing_that_a_person_adds_to_the_segment(
    admin: UnleashAdmin, manager: ProductManager, own_flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_lease(admin, own_flag, timedelta(minutes=15))
    name = segment_name(own_flag, "production")

    def segment() -> Segment:
        return next(one for one in admin.segments.all() if one.name == name)

    real = SegmentStore.rewrite

    def late(self: SegmentStore, seen: Segment, constraints: Sequence[Mapping[str, Any]]) -> None:
        monkeypatch.setattr(SegmentStore, "rewrite", real)
        manager.save_segment(seen, [*map(dict, seen.constraints), COUNTRY])
        real(self, seen, constraints)

    monkeypatch.setattr(SegmentStore, "rewrite", late)
    until = datetime.now(UTC) + timedelta(minutes=30)
    lease = renew(admin, own_flag, until)
    assert lease
    assert lease.until
    assert abs(lease.until - until) < timedelta(seconds=1)
    assert {one["contextName"] for one in segment().constraints} == {"currentTime", "country"}
    # Once saved by a person and read by a renewal, it is nothing to put back any more.
    renew(admin, own_flag, until + timedelta(minutes=1))
    assert len(segment().constraints) == 2


def test_at_once_again_and_again_until_unleash_loses_one(
    admin: UnleashAdmin, job: UnleashAdmin, manager: ProductManager, own_flag: str
) -> None:
    (strategy,) = manager.strategies(own_flag)
    path = f"/features/{own_flag}/environments/production/strategies/{strategy['id']}"
    dice = random.Random(1)
    for number in range(MOST_TRIES):
        country = {**COUNTRY, "values": [f"C{number}"]}
        form = {**strategy, "constraints": [country]}
        with ThreadPoolExecutor(2) as pool:
            wait = dice.uniform(-0.005, 0.005)
            # Another share each time: of a write that changes nothing of what it read, Unleash logs nothing.
            share = str(1 + number % 99)
            ordered = pool.submit(
                _after, wait, change_parameter, job, own_flag, strategy["id"], "rollout", share
            )
            pool.submit(_after, -wait, manager.save, path, form).result()
            ordered.result()
        (now,) = manager.strategies(own_flag)
        assert now["constraints"][0]["values"] == country["values"], words(admin, own_flag)
        if any("it undid what admin had just done" in one for one in words(admin, own_flag)):
            print(f"lost, and put back, at try {number}")
            return
    pytest.fail(f"Unleash lost nothing in {MOST_TRIES} tries: is there a lock now?")


def _after(seconds: float, act: Act, *args: Any) -> None:
    time.sleep(max(seconds, 0.0))
    act(*args)
