"""The rollout board on the real servers, in a real browser."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Route, expect

from common.rollouts import FOLDER
from flags.accounts.users import ROLLBACK_USER as JOB
from flags.canary import marks
from flags.canary.share import read_state, set_share, turn_off, turn_on
from flags.unleash.admin import UnleashAdmin
from flags.unleash.errors import Forbidden
from rollback.decisions.log import DecisionLog
from rollback.decisions.record import Decision, Kind, RollbackRecord
from stack.api import Stack
from stack.paths import REPOSITORY
from stack.ports import free_port
from tests.integration.board_page import FRESH_WITHIN_MS, accessible, log_in, says, shown
from tests.integration.conftest import BOARD_TOKEN, FLAG, Service, wait_for

PHONE = {"width": 360, "height": 740}
SMALLEST = {"width": 320, "height": 640}
SHOP = """\
name: shop
description: Which ranker orders the shop's products.
flag: {{name: {flag}}}
arms: {{selector: {{job: service}}}}
signals:
  calls: model_calls_total
  errors: prediction_errors_total
  answers: predictions_total
guardrails: http-service
plan: canary
"""
TOO_WIDE = """[...document.querySelectorAll('body *')]
  .filter((one) => one.checkVisibility() && one.getBoundingClientRect().right > innerWidth + 1)
  .map((one) => one.outerHTML.slice(0, 100))"""
BEARER = {"Authorization": f"Bearer {BOARD_TOKEN}"}
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
    expect(page.get_by_label("Token", exact=True)).to_be_visible()
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


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_hour_open_leaves_nothing_behind(context: BrowserContext, stack: Stack, service: Service) -> None:
    page = context.new_page()
    page.clock.install()  # an hour of looks, as fast as the board answers
    page.goto(stack.addresses.board)
    shown(page)
    session = context.new_cdp_session(page)
    session.send("Performance.enable")

    def after(looks: int) -> dict[str, float]:
        for _ in range(looks):
            with page.expect_response("**/api/board*"):
                page.clock.run_for(3_000)
        session.send("HeapProfiler.collectGarbage")
        found = session.send("Performance.getMetrics")["metrics"]
        return {one["name"]: one["value"] for one in found}

    early = after(120)
    late = after(1_080)
    for name, more in (("Nodes", 1.05), ("JSEventListeners", 1.05), ("JSHeapUsedSize", 1.25)):
        print(f"{name} after six minutes {early[name]:,.0f}, after an hour {late[name]:,.0f}")
        assert late[name] <= early[name] * more, name
    page.close()


@pytest.fixture
def several(stack: Stack, own_flag: str, tmp_path: Path) -> Iterator[str]:
    """The address of a board of two rollouts: ours, and one whose file names only what any service has."""
    folder = tmp_path / "rollouts"
    shutil.copytree(FOLDER, folder)
    (folder / "shop").mkdir()
    (folder / "shop" / "rollout.yaml").write_text(SHOP.format(flag=own_flag))
    with _board_with(stack, tmp_path, CANARIO_ROLLOUTS=str(folder)) as address:
        yield address


@contextmanager
def _board_with(stack: Stack, folder: Path, **variables: str) -> Iterator[str]:
    """The address of another board on the same servers."""
    bind = f"127.0.0.1:{free_port()}"
    environment = stack.env("board") | variables | {"CANARIO_BOARD_BIND": bind}
    log = folder / "board.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "board"], cwd=REPOSITORY, env=environment, stdout=out, stderr=out
        )

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return requests.get(f"http://{bind}/healthz", timeout=5).ok
        except requests.ConnectionError:
            return False

    try:
        wait_for(answers, 60, f"a board, see {log}")
        yield f"http://{bind}"
    finally:
        process.terminate()
        process.wait(20)


def test_a_person_rolls_back_by_a_button_and_is_named_in_the_log(
    browser: Browser, stack: Stack, admin: UnleashAdmin, tmp_path: Path
) -> None:
    set_share(admin, FLAG, 25)
    secret = "the second token of this test"
    with _board_with(
        stack,
        tmp_path,
        CANARIO_BOARD_ACT_TOKEN=secret,
        CANARIO_BOARD_UNLEASH_TOKEN_FILE=str(stack.home.secrets / "canario-flags.token"),
    ) as address:
        context = browser.new_context(viewport=SMALLEST)  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(address)
        shown(page)
        page.get_by_role("button", name="Roll back now").click()
        page.get_by_label("Token for orders").fill("wrong")
        page.get_by_role("button", name="Yes, do it").click()
        expect(page.get_by_role("alert").filter(has_text="that is not the token for orders")).to_be_visible()
        assert read_state(admin, FLAG).enabled
        assert page.evaluate(TOO_WIDE) == []
        accessible(page)
        page.get_by_label("Token for orders").fill(secret)
        page.get_by_role("button", name="Yes, do it").click()
        expect(page.locator("#done")).to_contain_text("every user gets the champion", timeout=10_000)
        assert not read_state(admin, FLAG).enabled
        says(page, "everybody has the champion")
        (pause,) = [tag.value for tag in admin.tags.of(FLAG) if tag.type == marks.PAUSE]
        assert pause == "rolled back by somebody, on the board"
        page.get_by_role("button", name="Resume").click()  # the token is known by now
        page.get_by_role("button", name="Yes, do it").click()
        expect(page.locator("#done")).to_have_text("The plan goes on.", timeout=10_000)
        assert marks.PAUSE not in {tag.type for tag in admin.tags.of(FLAG)}
        context.close()


def test_a_list_of_rollouts_leads_to_the_page_of_each(
    browser: Browser, several: str, service: Service, admin: UnleashAdmin, own_flag: str
) -> None:
    set_share(admin, FLAG, 25)
    set_share(admin, own_flag, 40)
    service.predict_all([f"user-{number}" for number in range(200)])
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(several)
    shown(page)
    says(page, "2 of 2 rollouts need a person.", 10_000)  # no job is at work here
    rows = page.get_by_role("listitem").filter(has=page.get_by_role("heading", level=3))
    expect(rows).to_have_count(2)
    row = rows.filter(has_text="shop")
    expect(row).to_contain_text("not guarded")
    expect(row).to_contain_text("40% of the users have the challenger")
    expect(row).to_contain_text(f"Flag {own_flag} in production")
    set_share(admin, own_flag, 41)
    expect(row).to_contain_text("41% of the users", timeout=2 * FRESH_WITHIN_MS)
    accessible(page)
    fits(page)

    page.get_by_role("link", name="shop").click()
    expect(page).to_have_url(f"{several}/rollouts/shop")
    says(page, "41% of the users have the challenger", 10_000)
    expect(page.locator("#facts")).to_contain_text("version not known")
    expect(page.locator("#charts")).to_contain_text("Not available: the rollout names no signal latency.")
    expect(page.locator("#models")).to_contain_text("Error rate, last 5 min")
    expect(page.locator("#models")).not_to_contain_text("Agreement")  # its plan has no shadow
    accessible(page)
    fits(page)
    page.reload()  # as somebody to whom the address was sent
    says(page, "41% of the users have the challenger", 10_000)
    page.get_by_role("link", name="All rollouts").click()
    page.get_by_role("link", name="breast-cancer").click()
    says(page, "25% of the users have the challenger", 10_000)
    expect(page.locator("#models")).to_contain_text("Agreement")

    page.goto(f"{several}/rollouts/nobody")
    expect(page.get_by_role("heading", level=1)).to_have_text("There is no rollout nobody")
    accessible(page)
    page.get_by_role("link", name="shop", exact=True).click()
    says(page, "41% of the users have the challenger", 10_000)
    context.close()


def test_numbers_of_a_service_come_from_the_series_that_its_file_names(
    several: str, service: Service, admin: UnleashAdmin, own_flag: str
) -> None:
    def asked() -> dict[str, Any]:
        url = f"{several}/api/board?rollout=shop&span=15m"
        board: dict[str, Any] = requests.get(url, headers=BEARER, timeout=20).json()
        return board

    def measured() -> bool:
        service.predict_all([f"user-{number}" for number in range(50)])
        numbers = asked()["numbers"]
        return bool(numbers and numbers["models"][0]["requests_per_second"])

    wait_for(measured, 60, "a rate of the champion's answers")
    board = asked()
    champion = board["numbers"]["models"][0]
    assert (champion["error_rate"], champion["p99"]) == (0.0, None)
    assert set(board["missing"]) == {"p50", "p99", "agreement", "flags_age", "outcomes", "versions"}
    assert [one["fault"] for one in board["sources"]] == [None, None, None]
    charts = {one["key"]: one for one in board["charts"]["all"]}
    errors = {line["name"]: line["values"] for line in charts["errors"]["lines"]}
    assert 0.0 in errors["champion"]
    assert charts["p99"]["missing"]
    listed = requests.get(f"{several}/api/rollouts", headers=BEARER, timeout=20).json()
    assert {one["name"]: one["faults"] for one in listed["rollouts"]} == {"breast-cancer": [], "shop": []}


def fits(page: Page) -> None:
    """Fails where somebody with a small phone would have to scroll sideways."""
    before = page.viewport_size
    page.set_viewport_size(SMALLEST)  # type: ignore[arg-type]
    page.wait_for_timeout(500)  # until the charts have the new width
    assert page.evaluate(TOO_WIDE) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= SMALLEST["width"]
    page.set_viewport_size(before)  # type: ignore[arg-type]
