"""The rollout board in a browser, for the tests that look at it."""

from typing import Any, Final

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect

from stack.api import Stack
from tests.integration.conftest import BOARD_TOKEN

FRESH_WITHIN_MS = 5_000  # in which the page shows what Unleash says
STANDARDS: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
AXE: Final[dict[str, Any]] = {
    "runOnly": STANDARDS,
    "resultTypes": ["violations"],
    "rules": {"target-size": {"enabled": True}},  # of WCAG 2.2, which axe leaves out unless told
}


def log_in(page: Page, token: str = BOARD_TOKEN) -> None:
    """Fill in the form."""
    page.get_by_label("Token", exact=True).fill(token)
    page.get_by_role("button", name="Show the board").click()


def open_board(context: BrowserContext, stack: Stack) -> Page:
    """A page that shows the board; it logs in where nobody has in this browser."""
    page = context.new_page()
    page.goto(stack.addresses.board)
    return shown(page)


def shown(page: Page) -> Page:
    """The board, as soon as it is there."""
    expect(page.locator("#login, #board").locator("visible=true").first).to_be_visible(timeout=10_000)
    if page.locator("#login").is_visible():
        log_in(page)
    expect(page.locator("#board")).to_be_visible(timeout=10_000)
    return page


def says(board: Page, words: str, milliseconds: int = FRESH_WITHIN_MS) -> None:
    """Fails unless the answer on top says so in time."""
    expect(board.get_by_role("heading", level=1)).to_contain_text(words, timeout=milliseconds)


def accessible(page: Page) -> None:
    """Fails where axe-core finds that somebody could not read or use the page, by day or by night."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page, options=AXE)
        assert found.violations_count == 0, f"{scheme}: {found.generate_report()}"
