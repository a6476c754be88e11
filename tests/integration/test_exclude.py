"""A segment of users who keep the champion, on the real Unleash and every worker of the service."""

import time

from flags.canary.exclude import ExcludedUsers, exclude, include
from flags.canary.share import set_share
from flags.unleash.admin import UnleashAdmin
from tests.integration.conftest import FLAG, SEEN_WITHIN_SECONDS, ProductManager, Service, wait_for

NORWAY = ExcludedUsers("country", "NO")
THEIRS = {"contextName": "country", "operator": "NOT_IN", "values": ["DK"]}


def test_users_of_a_country_keep_the_champion_on_every_worker(
    service: Service, admin: UnleashAdmin, manager: ProductManager
) -> None:
    new = ExcludedUsers(f"plan-{time.time_ns()}", "free")  # a property that Unleash does not know
    manager.edit_strategy(FLAG, constraints=[THEIRS])
    try:
        set_share(admin, FLAG, 100)
        wait_for(lambda: service.all_say("ada", "challenger", country="NO"), 10, "the challenger for all")
        for _ in range(2):
            state = exclude(admin, FLAG, [NORWAY, new])
            assert state.constraints == ("country NOT_IN DK, NO", f"{new.property} NOT_IN free")
        assert new.property in admin.context.names()
        wait_for(
            lambda: service.all_say("ada", "champion", country="NO"),
            SEEN_WITHIN_SECONDS,
            "the champion in Norway",
        )
        assert service.all_say("ada", "challenger", country="SE")
        assert service.all_say("ada", "challenger")  # who does not say so is not meant
        assert service.all_say("ada", "champion", **{new.property: "free"})
        assert include(admin, FLAG, [NORWAY, new]).constraints == ("country NOT_IN DK",)
        wait_for(
            lambda: service.all_say("ada", "challenger", country="NO"),
            SEEN_WITHIN_SECONDS,
            "the challenger in Norway",
        )
        assert service.all_say("ada", "champion", country="DK")
    finally:
        manager.edit_strategy(FLAG, constraints=[])
