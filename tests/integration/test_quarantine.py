"""A version that was rolled back: no program gives it to users again, a person may."""

from pathlib import Path

import pytest

from flags.accounts.users import EDITOR, USERS
from flags.canary.history import held, history
from flags.canary.marks import LIFT, QUARANTINE, RESUME, label, lift, quarantine, quarantined
from flags.canary.share import read_state, set_share, turn_off, turn_on
from flags.unleash.admin import UnleashAdmin
from flags.unleash.errors import Forbidden, NotFound, Quarantined
from stack.api import Stack
from tests.integration.conftest import ProductManager
from tests.integration.flags_command import FILE, cli

BAD, GOOD = label("1.4.0", "0a1b2c3d4e5f6789"), label("1.5.0", "ff" * 32)


@pytest.fixture
def job(stack: Stack) -> UnleashAdmin:
    """Unleash as the user of the rollback job."""
    return UnleashAdmin(stack.addresses.unleash, stack.secret("canario-rollback.token"))


def words_of(admin: UnleashAdmin, flag: str) -> list[tuple[str, str]]:
    return [(change.who, change.words) for change in history(admin, flag)]


def test_a_version_in_quarantine_gets_no_more_users_without_a_reason(
    admin: UnleashAdmin, job: UnleashAdmin, own_flag: str
) -> None:
    set_share(admin, own_flag, 25)
    turn_off(job, own_flag)
    quarantine(job, own_flag, BAD)
    quarantine(job, own_flag, BAD)
    assert quarantined(admin, own_flag) == {BAD}
    assert read_state(admin, own_flag).quarantined == (BAD,)
    for version in (BAD, None):
        with pytest.raises(Quarantined, match=r"1\.4\.0 0a1b2c3d4e5f was rolled back"):
            set_share(admin, own_flag, 5, version=version)  # fewer than before, but it is off
        with pytest.raises(Quarantined):
            turn_on(admin, own_flag, version=version)
    assert set_share(admin, own_flag, 1, enable=False, version=BAD).percent == 1  # less is never refused
    assert set_share(admin, own_flag, 2, version=GOOD).enabled  # another version is another matter
    turn_off(admin, own_flag)
    state = turn_on(admin, own_flag, version=BAD, override="seen with the team, it was the network")
    assert (state.enabled, state.quarantined) == (True, (BAD,))  # this once
    with pytest.raises(Quarantined):
        set_share(admin, own_flag, 3, version=BAD)
    told = words_of(admin, own_flag)
    assert told[-2:] == [
        ("canario-flags", f"marked {RESUME}: seen with the team, it was the network"),
        ("canario-flags", "turned on"),
    ]
    assert ("canario-rollback", f"marked {QUARANTINE}: {BAD}") in told


def test_a_person_can_raise_it_and_take_the_mark_off_in_the_ui(
    admin: UnleashAdmin, job: UnleashAdmin, manager: ProductManager, own_flag: str
) -> None:
    set_share(admin, own_flag, 5)
    quarantine(job, own_flag, BAD)
    manager.set_share(own_flag, 25)
    assert read_state(admin, own_flag).percent == 25
    manager.remove_tag(own_flag, QUARANTINE, BAD)
    assert set_share(admin, own_flag, 30, version=BAD).percent == 30
    assert ("admin", f"mark {QUARANTINE}: {BAD} removed") in words_of(admin, own_flag)


def test_a_lift_tells_its_reason(
    admin: UnleashAdmin, job: UnleashAdmin, manager: ProductManager, own_flag: str
) -> None:
    quarantine(job, own_flag, BAD)
    quarantine(job, own_flag, GOOD)
    assert lift(admin, own_flag, "the fix is in") == {BAD, GOOD}
    assert quarantined(admin, own_flag) == frozenset()
    assert [(tag.type, tag.value) for tag in admin.tags.of(own_flag)] == [(LIFT, "the fix is in")]
    manager.set_share(own_flag, 3)
    assert lift(admin, own_flag, "twice " * 20) == frozenset()
    assert held(history(admin, own_flag)), "what a person lowered is another matter"
    (tag,) = admin.tags.of(own_flag)
    assert tag.value == ("twice " * 9)[:50].strip()
    with pytest.raises(ValueError, match="reason"):
        lift(admin, own_flag, " ")


@pytest.mark.parametrize("user", [user.username for user in USERS if user.role == EDITOR])
def test_each_of_the_users_may_mark_and_lift(stack: Stack, own_flag: str, user: str) -> None:
    one = UnleashAdmin(stack.addresses.unleash, stack.secret(f"{user}.token"))
    quarantine(one, own_flag, label("9" * 80, "ab" * 32))
    (longest,) = quarantined(one, own_flag)
    assert len(longest) == 50
    assert longest.endswith(" abababababab")
    assert lift(one, own_flag, "test") == {longest}


def test_a_flag_that_is_not_there_has_no_marks(admin: UnleashAdmin) -> None:
    assert quarantined(admin, "no-such-flag") == frozenset()
    with pytest.raises((NotFound, Forbidden)):
        quarantine(admin, "no-such-flag", BAD)


def test_the_command_line_refuses_names_the_ways_out_and_takes_them(
    stack: Stack, admin: UnleashAdmin, job: UnleashAdmin, own_flag: str, tmp_path: Path
) -> None:
    file = tmp_path / "flags.yaml"
    file.write_text(FILE.format(flag=own_flag), encoding="utf-8")
    set_share(admin, own_flag, 5)
    quarantine(job, own_flag, BAD)
    challenger = tmp_path / "model"
    challenger.mkdir()
    card = challenger / "model.json"
    card.write_text('{"version": "1.4.0", "sha256": "0a1b2c3d4e5f6789", "name": "x"}', encoding="utf-8")
    known = {"challenger": str(challenger)}
    forced = ("apply", "--file", str(file), "--force-share")
    for args in (("set", own_flag, "25"), forced):
        code, told = cli(stack, *args, **known)
        assert code == 4
        assert f"{BAD} was rolled back and is blocked. Deploy another version" in told
    assert read_state(admin, own_flag).percent == 5
    code, told = cli(stack, *forced, "--override", "tried on staging", **known)
    assert (code, read_state(admin, own_flag).percent) == (0, 25), told
    assert f"blocked: {BAD}" in cli(stack, "show", own_flag)[1]
    card.write_text('{"version": "1.4.1", "sha256": "ff00000000000000", "name": "x"}', encoding="utf-8")
    assert cli(stack, "set", own_flag, "26", **known)[0] == 0
    code, told = cli(stack, "set", own_flag, "27")
    assert code == 4
    assert "which version is deployed is not known here (set CANARIO_MODELS)" in told
    assert cli(stack, "lift", own_flag, "--reason", "x")[0] == 2
    assert cli(stack, "lift", own_flag, "--reason", "fixed")[0] == 0
    assert cli(stack, "set", own_flag, "27")[0] == 0
    assert cli(stack, "lift", "no-such-flag", "--reason", "fixed")[0] == 4
    card.write_text("{}", encoding="utf-8")
    assert cli(stack, "set", own_flag, "28", **known)[0] == 2
