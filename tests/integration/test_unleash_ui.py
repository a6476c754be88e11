"""A product manager in a real browser: what is done in the Unleash UI decides who gets the challenger.

`/predict` and the rollout board follow each step.
"""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from drills import unleash_ui as ui
from flags.canary.lease import ensure_lease, remove_lease
from flags.canary.lease_segment import segment_name
from flags.canary.share import read_state, set_share
from flags.unleash.admin import UnleashAdmin
from stack.api import Stack
from tests.integration.board_page import open_board, says, shown
from tests.integration.conftest import FLAG, SEEN_WITHIN_SECONDS, ProductManager, Service, wait_for
from tests.integration.steady_load import steady_load


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser of a product manager, with Unleash and the board side by side."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    yield context
    context.close()


@pytest.fixture(scope="module")
def board(context: BrowserContext, stack: Stack) -> Page:
    """The rollout board, which stays open."""
    return open_board(context, stack)


@pytest.fixture(scope="module")
def page(context: BrowserContext, stack: Stack) -> Page:
    """A page logged in to Unleash."""
    page = context.new_page()
    page.set_default_timeout(60_000)
    ui.sign_in(page, stack.addresses.unleash, stack.secret("unleash-admin.password"))
    return page


@pytest.fixture(autouse=True)
def picture(page: Page, tmp_path: Path) -> Iterator[None]:
    """What the page showed last; pytest keeps the folder of a failed test."""
    yield
    page.screenshot(path=tmp_path / "page.png")


def move_rollout(page: Page, stack: Stack, key: str) -> None:
    """Press `key` on the slider of the rollout, and save."""
    ui.edit_strategy(page, stack.addresses.unleash, FLAG)
    page.locator("input[type=range]").press(key)
    ui.save_strategy(page, FLAG)


def test_the_flags_page_leads_to_the_board_and_shows_the_lease(
    page: Page, context: BrowserContext, stack: Stack, service: Service, admin: UnleashAdmin
) -> None:
    ensure_lease(admin, FLAG, timedelta(hours=9), insist=True)
    try:
        ui.open_flag(page, stack.addresses.unleash, FLAG)
        with context.expect_page() as opened:
            page.locator(f"a[href^='{stack.addresses.board}']").click()
        shown(opened.value)
        says(opened.value, "Nobody has the challenger")
        opened.value.close()
        ui.unfold_production(page)
        expect(page.get_by_text(segment_name(FLAG, "production")).first).to_be_visible()
    finally:
        remove_lease(admin, FLAG)


def test_moving_the_slider_moves_users_on_every_worker(
    page: Page, board: Page, stack: Stack, service: Service, admin: UnleashAdmin
) -> None:
    move_rollout(page, stack, "End")
    wait_for(lambda: service.all_say("u", "challenger"), SEEN_WITHIN_SECONDS, "the challenger for everybody")
    says(board, "All users have the challenger")
    state = read_state(admin, FLAG)
    assert (state.percent, state.changed_by) == (100, "admin")
    newest = board.locator("#changes li").first
    expect(newest).to_contain_text("admin (a person)")
    expect(newest).to_contain_text("share 0% → 100%")
    move_rollout(page, stack, "Home")
    wait_for(lambda: service.all_say("u", "champion"), SEEN_WITHIN_SECONDS, "the champion for everybody")
    says(board, "Nobody has the challenger")


def test_the_switch_turns_the_canary_off_and_on(
    page: Page, board: Page, stack: Stack, service: Service, admin: UnleashAdmin
) -> None:
    set_share(admin, FLAG, 100)
    wait_for(lambda: service.all_say("u", "challenger"), SEEN_WITHIN_SECONDS, "the challenger for everybody")
    ui.open_flag(page, stack.addresses.unleash, FLAG)
    ui.switch(page, on=False)
    wait_for(lambda: service.all_say("u", "champion"), SEEN_WITHIN_SECONDS, "the champion for everybody")
    says(board, "The flag is off, admin turned it off: everybody has the champion.")
    assert not read_state(admin, FLAG).enabled
    ui.switch(page, on=True)
    wait_for(lambda: service.all_say("u", "challenger"), SEEN_WITHIN_SECONDS, "the challenger for everybody")
    says(board, "All users have the challenger")


def test_a_constraint_on_country_narrows_the_share(
    page: Page, board: Page, stack: Stack, service: Service, admin: UnleashAdmin, manager: ProductManager
) -> None:
    set_share(admin, FLAG, 100)
    try:
        ui.edit_strategy(page, stack.addresses.unleash, FLAG)
        ui.add_constraint(page, "country", "NO")
        ui.save_strategy(page, FLAG)
        in_norway = {"country": "NO"}
        wait_for(
            lambda: (
                service.all_say("u", "champion", country="SE")
                and service.all_say("u", "champion")
                and service.all_say("u", "challenger", **in_norway)
            ),
            SEEN_WITHIN_SECONDS,
            "the challenger in Norway, and the champion elsewhere",
        )
        says(board, "All users where country IN NO have the challenger")
        expect(board.locator("#facts")).to_contain_text("only where country IN NO")
    finally:
        manager.edit_strategy(FLAG, constraints=[])


def test_after_a_rollback_the_event_log_names_the_job(
    page: Page, board: Page, stack: Stack, service: Service, admin: UnleashAdmin
) -> None:
    set_share(admin, FLAG, 50)
    stack.site.home.drill.write_text(json.dumps({"kind": "exception"}), encoding="utf-8")
    stack.start("rollback")
    try:
        with steady_load(stack.addresses.service, 60):
            wait_for(lambda: not read_state(admin, FLAG).enabled, 45, "the rollback")
            says(board, "The challenger was rolled back today at", 20_000)  # beside 60 requests a second
        ui.open_event_log(page, stack.addresses.unleash, FLAG)
        # The newest entries stand first: the mark of the block, and the flag turned off.
        for what in ("feature-environment-disabled", "feature-tagged"):
            entry = page.locator("li, article, div").filter(has_text=what)
            entry = entry.filter(has_text="canario-rollback").last
            expect(entry).to_be_visible(timeout=20_000)
        ui.open_flag(page, stack.addresses.unleash, FLAG)
        expect(page.get_by_text(re.compile(r"canario-quarantine:")).first).to_be_visible()
        newest = board.locator("#changes li[data-kind=rollback]").first
        expect(newest).to_contain_text("The rollback job")
        why = re.compile("because of (challenger-)?errors: .*: everybody has the champion")
        expect(board.get_by_role("heading", level=1)).to_contain_text(why, timeout=10_000)
        expect(board.locator("#decision")).to_contain_text("It decided to turn the flag off")
        expect(board.locator("#answer")).to_contain_text("is blocked. Try it again")
    finally:
        stack.stop("rollback")
        stack.site.home.drill.unlink()
