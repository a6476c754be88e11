"""Unleash or a flag is not as it should be: the champion answers, and the log says why."""

import time
from pathlib import Path

import pytest

from common.names import Metric
from flags.canary.share import set_share, turn_off
from flags.unleash.admin import UnleashAdmin
from stack.api import Stack
from tests.integration.conftest import FLAG, SEEN_WITHIN_SECONDS, ProductManager, Service, wait_for
from tests.integration.own_service import own_service


def test_unleash_down_at_the_first_start_means_the_champion(
    stack: Stack, service: Service, tmp_path: Path
) -> None:
    with own_service(stack, tmp_path, unleash_url="http://127.0.0.1:9") as own:
        answer = own.predict("u")
        assert (answer["model"], answer["reason"]) == ("champion", "unleash_unknown")
        assert own.metric(Metric.FLAG_FETCHED) == 0
        wait_for(lambda: "fetch failed" in own.log.read_text(encoding="utf-8"), 10, "a line in the log")
        assert "Traceback" not in own.log.read_text(encoding="utf-8")


def test_unleash_down_while_running_and_at_a_restart_means_the_last_known_flags(
    stack: Stack, admin: UnleashAdmin, own_flag: str, tmp_path: Path
) -> None:
    with own_service(stack, tmp_path, canary_flag=own_flag) as own:
        wait_for(lambda: own.predict("u")["model"] == "challenger", 10, "the flag")
        stack.stop("unleash")
        try:
            time.sleep(3)
            heard = own.metric(Metric.FLAG_FETCHED)
            assert own.predict("u")["model"] == "challenger"
            time.sleep(2)
            assert own.metric(Metric.FLAG_FETCHED) == pytest.approx(heard, abs=0.1)
            with own_service(
                stack, tmp_path / "again", canary_flag=own_flag, state_dir=str(tmp_path / "state")
            ) as again:
                answer = again.predict("u")
                assert (answer["model"], answer["reason"]) == ("challenger", "flag_on")
        finally:
            stack.start("unleash")
        turn_off(admin, own_flag)
        wait_for(lambda: own.predict("u")["model"] == "champion", 10, "the change after Unleash came back")
        assert own.metric(Metric.FLAG_FETCHED) > heard + 0.1


def test_a_wrong_token_means_the_champion_and_a_line_that_says_so(
    stack: Stack, service: Service, tmp_path: Path
) -> None:
    with own_service(stack, tmp_path, unleash_sdk_token="default:production.wrong-secret") as own:
        assert own.predict("u")["reason"] == "unleash_unknown"
        wait_for(
            lambda: "CANARIO_UNLEASH_SDK_TOKEN" in own.log.read_text(encoding="utf-8"),
            10,
            "a line in the log",
        )
        assert "wrong-secret" not in own.log.read_text(encoding="utf-8")


def test_an_archived_flag_means_the_champion(
    stack: Stack, manager: ProductManager, own_flag: str, tmp_path: Path
) -> None:
    with own_service(stack, tmp_path, canary_flag=own_flag) as own:
        known = f'{Metric.FLAG_KNOWN}{{flag="{own_flag}"}}'
        wait_for(lambda: own.predict("u")["model"] == "challenger", 10, "the flag")
        assert own.metric(known) == 1
        manager.archive(own_flag)
        wait_for(lambda: own.predict("u")["reason"] == "flag_missing", SEEN_WITHIN_SECONDS, "the archive")
        assert own.predict("u")["model"] == "champion"
        assert own.metric(known) == 0
        assert "missing or archived" in own.log.read_text(encoding="utf-8")


def test_a_flag_whose_strategy_was_deleted_means_the_champion(
    stack: Stack, manager: ProductManager, own_flag: str, tmp_path: Path
) -> None:
    with own_service(stack, tmp_path, canary_flag=own_flag) as own:
        wait_for(lambda: own.predict("u")["model"] == "challenger", 10, "the flag")
        manager.delete_strategies(own_flag)
        wait_for(lambda: own.predict("u")["model"] == "champion", SEEN_WITHIN_SECONDS, "the champion")
        assert own.predict("u")["reason"] in {"flag_off", "flag_without_strategy"}


def test_a_product_managers_constraint_decides_by_context(
    stack: Stack, service: Service, admin: UnleashAdmin, manager: ProductManager
) -> None:
    norway = {"contextName": "country", "operator": "IN", "values": ["NO"], "inverted": False}
    set_share(admin, FLAG, 100)
    manager.edit_strategy(FLAG, constraints=[norway])
    try:
        wait_for(
            lambda: (
                service.all_say("u", "challenger", country="NO")
                and service.all_say("u", "champion", country="SE")
            ),
            SEEN_WITHIN_SECONDS + 2,
            "the challenger in Norway only",
        )
    finally:
        manager.edit_strategy(FLAG, constraints=[])


def test_a_product_managers_share_is_followed(
    service: Service, admin: UnleashAdmin, manager: ProductManager
) -> None:
    (strategy,) = manager.strategies(FLAG)
    manager.edit_strategy(FLAG, parameters=strategy["parameters"] | {"rollout": "100"})
    wait_for(
        lambda: service.all_say("u", "challenger"), SEEN_WITHIN_SECONDS, "the challenger on every worker"
    )
