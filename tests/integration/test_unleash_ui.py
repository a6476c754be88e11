"""A product manager in a real browser: the slider in the Unleash UI decides who gets the challenger."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from flags.admin import UnleashAdmin
from flags.canary import read_state, set_share
from stack.api import Stack
from tests.integration.conftest import FLAG, SEEN_WITHIN_SECONDS, Service, wait_for


@pytest.fixture(scope="module")
def page(browser: Browser, stack: Stack) -> Iterator[Page]:
    """A page of Chromium, logged in to Unleash."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(60_000)
    # Unleash 7 welcomes whoever comes for the first time, over whatever page that is.
    welcome = page.get_by_role("button", name=re.compile("Got it"))
    page.add_locator_handler(welcome, lambda button: button.click())
    page.goto(f"{stack.addresses.unleash}/login")
    page.locator("input[name=username]").fill("admin")
    page.locator("input[name=password]").fill(stack.secret("unleash-admin.password"))
    page.get_by_role("button", name=re.compile("sign in", re.IGNORECASE)).click()
    page.wait_for_url(lambda url: "login" not in url)
    yield page
    page.close()


def confirm(page: Page, button: str) -> None:
    """Unleash asks before it changes a production environment."""
    warning = page.get_by_role("dialog").filter(has_text="about to make changes to a production environment")
    warning.get_by_role("button", name=button).click()


def move_rollout(page: Page, stack: Stack, key: str) -> None:
    """Open the flag, edit its strategy in production, press `key` on the slider, and save."""
    page.goto(f"{stack.addresses.unleash}/projects/default/features/{FLAG}")
    page.get_by_role("button", name=re.compile(r"production.*strategy added", re.DOTALL)).click()
    page.locator("a[href*='strategies/edit']").first.click()
    page.locator("input[type=range]").press(key)
    page.get_by_role("button", name="Save strategy").click()
    confirm(page, "Save strategy")
    page.wait_for_url(f"**/features/{FLAG}")


def test_moving_the_slider_moves_users_on_every_worker(
    page: Page, stack: Stack, service: Service, admin: UnleashAdmin, tmp_path: Path
) -> None:
    try:
        move_rollout(page, stack, "End")
        wait_for(
            lambda: service.all_say("u", "challenger"), SEEN_WITHIN_SECONDS, "the challenger for everybody"
        )
        state = read_state(admin, FLAG)
        assert (state.percent, state.changed_by) == (100, "admin")
        move_rollout(page, stack, "Home")
        wait_for(lambda: service.all_say("u", "champion"), SEEN_WITHIN_SECONDS, "the champion for everybody")
    except BaseException:
        page.screenshot(path=tmp_path / "page.png")  # pytest keeps the folder of a failed test
        raise


def test_the_switch_turns_the_canary_off_and_on(
    page: Page, stack: Stack, service: Service, admin: UnleashAdmin
) -> None:
    set_share(admin, FLAG, 100)
    wait_for(lambda: service.all_say("u", "challenger"), SEEN_WITHIN_SECONDS, "the challenger for everybody")
    page.goto(f"{stack.addresses.unleash}/projects/default/features/{FLAG}")
    switch = page.locator("input[type=checkbox][aria-label=production]")
    switch.click()
    confirm(page, "Disable Environment")
    wait_for(lambda: service.all_say("u", "champion"), SEEN_WITHIN_SECONDS, "the champion for everybody")
    assert not read_state(admin, FLAG).enabled
    switch.click()
    confirm(page, "Enable Environment")
    wait_for(lambda: service.all_say("u", "challenger"), SEEN_WITHIN_SECONDS, "the challenger for everybody")
