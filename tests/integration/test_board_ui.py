"""The rollout board on the real servers, in a real browser."""

import re
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Route, expect

from flags.admin import UnleashAdmin
from flags.canary import set_share, turn_off, turn_on
from flags.errors import Forbidden
from flags.rollout.place import ROLLBACK_USER as JOB
from rollback.decision import Decision, Kind, RollbackRecord
from rollback.decisions import DecisionLog
from stack.api import Stack
from tests.integration.board_page import FRESH_WITHIN_MS, accessible, log_in, says, shown
from tests.integration.conftest import BOARD_TOKEN, FLAG, Service

PHONE = {"width": 360, "height": 740}
NAMELESS = """() => {
  const name = (one) => one.getAttribute('aria-label') || one.getAttribute('aria-labelledby')
    || (one.labels && one.labels.length && one.labels[0].textContent) || one.textContent.trim()
    || one.getAttribute('alt');
  const shown = (one) => one.checkVisibility();
  return [...document.querySelectorAll('a, button, input, summary, section, article, form, [role=img], img')]
    .filter((one) => shown(one) && !one.hidden && one.alt !== '' && !name(one)).map((one) => one.outerHTML);
}"""


def rollback_decision(revision: int, time: datetime) -> Decision:
    """What the rollback job keeps of a rollback."""
    record = RollbackRecord(
        guardrail="errors", breached_at=time, verified=True, seconds=0.2, off_by=JOB, off_revision=revision
    )
    return Decision(
        id=f"{time:%Y%m%dT%H%M%S}.000000Z-rollback-aaaa",
        time=time,
        kind=Kind.ROLLBACK,
        flag=FLAG,
        environment="production",
        share=25,
        rollback=record,
    )


