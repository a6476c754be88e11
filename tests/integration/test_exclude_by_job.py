"""A challenger that fails for one country only: the rollback job excludes it, on the real servers."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flags.canary.share import read_state, set_share
from flags.unleash.admin import UnleashAdmin
from stack.api import Stack
from stack.paths import REPOSITORY
from stack.processes import environment
from tests.integration.conftest import FLAG, SEEN_WITHIN_SECONDS, ProductManager, Service, wait_for
from tests.unit.waiting import until

GUARDRAILS = """
scrape_interval: 5s
step: 5s
alpha: 0.5
guardrails:
  - kind: sequential
    name: errors
    description: more failed calls than the champion has
    bad: "{errors}"
    total: "{calls}"
    by: user-windows
    smallest_sample: 5
    share_of_alpha: 0.5
    segments: {by: country, values: ["NO", SE], share_of_alpha: 0.5, action: exclude}
    action: rollback
"""
STOPPED = "country=NO keeps the champion: the challenger was seen to stop within 1m5s"
USERS = [f"exclude-{number}" for number in range(400)]


def one_pass(stack: Stack, file: Path) -> dict[str, Any]:
    """What `./canario rollback --json` says."""
    done = subprocess.run(
        [sys.executable, "-m", "rollback", "--json", "--guardrails", str(file)],
        cwd=REPOSITORY,
        env=environment.rollback(stack.site),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.mark.timeout(240)
def test_only_the_country_that_is_harmed_loses_the_challenger(
    stack: Stack, service: Service, admin: UnleashAdmin, manager: ProductManager, tmp_path: Path
) -> None:
    file = tmp_path / "guardrails.yaml"
    file.write_text(GUARDRAILS)
    set_share(admin, FLAG, 5)
    # A worker that still follows the test before gives the challenger to more.
    wait_for(lambda: 5 < len(mine(service)) < 50, 10, "5% of 400 users, and no more, have the challenger")
    chosen = mine(service)

    def traffic() -> None:
        """Norwegians call while the challenger raises, Swedes while it does not."""
        stack.site.home.drill.write_text('{"kind": "exception"}')
        try:
            for user in chosen[:3]:
                service.predict(user, country="NO")
        finally:
            stack.site.home.drill.unlink()
        service.predict_all(USERS[:200], country="NO")
        service.predict_all(USERS, country="SE")

    documents: list[dict[str, Any]] = []

    def excluded() -> bool:
        traffic()
        chosen.append(chosen.pop(0))  # each user once in ten minutes
        documents.append(one_pass(stack, file))
        assert documents[-1]["outcome"] in {"fine", "segment excluded"}, documents[-1]
        return bool(documents[-1]["outcome"] == "segment excluded")

    try:
        until(excluded, 90, every=1)
        document = documents[-1]
        assert document["exit_code"] == 1
        assert (document["rollback"]["excluded"], document["rollback"]["verified"]) == ("country=NO", True)
        assert document["stop"] is None
        state = read_state(admin, FLAG)
        assert (state.enabled, state.percent, state.constraints) == (True, 5, ("country NOT_IN NO",))
        assert (state.kept_out, state.changed_by) == (("country=NO",), "canario-rollback")
        assert state.quarantined == ()
        wait_for(
            lambda: service.all_say(chosen[0], "champion", country="NO"),
            SEEN_WITHIN_SECONDS,
            "the champion in Norway",
        )
        assert service.all_say(chosen[0], "challenger", country="SE")

        def stopped() -> bool:
            service.predict_all(USERS, country="SE")
            service.predict_all(USERS[:100], country="NO")
            document = one_pass(stack, file)
            assert document["outcome"] == "fine", document
            norway = next(one for one in document["verdicts"] if one["guardrail"] == "errors-no")
            return bool(norway["sentence"] == STOPPED)

        until(stopped, 100, every=5)
    finally:
        stack.site.home.drill.unlink(missing_ok=True)
        manager.edit_strategy(FLAG, constraints=[])


def mine(service: Service) -> list[str]:
    """Users to whom the flag gives the challenger."""
    answers = service.predict_all(USERS, country="SE")
    return [user for user, answer in zip(USERS, answers, strict=True) if answer["assigned"] == "challenger"]
