"""The admin client: what it sends, and how it guards a value that it has seen."""

import pytest

from common.config import ConfigError
from common.errors import CanarioError
from flags.unleash.admin import UnleashAdmin
from flags.unleash.errors import (
    AdminError,
    ChangedMeanwhile,
    FlagError,
    NotFound,
    Rejected,
    ServerFault,
    Unauthorized,
)
from tests.unit.flags.conftest import QUICK, TOKEN
from tests.unit.flags.fake_unleash import FakeUnleash, error, gradual
from tests.unit.flags.server import Answer, Server

STRATEGY = "/api/admin/projects/default/features/canary/environments/production/strategies/s1"


def test_a_share_is_changed_by_a_patch_of_one_field(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(0, constraints=[{"contextName": "country", "operator": "IN"}], title="t"))
    before = {**unleash.here()["strategies"][0], "parameters": None}
    admin.change_parameter("canary", "s1", "rollout", "5")
    call = unleash.calls[-1]
    assert (call.method, call.path) == ("PATCH", STRATEGY)
    assert call.body == [{"op": "replace", "path": "/parameters/rollout", "value": "5"}]
    assert {**unleash.here()["strategies"][0], "parameters": None} == before


def test_a_value_that_was_seen_is_compared_by_unleash(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(25))
    admin.change_parameter("canary", "s1", "rollout", "5", seen="25")
    assert unleash.rollout() == "5"
    with pytest.raises(ChangedMeanwhile, match="rollout of canary in production is no longer 25"):
        admin.change_parameter("canary", "s1", "rollout", "10", seen="25")
    assert unleash.rollout() == "5"


def test_a_patch_that_compares_is_not_repeated(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(25))
    unleash.fail("PATCH", "s1", error(500, "the database is away"))
    with pytest.raises(ServerFault, match="the database is away"):
        admin.change_parameter("canary", "s1", "rollout", "5", seen="25")
    assert unleash.rollout() == "25"
    admin.change_parameter("canary", "s1", "rollout", "5")  # without, it would have been
    unleash.fail("PATCH", "s1", error(500, "the database is away"))
    admin.change_parameter("canary", "s1", "rollout", "6")
    assert unleash.rollout() == "6"


def test_a_strategy_is_not_added_twice(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary")
    unleash.fail("POST", "strategies", Answer(cut=True))
    with pytest.raises(AdminError):
        admin.add_strategy("canary", percent=0, stickiness="userId", group="canary")
    assert unleash.here()["strategies"] == []
    added = admin.add_strategy("canary", percent=0, stickiness="userId", group="canary")
    assert (added.name, added.percent) == ("flexibleRollout", 0)
    assert added.parameters == {"rollout": "0", "stickiness": "userId", "groupId": "canary"}


def test_a_flag_is_created_once_and_a_taken_name_is_told(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    admin.create_feature("canary", kind="release", description="d")
    assert unleash.flags["canary"]["type"] == "release"
    with pytest.raises(Rejected, match="already exists"):
        admin.create_feature("canary", kind="release", description="d")
    assert admin.feature("canary").description == "d"


def test_the_last_change_is_the_latest_of_share_and_life(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    assert admin.last_change("canary") is None
    unleash.log("feature-created", "canary", "ada")
    unleash.log("feature-strategy-update", "canary", "eve", "production")
    for noise in (
        ("feature-strategy-update", "canary", "bob", "development"),
        ("feature-strategy-update", "other", "bob", "production"),
        ("feature-metadata-updated", "canary", "bob", None),
    ):
        unleash.log(*noise)
    change = admin.last_change("canary")
    assert change
    assert (change.created_by, change.type) == ("eve", "feature-strategy-update")
    unleash.log("feature-revived", "canary", "zoe")
    change = admin.last_change("canary")
    assert change
    assert (change.created_by, change.created_at.isoformat()) == ("zoe", "2026-11-23T06:00:06+00:00")


def test_names_are_quoted(server: Server) -> None:
    server.script(error(404, "no"))
    admin = UnleashAdmin(server.url, TOKEN, project="a/b", environment="c d", timeouts=QUICK)
    with pytest.raises(NotFound):
        admin.switch("é?", on=False)
    assert server.calls[0].target == ("/api/admin/projects/a%2Fb/features/%C3%A9%3F/environments/c%20d/off")


@pytest.mark.parametrize("name", ["..", "."])
def test_a_name_cannot_lead_to_another_address(admin: UnleashAdmin, unleash: FakeUnleash, name: str) -> None:
    with pytest.raises(Rejected):
        admin.feature(name)
    assert unleash.calls == []


def test_an_address_may_have_a_path_and_a_slash(server: Server) -> None:
    server.script(error(404, "no"))
    with pytest.raises(NotFound):
        UnleashAdmin(f"{server.url}/unleash/", TOKEN, timeouts=QUICK).feature("canary")
    assert server.calls[0].path == "/unleash/api/admin/projects/default/features/canary"


def test_a_wrong_token_says_which_setting(unleash: FakeUnleash) -> None:
    stranger = UnleashAdmin(unleash.url, "user:stranger", timeouts=QUICK)
    with pytest.raises(Unauthorized, match="CANARIO_UNLEASH_ADMIN_TOKEN is wrong or has ended") as caught:
        stranger.feature("canary")
    assert "stranger" not in str(caught.value) + repr(caught.value) + repr(stranger) + repr(vars(stranger))


def test_an_unusable_token_is_refused_before_any_call(unleash: FakeUnleash) -> None:
    with pytest.raises(ConfigError, match="CANARIO_UNLEASH_ADMIN_TOKEN"):
        UnleashAdmin(unleash.url, "user:a\nb")


def test_both_families_are_expected_failures() -> None:
    assert issubclass(AdminError, CanarioError)
    assert issubclass(FlagError, CanarioError)
    assert not issubclass(FlagError, AdminError)