def with_outcome(route: Route) -> None:
    """The board's answer, as if users had told what came of the last half hour's predictions."""
    answer = route.fetch()
    board = answer.json()
    points = len(board["charts"]["times"])
    lines = [
        {"name": name}
        | {key: [None] * (points // 4) + [value] * (points - points // 4) for key, value in line.items()}
        for name, line in (
            ("champion", {"values": 0.1, "low": 0.09, "high": 0.11}),
            ("challenger", {"values": 0.12, "low": 0.085, "high": 0.16}),
        )
    ]
    board["charts"]["all"].insert(1, {"key": "outcome/Bought it", "lines": lines, "limit": None})
    route.fulfill(response=answer, json=board)


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser that has the board's cookie once somebody has logged in."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context
    context.close()


@pytest.fixture
def board(context: BrowserContext, stack: Stack, service: Service, tmp_path: Path) -> Iterator[Page]:
    """The board, logged in. Whatever the page complains of fails the test."""
    page = context.new_page()
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            complaints.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(stack.addresses.board)
    yield shown(page)
    page.screenshot(path=tmp_path / "board.png")  # pytest keeps the folder of a failed test
    page.close()
    assert complaints == []


def test_only_who_has_the_token_may_read(browser: Browser, stack: Stack) -> None:
    url = f"{stack.addresses.board}/api/board"
    assert requests.get(url, timeout=10).status_code == 401
    page = browser.new_page()
    page.goto(stack.addresses.board)
    log_in(page, "a guess of somebody who has none")
    expect(page.get_by_text("That is not the token.")).to_be_visible()
    accessible(page)
    log_in(page)
    expect(page.locator("#board")).to_be_visible()
    assert BOARD_TOKEN not in page.url
    assert BOARD_TOKEN not in str(page.context.cookies())
    page.reload()
    expect(page.locator("#board")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    page.close()
    assert BOARD_TOKEN not in stack.logs("board", 10_000)


def test_its_user_in_unleash_reads_all_and_changes_nothing(stack: Stack, service: Service) -> None:
    answer = requests.get(
        f"{stack.addresses.board}/api/board", headers={"Authorization": f"Bearer {BOARD_TOKEN}"}, timeout=10
    ).json()
    assert [(one["name"], one["fault"]) for one in answer["sources"]] == [
        ("Unleash", None),
        ("Prometheus", None),
        ("decisions log", None),
    ]
    assert answer["changes"]
    viewer = UnleashAdmin(stack.addresses.unleash, stack.secret("canario-board.token"))
    with pytest.raises(Forbidden):
        viewer.switch(FLAG, on=False)
    with pytest.raises(Forbidden):
        set_share(viewer, FLAG, 100)


def test_it_follows_a_change_of_the_share(board: Page, admin: UnleashAdmin, service: Service) -> None:
    for percent in (5, 25):
        set_share(admin, FLAG, percent)
        says(board, f"{percent}% of the users have the challenger")
    expect(
        board.get_by_role("region", name="Stages of the plan").locator("[aria-current=step]")
    ).to_contain_text("25%")
    newest = board.locator("#changes li").first
    expect(newest).to_contain_text("share 5% → 25%")
    expect(newest).to_contain_text("The command line")
    expect(board.locator("#live")).to_contain_text("25% of the users")  # what a screen reader is told
    accessible(board)


def test_a_silent_prometheus_is_named_and_the_rest_is_shown(
    board: Page, stack: Stack, admin: UnleashAdmin
) -> None:
    set_share(admin, FLAG, 5)
    expect(board.locator("#models")).to_contain_text("p99 latency")
    stack.stop("prometheus")
    try:
        expect(board.locator("#faults")).to_contain_text("Prometheus does not answer", timeout=10_000)
        set_share(admin, FLAG, 6)
        expect(board.get_by_role("heading", level=1)).to_contain_text(
            "6% of the users", timeout=FRESH_WITHIN_MS
        )
        accessible(board)
    finally:
        stack.start("prometheus")
    expect(board.locator("#faults")).to_be_empty(timeout=10_000)


def test_a_rollback_is_told_with_its_reason(
    board: Page, stack: Stack, admin: UnleashAdmin, service: Service
) -> None:
    set_share(admin, FLAG, 25)
    log = DecisionLog(Path(stack.env("rollback")["CANARIO_DECISIONS_DIR"]), most_bytes=10**7)
    turn_off(UnleashAdmin(stack.addresses.unleash, stack.secret("canario-rollback.token")), FLAG)
    last = admin.last_change(FLAG)
    assert last
    decision = rollback_decision(last.id, last.created_at)
    log.write(decision)
    try:
        says(board, "because of errors: everybody has the champion")
        expect(board.locator("#decision")).to_contain_text("errors")
        expect(board.locator("#changes li").first).to_contain_text("rollback")
        accessible(board)
    finally:  # other tests have the same stack, and rollbacks of their own
        (log.folder / f"{decision.id}.json").unlink()
        turn_on(admin, FLAG)


def test_an_outcome_is_drawn_with_its_interval_and_told_without_eyes(board: Page, service: Service) -> None:
    board.route("**/api/board*", with_outcome)
    chart = board.locator("#chart-outcome-_66ought_32it-figure")  # of "Bought it"
    expect(chart).to_contain_text("Outcome: Bought it", timeout=FRESH_WITHIN_MS)
    expect(chart.get_by_role("img")).to_have_attribute(
        "aria-label", "In the last hour; now champion 10% (9% to 11%), challenger 12% (8.5% to 16%)"
    )
    chart.locator("summary").focus()
    board.keyboard.press("Enter")
    expect(chart.get_by_role("columnheader")).to_have_text(["Time", "Champion", "Challenger"])
    expect(chart.get_by_role("cell").nth(1)).to_have_text("12% (8.5% to 16%)")
    chart.locator(".u-over").hover()
    expect(chart.locator(".legend")).to_contain_text(re.compile(r"champion 10% .* at \d\d:\d\d"))
    accessible(board)


def test_it_says_when_it_is_away_itself(board: Page, context: BrowserContext) -> None:
    context.set_offline(True)
    try:
        expect(board.get_by_role("alert").filter(has_text="does not answer")).to_contain_text(
            re.compile(r"Last seen today at \d\d:\d\d:\d\d; trying again"), timeout=8_000
        )
        expect(board.get_by_role("heading", level=1)).to_be_visible()  # what was known stays
    finally:
        context.set_offline(False)
    expect(board.locator("#away")).to_be_hidden(timeout=8_000)


def test_a_hidden_tab_asks_for_nothing(board: Page) -> None:
    asked: list[str] = []
    board.on("request", lambda request: asked.append(request.url))
    hide = "Object.defineProperty(document, 'hidden', {get: () => %s, configurable: true});"
    tell = "document.dispatchEvent(new Event('visibilitychange'))"
    board.evaluate(hide % "true" + tell)
    board.wait_for_timeout(300)
    before = len(asked)
    board.wait_for_timeout(4_000)
    assert len(asked) == before
    with board.expect_request("**/api/board*", timeout=2_000):
        board.evaluate(hide % "false" + tell)


def test_it_is_usable_by_keyboard(board: Page, stack: Stack) -> None:
    board.reload()
    expect(board.locator("#board")).to_be_visible()
    visited = []
    for _ in range(7):
        board.keyboard.press("Tab")
        visited.append(
            board.evaluate("(document.activeElement.labels?.[0] ?? document.activeElement).textContent")
        )
        outline = board.evaluate(
            "getComputedStyle(document.activeElement.labels?.[0] ?? document.activeElement).outlineStyle"
        )
        assert outline != "none", f"nobody sees that {visited[-1]} has the focus"
    assert visited == [
        "Skip to the answer",
        f"{FLAG} in production",
        "Log out",
        "1 hour",
        *["As a table"] * 3,
    ]
    board.keyboard.press("Enter")
    table = board.locator("details.numbers[open] table")
    expect(table.get_by_role("columnheader").first).to_have_text("Time")
    assert table.get_by_role("row").count() > 5
    board.get_by_role("radio", name="1 hour").focus()
    board.keyboard.press("ArrowLeft")
    expect(board).to_have_url(re.compile(r"span=15m"))
    expect(board.locator("#chart-p99-plot")).to_have_attribute(
        "aria-label", re.compile("^(In the last 15 min|No numbers)")
    )


def test_everything_has_a_name_and_a_place(board: Page) -> None:
    assert board.evaluate(NAMELESS) == []
    assert [board.get_by_role(place).count() for place in ("banner", "main", "contentinfo")] == [1, 1, 1]
    levels = board.evaluate(
        "[...document.querySelectorAll('h1,h2,h3')].filter((one) => one.checkVisibility())"
        ".map((one) => Number(one.tagName[1]))"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_it_fits_a_phone_and_the_night(browser: Browser, stack: Stack, service: Service) -> None:
    context = browser.new_context(viewport=PHONE, color_scheme="dark")  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(stack.addresses.board)
    log_in(page)
    expect(page.locator("#board")).to_be_visible()
    expect(page.locator("canvas").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    light = "[...getComputedStyle(document.body).backgroundColor.matchAll(/\\d+/g)].map(Number)[0]"
    assert page.evaluate(light) < 50
    page.emulate_media(color_scheme="light")
    assert page.evaluate(light) > 200
    context.close()
