"""The board of several rollouts, from their files to the answers of its routes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from board.app import create_app
from board.folder import LOOK_EVERY, Rollouts
from board.shown import every
from common.config import ConfigError
from common.every_rollout import stamp_of
from tests.unit.waiting import until

LOCAL = "http://127.0.0.1:8100"
Write = Callable[..., Path]


@pytest.fixture
def three(write: Write, environment: dict[str, str], world: Any) -> FlaskClient:
    """One that goes on, one that was rolled back, and one whose file does not fit."""
    write("ranker")
    write("search")
    write("pricing", "name: pricing\nflag: {name: p}\narms: {selector: {job: p}, lable: x}\nsignals: {}\n")
    return create_app(environment).test_client()


def get(client: FlaskClient, path: str) -> Any:
    answer = client.get(path, base_url=LOCAL)
    assert answer.status_code == 200
    return answer.get_json()


def test_the_list_has_what_each_needs_with_those_that_need_a_person_on_top(three: FlaskClient) -> None:
    found = get(three, "/api/rollouts")
    assert found["answer"]["now"] == "2 of 3 rollouts need a person."
    assert found["answer"]["tone"] == "bad"
    rows = found["rollouts"]
    assert [(one["name"], one["state"], one["needs_person"]) for one in rows] == [
        ("pricing", "file does not fit", True),
        ("search", "rolled back", True),
        ("ranker", "under way", False),
    ]
    pricing, search, ranker = rows
    assert (ranker["page"], ranker["flag"], ranker["description"]) == (
        "/rollouts/ranker",
        "ranker-flag",
        "About ranker.",
    )
    assert (ranker["share"], ranker["stage"], ranker["guards"]) == (5, "5%", "all fine")
    assert ranker["now"] == "5% of the users have the challenger; all guardrails are fine."
    assert (search["share"], search["guards"]) == (0, "breached")
    assert search["next"].startswith("Nothing comes by itself. Version 2 is blocked. Try it again: ")
    assert "rollout.yaml:3: arms.lable: Extra inputs are not permitted (and 1 more)" in pricing["now"]
    assert pricing["share"] is None


def test_the_list_asks_each_source_once(three: FlaskClient, world: Any) -> None:
    get(three, "/api/rollouts")
    assert sorted(world.asked) == [
        *("flags ranker-flag", "flags search-flag"),
        *("numbers ranker-flag", "numbers search-flag"),
    ]


def test_each_has_a_page_of_its_own(three: FlaskClient) -> None:
    board = get(three, "/api/board?rollout=ranker")
    assert (board["name"], board["flag"], board["rollouts"]) == ("ranker", "ranker-flag", 3)
    assert board["answer"]["now"].startswith("5% of the users")
    assert get(three, "/api/board?rollout=search&span=15m")["answer"]["now"].startswith("The challenger was")


def test_the_address_of_a_page_tells_nothing_and_the_start_is_the_list(three: FlaskClient) -> None:
    for path, script in (("/", b"list.js"), ("/rollouts/ranker", b"main.js"), ("/rollouts/none", b"main.js")):
        answer = three.get(path, base_url=LOCAL)
        assert answer.status_code == 200
        assert script in answer.data
        assert b"ranker" not in answer.data
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        answer.close()


@pytest.mark.parametrize(
    ("query", "status", "error"),
    [
        ("?rollout=nobody", 404, "there is no rollout 'nobody'; there are pricing, ranker, search"),
        ("?rollout=", 404, "there is no rollout ''; there are pricing, ranker, search"),
        ("?rollout=../ranker", 404, "there is no rollout '../ranker'; there are pricing, ranker, search"),
        ("", 400, "name one by ?rollout=, of pricing, ranker, search"),
        ("?rollout=pricing", 409, "rollout.yaml:3: arms.lable: Extra inputs are not permitted"),
    ],
)
def test_what_cannot_be_shown_is_an_error_that_names_what_can(
    three: FlaskClient, query: str, status: int, error: str
) -> None:
    answer = three.get(f"/api/board{query}", base_url=LOCAL)
    assert answer.status_code == status
    assert error in answer.get_json()["error"]
    assert answer.get_json()["rollouts"] == ["pricing", "ranker", "search"]


def test_names_are_told_only_to_who_may_read(write: Write, environment: dict[str, str], world: Any) -> None:
    write("ranker")
    write("search")
    app = create_app(environment | {"CANARIO_BOARD_TOKEN": "a token of more than twenty characters"})
    for path in ("/api/rollouts", "/api/board", "/api/board?rollout=nobody"):
        answer = app.test_client().get(path)
        assert answer.status_code == 401
        assert b"ranker" not in answer.data


def test_the_only_rollout_is_the_start_and_has_its_address_too(
    write: Write, environment: dict[str, str], world: Any
) -> None:
    write("ranker")
    client = create_app(environment).test_client()
    page = client.get("/", base_url=LOCAL)
    assert b"main.js" in page.data
    page.close()
    assert get(client, "/api/board")["name"] == "ranker"
    assert get(client, "/api/board?rollout=ranker")["rollouts"] == 1
    assert get(client, "/api/rollouts")["answer"]["now"] == "The only rollout needs no person."


def test_variables_overrule_the_only_file_and_are_refused_beside_several(
    write: Write, environment: dict[str, str]
) -> None:
    write("ranker")
    said = environment | {"CANARIO_CANARY_FLAG": "other", "CANARIO_SELECTOR": 'job="other"'}
    shown = dict(every(said))["ranker"]
    assert not isinstance(shown, ConfigError)
    assert (shown.arms.flag, shown.arms.selector, shown.arms.label) == ("other", 'job="other"', "variant")
    assert shown.flag_page == "http://127.0.0.1:1/projects/default/features/other"
    missing = environment | {"CANARIO_GUARDRAILS": "/no/such/file"}
    assert "/no/such/file: cannot be read" in str(dict(every(missing))["ranker"])
    write("search")
    with pytest.raises(ConfigError, match="CANARIO_CANARY_FLAG and CANARIO_SELECTOR: there are several"):
        create_app(said)


def test_each_of_several_has_its_own_decisions_log_and_token(
    write: Write, environment: dict[str, str], tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("user:of-the-shop")
    write("ranker", write("ranker").read_text() + f"tokens: {{board: {token}}}\n")
    write("search")
    found = dict(every(environment | {"CANARIO_DECISIONS_DIR": str(tmp_path / "decisions")}))
    told = {}
    for name, shown in found.items():
        assert not isinstance(shown, ConfigError)
        told[name] = (shown.settings.decisions_dir, shown.settings.unleash_admin_token.get_secret_value())
    assert told == {
        "ranker": (tmp_path / "decisions" / "ranker", "user:of-the-shop"),
        "search": (tmp_path / "decisions" / "search", "user:x"),
    }


def test_nothing_that_could_be_shown_is_an_error(write: Write, environment: dict[str, str]) -> None:
    write("pricing", "name: pricing\n")
    with pytest.raises(ConfigError, match=r"rollout.yaml:1: flag: Field required"):
        create_app(environment)


class Following:
    """Rollouts of a folder, by a clock that a test sets."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.now = 0.0
        self.reads = 0
        self._environment = environment
        folder = Path(environment["CANARIO_ROLLOUTS"])
        self.rollouts = Rollouts(self._read, stamp_of(folder), clock=lambda: self.now)

    def _read(self) -> Any:
        self.reads += 1
        return dict(every(self._environment))

    def later(self) -> Any:
        """The folder, at the next look."""
        self.now += LOOK_EVERY
        return self.rollouts.now()


