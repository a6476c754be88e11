"""The Unleash UI and the rollout board as they look with real data, for the README.

A stack of its own with sample traffic: a product manager gives 5% and then 25% of the users the challenger;
it turns slow, and the rollback job rolls it back. Takes some minutes, because the charts show minutes.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from common.errors import CanarioError
from common.rollouts import choose
from drills import unleash_ui as ui
from drills.command import own_stack
from drills.target import Target, of_stack
from flags.canary import marks
from flags.canary.share import read_state, set_share
from flags.rollout.settings import PlannedFile, planned
from stack.api import Stack

PROGRAMS = ("postgres", "unleash", "prometheus", "service", "rollback", "rollout", "board", "traffic")
RATE = 40.0  # requests a second: enough for verdicts within a minute
DESKTOP = {"width": 1280, "height": 1280}
MARGIN = 14  # below the last row
COLOURS = 256
PHONE = {"width": 390, "height": 844}
ROLLED_BACK_WITHIN = 60.0
Say = Callable[[str], None]


class PictureError(CanarioError):
    """What was to be seen did not come about."""


def take(folder: Path, chromium: str, *, stage_seconds: float, say: Say) -> None:
    """Make all pictures in `folder`.

    Args:
        chromium: path of the browser.
        stage_seconds: how long each of the three stages lasts.

    Raises:
        PictureError, StackError: see there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        say("starting a stack")
        with own_stack(*PROGRAMS, traffic_rate=RATE) as stack:
            _play(stack, browser, folder, stage_seconds, say)
        browser.close()


def _play(stack: Stack, browser: Browser, folder: Path, stage_seconds: float, say: Say) -> None:
    target, unleash, board = of_stack(stack), stack.addresses.unleash, f"{stack.addresses.board}/?span=15m"
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    ui.sign_in(page, unleash, stack.secret("unleash-admin.password"))
    set_share(target.admin, "shadow", 100)
    _begin(stack)
    say(f"everybody has the champion, for {stage_seconds:.0f} s")
    time.sleep(stage_seconds)
    for percent in (5, 25):
        ui.edit_strategy(page, unleash, target.flag)
        page.locator("input[type=number]").first.fill(str(percent))
        page.keyboard.press("Tab")  # the slider follows
        page.wait_for_timeout(500)
        _take(page, folder / "unleash-rollout.png")
        ui.save_strategy(page, target.flag)
        say(f"{percent}% of the users have the challenger, for {stage_seconds:.0f} s")
        time.sleep(stage_seconds)
    with _board(browser, board, "light", DESKTOP) as shown:
        _fit(shown)
        _take(shown, folder / "board.png")
    with _board(browser, board, "dark", PHONE) as shown:
        _take(shown, folder / "board-phone.png")
    _roll_back(target, say)
    with _board(browser, board, "dark", DESKTOP) as shown:
        shown.get_by_role("heading", level=1).get_by_text("was rolled back").wait_for()
        _fit(shown)
        _take(shown, folder / "board-rollback.png")
    ui.open_event_log(page, unleash, target.flag)
    page.get_by_text("canario-rollback").first.wait_for()
    page.wait_for_timeout(1_000)
    _take(page, folder / "unleash-events.png")


def _begin(stack: Stack) -> None:
    """A person's word, so that the board tells of the next stage; the plan waits a day at 5%."""
    rollout = planned(choose(PlannedFile, "flags", environment=stack.env("flags"))).rollout()
    if (version := rollout.look().version) is None:
        raise PictureError("the service serves no challenger")
    marks.approve_start(rollout.admin, rollout.flag, version)


def _fit(board: Page) -> None:
    """Make the window end below a row of charts: half of one is no picture."""
    row = board.locator("#chart-p99-figure").bounding_box()
    if row is None:
        raise PictureError("the board has no chart of the times")
    board.set_viewport_size({"width": DESKTOP["width"], "height": round(row["y"] + row["height"]) + MARGIN})
    board.wait_for_timeout(500)


def _take(page: Page, file: Path) -> None:
    """A picture with 256 colours, half as large as Chromium's."""
    page.screenshot(path=file)
    with Image.open(file) as taken:
        few = taken.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(file, optimize=True)


def _roll_back(target: Target, say: Say) -> None:
    say("each call of the challenger takes half a second now")
    target.switch_fault_on("sleep", 0.5)
    end = time.monotonic() + ROLLED_BACK_WITHIN
    while read_state(target.admin, target.flag).enabled:
        if time.monotonic() > end:
            raise PictureError(f"the rollback job rolled nothing back within {ROLLED_BACK_WITHIN:.0f} s")
        time.sleep(0.5)
    say("the rollback job has rolled it back")
    time.sleep(20)  # until the stop is seen, and told


@contextmanager
def _board(
    browser: Browser, url: str, scheme: Literal["light", "dark"], size: dict[str, int]
) -> Iterator[Page]:
    context = browser.new_context(
        viewport={"width": size["width"], "height": size["height"]}, color_scheme=scheme
    )
    page = context.new_page()
    page.goto(url)
    page.locator("#board").wait_for()
    page.wait_for_timeout(4_000)  # until the second reading
    yield page
    context.close()
