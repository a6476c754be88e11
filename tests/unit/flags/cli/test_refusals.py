"""What a command prints, its exit code and what it records agree; and every refusal says what helps."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from flags import __main__ as main
from flags.canary.marks import PAUSE, QUARANTINE
from flags.rollout import situation
from flags.rollout.situation import DeployedModels
from flags.unleash.admin import UnleashAdmin
from tests.unit.flags.fake_unleash import FakeUnleash, error, gradual

Situation = Callable[[FakeUnleash], None]
VERSION = "1 aaaaaaaaaaaa"
PLAN = "begin: by_hand\nstages: [{share: 5}, {share: 25, approval: true}, {share: 100, approval: true}]\n"
REASON = ("--reason", "a test")
HELP = re.compile(r"`\./canario [^`]+`|Unleash UI|set CANARIO_\w+")


def blocked(unleash: FakeUnleash) -> None:
    unleash.add("canary", gradual(5))
    mark(unleash, QUARANTINE, VERSION)


def blocked_and_off(unleash: FakeUnleash) -> None:
    unleash.add("canary", gradual(25), enabled=False)
    mark(unleash, QUARANTINE, VERSION)


def paused(unleash: FakeUnleash) -> None:
    unleash.add("canary", gradual(5))
    mark(unleash, PAUSE, "lunch")


def lowered(unleash: FakeUnleash) -> None:
    unleash.add("canary", gradual(25))
    for share in ("50", "5"):
        unleash.save(parameters={"rollout": share})


def missing(_: FakeUnleash) -> None:
    pass


def two_strategies(unleash: FakeUnleash) -> None:
    unleash.add("canary", gradual(5), gradual(25))


def disabled(unleash: FakeUnleash) -> None:
    unleash.add("canary", gradual(5, disabled=True))


def by_session(unleash: FakeUnleash) -> None:
    unleash.add("canary", gradual(5, parameters={"stickiness": "sessionId"}))


def excluding(unleash: FakeUnleash) -> None:
    keeps_out = {"contextName": "country", "operator": "NOT_IN", "values": ["NO"], "inverted": False}
    unleash.add("canary", gradual(5, constraints=[keeps_out]))
    mark(unleash, QUARANTINE, VERSION)


def healthy(unleash: FakeUnleash) -> None:
    unleash.add("canary", gradual(5))


def mark(unleash: FakeUnleash, kind: str, value: str) -> None:
    unleash.tags["canary"] = [{"type": kind, "value": value}]
    unleash.log("feature-tagged", "canary", "ada", data={"type": kind, "value": value})


@pytest.fixture
def run(unleash: FakeUnleash, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    (tmp_path / "plan.yaml").write_text(PLAN, encoding="utf-8")
    monkeypatch.setattr(
        situation, "models_of", lambda _folder: DeployedModels(known=True, challenger=VERSION)
    )
    env = {
        "CANARIO_UNLEASH_URL": unleash.url,
        "CANARIO_UNLEASH_ADMIN_TOKEN": "user:flags",
        "CANARIO_ROLLOUT_PLAN": str(tmp_path / "plan.yaml"),
        "CANARIO_LEASE": "off",
    }

    def run(*words: str) -> Result:
        return CliRunner(env=env).invoke(main.cli, words)

    return run


REFUSED: list[tuple[Situation, tuple[str, ...], int]] = [
    *(
        (one, ("rollout", "begin"), 4)
        for one in (blocked, paused, lowered, missing, two_strategies, disabled)
    ),
    *((one, ("rollout", "approve", "25%"), 4) for one in (blocked, paused, lowered, missing, by_session)),
    (healthy, ("rollout", "approve", "100%"), 4),
    *((one, ("rollout", "advance"), 12) for one in (blocked, paused, lowered, missing, two_strategies)),
    (missing, ("rollout", "pause", *REASON), 4),
    (missing, ("rollout", "resume", *REASON), 4),
    (missing, ("rollout", "abort", *REASON), 4),
    (blocked, ("set", "canary", "25"), 4),
    (two_strategies, ("set", "canary", "25"), 4),
    (disabled, ("set", "canary", "25"), 4),
    (by_session, ("set", "canary", "25"), 4),
    (missing, ("set", "canary", "25"), 4),
    (healthy, ("set", "canary", "25", "--expect", "7"), 4),
    (blocked_and_off, ("on", "canary"), 4),
    (disabled, ("off", "gone"), 4),
    (missing, ("on", "canary"), 4),
    (missing, ("off", "canary"), 4),
    (missing, ("lift", "canary", *REASON), 4),
    (missing, ("resume", "canary", *REASON), 4),
    (healthy, ("lease", "canary"), 4),
    (excluding, ("include", "canary", "country=NO"), 4),
    (two_strategies, ("exclude", "canary", "country=NO"), 4),
    (missing, ("exclude", "canary", "country=NO"), 4),
    (blocked, ("lift", "canary"), 2),
    (blocked, ("lift", "canary", "--reason", "x"), 2),
]
DONE: list[tuple[Situation, tuple[str, ...]]] = [
    (healthy, ("rollout", "begin")),
    (healthy, ("rollout", "approve", "25%")),
    (healthy, ("rollout", "pause", *REASON)),
    (paused, ("rollout", "resume", *REASON)),
    (blocked, ("rollout", "resume", *REASON)),
    (healthy, ("rollout", "abort", *REASON)),
    (healthy, ("set", "canary", "25")),
    (blocked, ("set", "canary", "1")),
    (blocked, ("set", "canary", "25", "--override", "a test")),
    (blocked_and_off, ("on", "canary", "--override", "a test")),
    (blocked, ("off", "canary")),
    (blocked, ("lift", "canary", *REASON)),
    (lowered, ("resume", "canary", *REASON)),
    (excluding, ("include", "canary", "country=NO", "--override", "a test")),
    (blocked, ("exclude", "canary", "country=NO")),
]


@pytest.mark.parametrize(
    ("situation", "words", "code"),
    [pytest.param(*one, id=f"{' '.join(one[1])}, {one[0].__name__}") for one in REFUSED],
)
def test_what_is_refused_changes_nothing_and_says_what_helps(
    unleash: FakeUnleash, run: Callable[..., Result], situation: Situation, words: tuple[str, ...], code: int
) -> None:
    situation(unleash)
    done = run(*words)
    assert done.exit_code == code, done.output
    assert unleash.writes() in ([], [("POST", "off")]), "the only order that is sent before anything is read"
    if code == 12:
        assert "refuses" in done.stdout
    else:
        assert done.stdout == ""
        assert "rror: " in done.stderr
    if code != 2 and "--expect" not in words:
        assert HELP.search(done.output), done.output


@pytest.mark.parametrize(
    ("situation", "words"), [pytest.param(*one, id=f"{' '.join(one[1])}, {one[0].__name__}") for one in DONE]
)
def test_what_is_done_is_recorded_and_no_refusal(
    unleash: FakeUnleash, run: Callable[..., Result], situation: Situation, words: tuple[str, ...]
) -> None:
    situation(unleash)
    done = run(*words)
    assert done.exit_code == 0, done.output
    assert unleash.writes()
    assert "refuse" not in done.stdout
    assert "error" not in done.stderr


def test_a_resume_that_does_not_help_says_what_would(
    unleash: FakeUnleash, run: Callable[..., Result]
) -> None:
    blocked(unleash)
    done = run("rollout", "resume", *REASON)
    assert done.stdout == "canary: resumed: a test\n"
    assert done.stderr.startswith(
        "! the plan stands still all the same: canary: 1 aaaaaaaaaaaa was rolled back"
    )
    assert "./canario lift canary" in done.stderr


def test_an_abort_that_cannot_pause_the_plan_says_so(
    unleash: FakeUnleash, run: Callable[..., Result]
) -> None:
    healthy(unleash)
    unleash.fail("PUT", "/tags", *[error(403, "no")] * 3)
    done = run("rollout", "abort", *REASON)
    assert not unleash.here()["enabled"]
    assert done.exit_code == 3
    assert "NOT paused" in done.stderr


def test_a_share_that_reaches_nobody_says_so(
    unleash: FakeUnleash, admin: UnleashAdmin, run: Callable[..., Result]
) -> None:
    blocked(unleash)
    done = run("set", "canary", "25", "--override", "a test")
    assert "! blocked: 1 aaaaaaaaaaaa; `./canario lift canary" in done.stderr
