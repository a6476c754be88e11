"""Users and tokens: what is made, kept, renewed and replaced, and how little it takes."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from common.config import ConfigError
from flags.accounts.bootstrap import LIFETIME, NEEDED, Action, Bootstrap, Outcome, new_password
from flags.accounts.users import USERS
from flags.accounts.vault import Vault
from flags.settings import BootstrapSettings
from flags.unleash.errors import Rejected, Unauthorized, Unreachable
from tests.unit.flags.fake_accounts import EDITOR, PERMISSIONS, FakeAccounts, password_fault
from tests.unit.flags.server import Server

EDITORS = ["canario-flags", "canario-rollback", "canario-rollout", "canario-service"]
NAMES = [*EDITORS, "canario-board", "canario-mesh"]


@pytest.fixture
def accounts(server: Server) -> FakeAccounts:
    return FakeAccounts(server)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "secrets"


def run(
    accounts: FakeAccounts, folder: Path, password: str | None = "secret", url: str | None = None
) -> list[Outcome]:
    settings = BootstrapSettings(
        unleash_url=url or accounts.url,
        unleash_admin_user="admin",
        unleash_admin_password=SecretStr(password) if password else None,
        unleash_project="default",
        unleash_environment="production",
    )
    return list(Bootstrap(settings, Vault(folder)).run())


def secret(folder: Path, name: str = "canario-flags") -> str:
    return (folder / f"{name}.token").read_text().strip()


def age(folder: Path, days_left: int, name: str = "canario-flags") -> None:
    label = folder / f"{name}.json"
    ends = datetime.now(UTC) + timedelta(days=days_left)
    label.write_text(json.dumps(json.loads(label.read_text()) | {"expires_at": ends.isoformat()}))


def test_a_fresh_server_gets_four_editors_and_two_viewers_with_a_token_of_a_year_each(
    accounts: FakeAccounts, folder: Path
) -> None:
    outcomes = run(accounts, folder)
    assert [(one.username, one.action, one.why) for one in outcomes] == [
        (name, Action.MADE, "there was none") for name in NAMES
    ]
    assert [user.username for user in USERS] == NAMES
    for outcome in outcomes:
        assert accounts.users[outcome.username]["rootRole"] == (2 if outcome.username in EDITORS else 3)
        assert abs(outcome.expires_at - datetime.now(UTC) - LIFETIME) < timedelta(minutes=1)
        (token,) = [one for one in accounts.tokens if one["secret"] == secret(folder, outcome.username)]
        assert token["userId"] == accounts.users[outcome.username]["id"]
    assert accounts.logins == ["admin", *NAMES]  # seven of the ten a minute


def test_a_second_run_keeps_all_and_needs_no_password(accounts: FakeAccounts, folder: Path) -> None:
    run(accounts, folder)
    before, calls, logins = secret(folder), len(accounts.calls), len(accounts.logins)
    outcomes = run(accounts, folder, password=None)
    assert [(one.action, one.why) for one in outcomes] == [(Action.KEPT, "")] * 6
    assert secret(folder) == before
    assert (len(accounts.calls) - calls, len(accounts.logins) - logins) == (6, 0)


@pytest.mark.parametrize("text", ["user:gone\n", "not\na token", "", "ünleash"])
def test_a_dead_token_is_replaced(accounts: FakeAccounts, folder: Path, text: str) -> None:
    run(accounts, folder)
    (folder / "canario-flags.token").write_text(text, encoding="utf-8")
    first, *rest = run(accounts, folder)
    assert (first.action, first.why) == (Action.MADE, "the old one no longer worked")
    assert [one.action for one in rest] == [Action.KEPT] * 5
    assert accounts.logins[7:] == ["admin", "canario-flags"]
    assert run(accounts, folder, password=None)[0].action is Action.KEPT


def test_a_user_deleted_in_the_ui_is_made_again(accounts: FakeAccounts, folder: Path) -> None:
    run(accounts, folder)
    del accounts.users["canario-rollback"]
    assert [one.action for one in run(accounts, folder)] == [
        Action.KEPT,
        Action.MADE,
        Action.KEPT,
        Action.KEPT,
        Action.KEPT,
        Action.KEPT,
    ]
    assert accounts.users["canario-rollback"]["rootRole"] == 2


def test_a_token_of_another_user_is_not_used(accounts: FakeAccounts, folder: Path) -> None:
    run(accounts, folder)
    (folder / "canario-rollback.token").write_text(secret(folder))
    outcome = run(accounts, folder)[1]
    assert (outcome.action, outcome.why) == (Action.MADE, "the old one belonged to canario-flags")
    assert secret(folder, "canario-rollback") != secret(folder)


def test_a_token_that_ends_soon_renews_itself(accounts: FakeAccounts, folder: Path) -> None:
    run(accounts, folder)
    old = secret(folder)
    age(folder, days_left=29)
    first = run(accounts, folder, password=None)[0]
    assert first.action is Action.RENEWED
    assert "the old one would have ended on" in first.why
    assert secret(folder) != old
    assert old in [one["secret"] for one in accounts.tokens], "running processes still hold it"
    assert run(accounts, folder, password=None)[0].action is Action.KEPT


def test_a_token_that_ends_later_is_kept(accounts: FakeAccounts, folder: Path) -> None:
    run(accounts, folder)
    age(folder, days_left=31)
    assert run(accounts, folder, password=None)[0].action is Action.KEPT


@pytest.mark.parametrize("label", [None, "", "{}", "not json", '{"id": 1, "expires_at": "2027-01-01"}'])
def test_a_token_whose_end_is_not_known_is_renewed(
    accounts: FakeAccounts, folder: Path, label: str | None
) -> None:
    run(accounts, folder)
    path = folder / "canario-flags.json"
    path.unlink() if label is None else path.write_text(label)
    first = run(accounts, folder, password=None)[0]
    assert (first.action, first.why) == (Action.RENEWED, "it was not known when the old one ends")


def test_a_role_that_was_taken_away_is_restored(accounts: FakeAccounts, folder: Path) -> None:
    run(accounts, folder)
    accounts.users["canario-rollback"]["rootRole"] = 3
    with pytest.raises(ConfigError, match="CANARIO_UNLEASH_ADMIN_PASSWORD: is needed"):
        run(accounts, folder, password=None)
    outcome = run(accounts, folder)[1]
    assert (outcome.action, outcome.why) == (
        Action.KEPT,
        "it could not change flags: its role is Editor again",
    )
    assert accounts.users["canario-rollback"]["rootRole"] == 2


def test_a_new_token_comes_with_the_role(accounts: FakeAccounts, folder: Path) -> None:
    accounts.add("canario-flags", 3)
    first, second, *_ = run(accounts, folder)
    assert accounts.users["canario-flags"]["rootRole"] == 2
    assert first.why == "there was none; it could not change flags: its role is Editor again"
    assert second.why == "there was none"


@pytest.mark.parametrize("lacking", NEEDED)
def test_every_permission_that_is_needed_is_asked_for(
    accounts: FakeAccounts, folder: Path, lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(accounts, folder)
    rest = [one for one in EDITOR if one["permission"] != lacking]
    monkeypatch.setitem(PERMISSIONS, 2, rest)
    assert all(one.why for one in run(accounts, folder) if one.username in EDITORS)


def test_the_board_is_made_to_look_only_again(accounts: FakeAccounts, folder: Path) -> None:
    run(accounts, folder)
    accounts.users["canario-board"]["rootRole"] = 2
    [outcome] = [one for one in run(accounts, folder) if one.username == "canario-board"]
    assert (outcome.action, outcome.why) == (Action.KEPT, "it could change flags: its role is Viewer again")
    assert accounts.users["canario-board"]["rootRole"] == 3


def test_a_narrower_role_that_is_enough_is_left(
    accounts: FakeAccounts, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(accounts, folder)
    accounts.users["canario-flags"]["rootRole"] = 3
    monkeypatch.setitem(PERMISSIONS, 3, EDITOR)
    (folder / "canario-flags.token").unlink()
    assert run(accounts, folder)[0].action is Action.MADE
    assert accounts.users["canario-flags"]["rootRole"] == 3


@pytest.mark.parametrize(
    ("ended", "gone"),
    [(["t3", "t5"], ["t3", "t5"]), ([], ["t4"])],
    ids=["ended ones first", "else the one unused for longest"],
)
def test_room_is_made_where_a_user_has_ten_tokens(
    accounts: FakeAccounts, folder: Path, ended: list[str], gone: list[str]
) -> None:
    accounts.add("canario-flags", 2)
    for number in range(10):
        name = f"t{number}"
        ends = "2026-01-02T00:00:00Z" if name in ended else "2027-01-01T00:00:00Z"
        seen = "2025-01-01T00:00:00Z" if name == "t4" else "2026-06-01T00:00:00Z"
        accounts.add_token("canario-flags", name, ends, seen)
    run(accounts, folder)
    left = accounts.descriptions("canario-flags")
    assert [name for name in (f"t{number}" for number in range(10)) if name not in left] == gone
    assert left[-1].startswith("canario on ")


def test_without_a_password_a_missing_token_says_what_is_needed(accounts: FakeAccounts, folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"CANARIO_UNLEASH_ADMIN_PASSWORD: is needed.*_FILE"):
        run(accounts, folder, password=None)
    assert accounts.logins == []


def test_a_wrong_password_says_which_settings_and_not_the_password(
    accounts: FakeAccounts, folder: Path
) -> None:
    with pytest.raises(Unauthorized, match="CANARIO_UNLEASH_ADMIN_PASSWORD") as caught:
        run(accounts, folder, password="wrongwrong")
    assert "wrongwrong" not in str(caught.value)


def test_too_many_log_ins_say_how_long_to_wait(accounts: FakeAccounts, folder: Path) -> None:
    accounts.logins += ["somebody"] * 10
    with pytest.raises(Rejected, match="wait 57 s"):
        run(accounts, folder)


def test_a_stop_half_way_keeps_what_was_made(accounts: FakeAccounts, folder: Path) -> None:
    accounts.logins += ["somebody"] * 8  # enough for the administrator and one user
    with pytest.raises(Rejected):
        run(accounts, folder)
    accounts.logins.clear()
    assert [one.action for one in run(accounts, folder)] == [
        Action.KEPT,
        Action.MADE,
        Action.MADE,
        Action.MADE,
        Action.MADE,
        Action.MADE,
    ]


def test_an_unreachable_server_replaces_nothing(accounts: FakeAccounts, folder: Path) -> None:
    run(accounts, folder)
    before = secret(folder)
    with pytest.raises(Unreachable):
        run(accounts, folder, url="http://127.0.0.1:1")
    assert secret(folder) == before


def test_passwords_are_sent_and_never_kept(accounts: FakeAccounts, folder: Path) -> None:
    run(accounts, folder)
    written = "".join(path.read_text() for path in folder.iterdir())
    for name in NAMES:
        assert accounts.passwords[name] not in written


def test_every_password_meets_the_rules_of_unleash() -> None:
    passwords = {new_password().get_secret_value() for _ in range(500)}
    assert len(passwords) == 500
    assert {password_fault(password) for password in passwords} == {""}
    assert "**" in repr(new_password())
