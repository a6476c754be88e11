"""A job's token: watched before it is needed, and taken up when it was renewed."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from common.config import FileSecret, load_settings
from common.names import TokenMetric
from flags.accounts.users import EDITOR, VIEWER
from flags.settings import FlagsSettings
from flags.unleash.admin import UnleashAdmin
from flags.unleash.errors import Unreachable
from flags.unleash.token import EVERY, LEASES, SHARES, Accounts, TokenCheck, watch
from tests.unit.flags.fake_accounts import FakeAccounts
from tests.unit.flags.fake_unleash import FakeUnleash, gradual
from tests.unit.flags.server import Answer, Server

ENDS = "2099-11-23T00:00:00Z"
ROLES = {EDITOR: 2, VIEWER: 3}


@pytest.fixture
def accounts(server: Server) -> FakeAccounts:
    return FakeAccounts(server)


def check(accounts: FakeAccounts, role: str = EDITOR) -> TokenCheck:
    accounts.add("canario-rollback", ROLES[role])
    token = accounts.add_token("canario-rollback", "one", ENDS)
    return TokenCheck(accounts.url, SecretStr(token), "default", "production", (*SHARES, *LEASES))


def test_a_token_that_may_do_the_work_tells_when_it_ends(accounts: FakeAccounts) -> None:
    state = check(accounts).look()
    assert (state.ends, state.fault) == (datetime(2099, 11, 23, tzinfo=UTC), None)


def test_a_token_that_ended_is_a_fault_that_says_what_helps(accounts: FakeAccounts) -> None:
    one = check(accounts)
    accounts.tokens[0]["expiresAt"] = "2026-01-01T00:00:00Z"
    state = one.look()
    assert state.ends is None
    assert "401" in (state.fault or "")


def test_a_user_who_lost_its_role_is_a_fault_that_names_the_right(accounts: FakeAccounts) -> None:
    state = check(accounts, VIEWER).look()
    assert (state.fault or "").startswith("canario-rollback lacks UPDATE_FEATURE_ENVIRONMENT")
    assert state.ends is not None


def test_a_silent_unleash_says_nothing_about_the_token(accounts: FakeAccounts) -> None:
    with pytest.raises(Unreachable):
        replace(check(accounts), url="http://127.0.0.1:1").look()


def test_of_several_tokens_it_is_the_one_of_the_label_or_the_one_seen_last(
    accounts: FakeAccounts, tmp_path: Path
) -> None:
    one = check(accounts)
    accounts.add_token("canario-rollback", "used", "2098-01-01T00:00:00Z", "2026-11-28T00:00:00Z")
    accounts.add_token("canario-rollback", "ended", "2026-01-01T00:00:00Z", "2026-11-29T00:00:00Z")
    found = one.look()
    assert found.ends is not None
    assert found.ends.year == 2098
    file = tmp_path / "canario-rollback.token"
    file.write_text(one.token.get_secret_value())
    label = {"id": accounts.tokens[0]["id"], "expires_at": ENDS}
    file.with_suffix(".json").write_text(json.dumps(label))
    found = replace(one, token=FileSecret(one.token.get_secret_value(), file)).look()
    assert found.ends is not None
    assert found.ends.year == 2099


def test_the_watch_goes_on_through_silence_and_bugs_and_tells_at_once(
    accounts: FakeAccounts, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, registry = check(accounts), CollectorRegistry()
    answer, broken = server.answer, [Answer("nonsense"), Answer({"user": 1})]
    server.answer = lambda call: broken.pop(0) if broken else answer(call)
    told: list[tuple[float | None, float | None]] = []
    over = Event()

    class FourTimes(Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout == 0.01
            names = (TokenMetric.USABLE, TokenMetric.ENDS)
            told.append((registry.get_sample_value(names[0]), registry.get_sample_value(names[1])))
            if told[-1][0] == 1:
                accounts.tokens.clear()
            if len(told) == 4:
                self.set()
                over.set()
            return self.is_set()

    watch(one, registry, timedelta(seconds=0.01), ended=FourTimes())
    assert over.wait(10)
    ends = datetime(2099, 11, 23, tzinfo=UTC).timestamp()
    assert told[2:] == [(1, ends), (0, ends)]
    assert all(math.isnan(usable or 0) for usable, _ in told[:2])


def test_a_renewed_token_is_taken_up_by_the_next_call(unleash: FakeUnleash, tmp_path: Path) -> None:
    unleash.add("canary", gradual(5))
    file = tmp_path / "job.token"
    file.write_text("user:person\n")
    env = {"CANARIO_UNLEASH_URL": unleash.url, "CANARIO_UNLEASH_ADMIN_TOKEN_FILE": str(file)}
    settings = load_settings(FlagsSettings, env)
    admin = UnleashAdmin(settings.unleash_url, settings.unleash_admin_token)

    def sent() -> str:
        admin.feature("canary")
        return unleash.calls[-1].headers["Authorization"]

    assert sent() == "user:person"
    new = tmp_path / "new"
    new.write_text("user:flags\n")
    new.replace(file)
    assert sent() == "user:flags"
    file.write_text("")  # while somebody writes it
    assert sent() == "user:flags"
    file.unlink()
    assert sent() == "user:flags"
    assert "user:" not in repr(settings)


def test_checks_of_many_rollouts_with_one_token_are_one_question(
    accounts: FakeAccounts, server: Server
) -> None:
    now = 0.0
    shared = Accounts(clock=lambda: now)
    one = replace(check(accounts), accounts=shared)
    other = replace(one, project="other", needed=LEASES)
    assert one.look() == other.look()
    asked = len(server.calls)
    assert asked == 2
    now = EVERY.total_seconds()
    accounts.tokens[0]["expiresAt"] = "2026-01-01T00:00:00Z"
    assert "401" in (other.look().fault or "")
    assert "401" in (one.look().fault or ""), "a refusal is one for all, too"
    assert len(server.calls) == asked + 1
