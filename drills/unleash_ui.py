"""What a product manager does in the Unleash UI, in a browser: the only place that knows its pages.

Seen to work on 8.2.0 and 7.6.5.
"""

import re

from playwright.sync_api import Page


def sign_in(page: Page, unleash: str, password: str) -> None:
    """Log in as the administrator."""
    # Unleash 7 welcomes whoever comes for the first time, over whatever page that is.
    welcome = page.get_by_role("button", name=re.compile("got it", re.IGNORECASE))
    page.add_locator_handler(welcome, lambda button: button.click())
    page.goto(f"{unleash}/login")
    page.locator("input[name=username]").fill("admin")
    page.locator("input[name=password]").fill(password)
    page.get_by_role("button", name=re.compile("sign in", re.IGNORECASE)).click()
    page.wait_for_url(lambda url: "login" not in url)


def confirm(page: Page, button: str) -> None:
    """Unleash asks before it changes a production environment."""
    warning = page.get_by_role("dialog").filter(has_text="about to make changes to a production environment")
    warning.get_by_role("button", name=button).click()


def open_flag(page: Page, unleash: str, flag: str) -> None:
    """The flag's page."""
    page.goto(f"{unleash}/projects/default/features/{flag}")


def unfold_production(page: Page) -> None:
    """Show the strategies of the environment."""
    page.get_by_role("button", name=re.compile(r"production.*strategy added", re.DOTALL)).click()


def edit_strategy(page: Page, unleash: str, flag: str) -> None:
    """Open the form of the flag's strategy in production."""
    open_flag(page, unleash, flag)
    unfold_production(page)
    page.locator("a[href*='strategies/edit']").first.click()
    page.locator("input[type=range]").wait_for()


def save_strategy(page: Page, flag: str) -> None:
    """Save the form, and wait for the flag's page."""
    page.get_by_role("button", name="Save strategy").click()
    confirm(page, "Save strategy")
    page.wait_for_url(f"**/features/{flag}")


def switch(page: Page, *, on: bool) -> None:
    """Turn production on or off, on the flag's page."""
    page.locator("input[type=checkbox][aria-label=production]").click()
    confirm(page, f"{'Enable' if on else 'Disable'} Environment")


def add_constraint(page: Page, field: str, value: str) -> None:
    """In the form of the strategy: only where `field` is `value`."""
    page.get_by_role("tab", name=re.compile("Targeting")).click()
    page.get_by_role("button", name="Add constraint").click()
    page.get_by_role("combobox").filter(has_text="appName").click()
    page.get_by_role("option", name=field).click()
    page.get_by_role("button", name=re.compile("Add values")).click()
    page.get_by_placeholder("Enter value").fill(value)
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")


def open_event_log(page: Page, unleash: str, flag: str) -> None:
    """The flag's own event log, the newest entry first."""
    page.goto(f"{unleash}/projects/default/features/{flag}/logs")
