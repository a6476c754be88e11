"""`./canario off`: the flag is off after one order, whatever else is broken, and it takes less than 2 s."""

import time
from pathlib import Path

import pytest

from tests.unit.flags.fake_unleash import FakeUnleash, error, gradual
from tests.unit.flags.server import Answer
from tests.unit.launcher.conftest import Canario

ROLLOUT = "name: {name}\nflag: {{name: {flag}}}\narms: {{selector: {{job: shop}}}}\nsignals: {{}}\n"


@pytest.fixture
def two(tmp_path: Path, unleash: FakeUnleash) -> dict[str, str]:
    """A folder of two rollouts."""
    for name, flag in (("cancer", "canary"), ("ranker", "ranker-v2")):
        (tmp_path / "rollouts" / name).mkdir(parents=True)
        text = ROLLOUT.format(name=name, flag=flag)
        (tmp_path / "rollouts" / name / "rollout.yaml").write_text(text, encoding="utf-8")
    unleash.add("ranker-v2", gradual(5))
    return {"CANARIO_ROLLOUTS": str(tmp_path / "rollouts")}


def is_on(unleash: FakeUnleash, flag: str = "canary") -> bool:
    return bool(unleash.here(flag)["enabled"])


def test_one_order_and_one_look_within_two_seconds(
    canario: Canario, unleash: FakeUnleash, at_unleash: dict[str, str]
) -> None:
    begun = time.monotonic()
    done = canario("off", **at_unleash)
    assert time.monotonic() - begun < 2.0
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("canary in production is off, after 0."), done.stdout
    assert "./canario on canary" in done.stdout
    assert not is_on(unleash)
    assert [call.method for call in unleash.calls] == ["POST", "GET"]


def test_it_needs_nothing_installed(
    canario: Canario, unleash: FakeUnleash, at_unleash: dict[str, str]
) -> None:
    assert canario("off", bare=True, **at_unleash).returncode == 0
    assert not is_on(unleash)


def test_with_several_rollouts_one_is_named_by_itself_or_by_its_flag(
    canario: Canario, unleash: FakeUnleash, at_unleash: dict[str, str], two: dict[str, str]
) -> None:
    done = canario("off", **at_unleash, **two)
    assert done.returncode == 2
    assert "cancer (flag canary), ranker (flag ranker-v2). Name one, or say --all" in done.stderr
    assert is_on(unleash)
    assert canario("off", "ranker", **at_unleash, **two).returncode == 0
    assert (is_on(unleash), is_on(unleash, "ranker-v2")) == (True, False)
    assert canario("off", "canary", **at_unleash, **two).returncode == 0
    assert not is_on(unleash)


def test_all_of_them(
    canario: Canario, unleash: FakeUnleash, at_unleash: dict[str, str], two: dict[str, str]
) -> None:
    assert canario("off", "--all", **at_unleash, **two).returncode == 0
    assert not is_on(unleash)
    assert not is_on(unleash, "ranker-v2")


def test_a_broken_file_keeps_nobody_from_a_flag(
    canario: Canario, unleash: FakeUnleash, at_unleash: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "rollouts" / "bad").mkdir(parents=True)
    (tmp_path / "rollouts" / "bad" / "rollout.yaml").write_text("name: [", encoding="utf-8")
    done = canario("off", "canary", **at_unleash, CANARIO_ROLLOUTS=str(tmp_path / "rollouts"))
    assert done.returncode == 0, done.stderr
    assert "is left out" in done.stderr
    assert not is_on(unleash)


def test_without_unleash_it_says_what_else_stops_a_challenger(canario: Canario) -> None:
    done = canario("off", CANARIO_UNLEASH_URL="http://127.0.0.1:9", CANARIO_UNLEASH_ADMIN_TOKEN="user:x")
    assert done.returncode == 3
    assert './canario models challenger --none --reason "Unleash is down"' in done.stderr


@pytest.mark.parametrize(
    ("answers", "code", "told"),
    [
        ([error(401, "no")], 3, "refuses the token"),
        ([error(403, "no")], 3, "answers 403"),
        ([error(500, "once")], 0, ""),
        ([error(500, "twice"), error(500, "twice")], 3, "answers 500"),
        ([Answer(status=302, headers={"Location": "http://127.0.0.1:9/"})], 3, "answers 302"),
    ],
)
def test_a_refusal_is_told_and_a_hiccup_is_tried_again(
    canario: Canario,
    unleash: FakeUnleash,
    at_unleash: dict[str, str],
    answers: list[Answer],
    code: int,
    told: str,
) -> None:
    unleash.fail("POST", "/off", *answers)
    done = canario("off", **at_unleash)
    assert done.returncode == code
    assert told in done.stderr
    assert is_on(unleash) == bool(code)


def test_a_flag_that_somebody_turns_on_at_once_is_not_told_as_off(
    canario: Canario, unleash: FakeUnleash, at_unleash: dict[str, str]
) -> None:
    unleash.just_before("GET", "/features/canary", lambda: unleash.here("canary").update(enabled=True))
    done = canario("off", **at_unleash)
    assert done.returncode == 4
    assert "still says it is on" in done.stderr


def test_a_flag_that_is_not_there(canario: Canario, at_unleash: dict[str, str]) -> None:
    done = canario("off", "canari", **at_unleash)
    assert done.returncode == 4
    assert "`./canario show` lists the flags" in done.stderr
