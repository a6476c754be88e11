"""User-windows: each user counts once in ten minutes, whichever worker sees the bad calls."""

import os
from collections import Counter

import pytest

from common.names import Model
from service.metrics.user_windows import SECONDS, SeenUsers, UserWindows

CHAMPION, CHALLENGER = Model.CHAMPION, Model.CHALLENGER


def test_a_user_is_new_once_in_a_window_and_with_a_model() -> None:
    seen = SeenUsers(1024)
    assert [seen.is_new("champion", "u", 5) for _ in range(3)] == [True, False, False]
    assert seen.is_new("challenger", "u", 5) is True
    assert seen.is_new("champion", "v", 5) is True
    assert seen.is_new("champion", "u", 6) is True
    assert seen.is_new("champion", "u", 6) is False


def test_room_is_bounded_and_free_again_in_the_next_window() -> None:
    seen = SeenUsers(64)
    first = Counter(seen.is_new("champion", str(user), 7) for user in range(500))
    assert first[False] == 0
    assert 60 <= first[True] <= 80  # and as many slots at the end as a user may stand away from its place
    assert first[None] == 500 - first[True]
    again = Counter(seen.is_new("champion", str(user), 7) for user in range(500))
    assert (again[True], again[False]) == (0, first[True])
    assert Counter(seen.is_new("champion", str(user), 8) for user in range(500))[True] >= 60


def test_nearly_all_of_many_users_find_room() -> None:
    seen = SeenUsers(4096)
    found = Counter(seen.is_new("champion", str(user), 1) for user in range(2048))
    assert found[True] >= 2040  # the key of the hash is drawn anew for each memory
    assert found[False] == 0


def test_processes_forked_from_one_share_what_was_seen() -> None:
    seen = SeenUsers(1024)
    found = []
    for _ in range(2):
        reading, writing = os.pipe()
        if not os.fork():
            os.write(writing, b"new" if seen.is_new("champion", "u", 3) else b"old")
            os._exit(0)
        os.wait()
        found.append(os.read(reading, 3))
        os.close(reading)
        os.close(writing)
    assert found == [b"new", b"old"]
    assert seen.is_new("champion", "u", 3) is False


@pytest.fixture
def told() -> Counter[object]:
    return Counter()


def test_calls_are_counted_and_of_bad_ones_the_first(told: Counter[object]) -> None:
    now = [1000.0 * SECONDS]
    users = UserWindows(
        called=lambda *of: told.update([("called", *of)]),
        failed=lambda *of: told.update([("failed", *of)]),
        dropped=lambda: told.update(["dropped"]),
        clock=lambda: now[0],
    )
    for bad in (False, True, True):
        users.count(CHAMPION, "u", 42, bad=bad)
    users.count(CHALLENGER, "u", 42, bad=True)
    now[0] += SECONDS - 1
    users.count(CHAMPION, "u", 42, bad=True)
    assert told == {
        ("called", CHAMPION, 42): 4,
        ("failed", CHAMPION, 42): 1,
        ("called", CHALLENGER, 42): 1,
        ("failed", CHALLENGER, 42): 1,
    }
    now[0] += 1
    users.count(CHAMPION, "u", 42, bad=True)
    assert told["failed", CHAMPION, 42] == 2


def test_who_finds_no_room_is_told(told: Counter[object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.metrics.user_windows._shared", [SeenUsers(1)])
    users = UserWindows(
        called=lambda *_: None,
        failed=lambda *_: told.update(["failed"]),
        dropped=lambda: told.update(["dropped"]),
        clock=lambda: 0.0,
    )
    for user in range(20):
        users.count(CHAMPION, str(user), 1, bad=True)
    assert told == {"failed": 16, "dropped": 4}


def test_everybody_counts_anew_once_the_flag_has_changed() -> None:
    """Of a try that was rolled back nobody is missing in the next one, in the same ten minutes."""
    counted: list[tuple[Model, int]] = []

    def users() -> UserWindows:
        return UserWindows(lambda *_: None, lambda *of: counted.append(of), lambda: None, lambda: 1000.0)

    one = users()
    for state in ("on 5", "on 5", "off", "on 5"):
        one.follow(state)
        for _ in range(2):
            one.count(CHALLENGER, "u", 42, bad=True)
    assert len(counted) == 3


def test_of_workers_that_hear_of_it_one_after_the_other_only_the_first_forgets() -> None:
    seen = SeenUsers(1024)
    seen.forget("on 5")
    assert seen.is_new("challenger", "u", 5) is True
    seen.forget("on 5")
    assert seen.is_new("challenger", "u", 5) is False
    seen.forget("on 25")
    assert seen.is_new("challenger", "u", 5) is True