def test_files_are_picked_up_changed_and_dropped(
    write: Write, environment: dict[str, str], world: Any
) -> None:
    ranker = write("ranker")
    following = Following(environment)
    before: Any = following.rollouts.now().rollouts["ranker"]
    search = write("search")
    assert list(following.rollouts.now().rollouts) == ["ranker"]  # a moment later: not looked at yet
    both = following.later().rollouts
    assert list(both) == ["ranker", "search"]
    assert both["ranker"].shown[1] is before.shown[1]  # it goes on with what it knows
    following.later()
    assert following.reads == 2
    thread = both["search"].shown[1].unleash
    assert thread.latest().value is not None
    search.unlink()
    assert list(following.later().rollouts) == ["ranker"]
    until(lambda: not thread._thread.is_alive())  # nobody reads what is not shown
    write("ranker", ranker.read_text().replace("ranker-flag", "another"))
    changed = following.later().rollouts["ranker"]
    assert changed.shown[0].arms.flag == "another"


def test_a_file_that_breaks_is_shown_by_what_it_said_before(
    write: Write, environment: dict[str, str], world: Any
) -> None:
    write("ranker")
    write("search")
    following = Following(environment)
    write("search", "name: search\n")
    search = following.later().rollouts["search"]
    assert search.shown is not None
    assert "search/rollout.yaml:1: flag: Field required" in search.fault
    write("search")
    assert following.later().rollouts["search"].fault is None


def test_a_folder_that_cannot_be_read_is_told_and_what_was_known_stays(
    write: Write, environment: dict[str, str], world: Any
) -> None:
    ranker = write("ranker")
    following = Following(environment)
    ranker.unlink()
    folder = following.later()
    assert list(folder.rollouts) == ["ranker"]
    assert "has no NAME/rollout.yaml" in folder.fault
    write("ranker")
    assert following.later().fault is None
