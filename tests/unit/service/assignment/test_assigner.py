"""What the flag decides, what is remembered, and what an Unleash that misbehaves costs."""

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import mmh3
import pytest
from UnleashClient.constants import ETAG, FEATURES_URL

from common.names import Model
from service.assignment.assigner import Assigner
from service.assignment.assignment import Reason
from service.assignment.sdk import FlagCache, OneLine
from service.settings import Settings
from tests.unit.service.conftest import NOBODY, TOKEN, flag, keep_on_disk, rollout
from tests.unit.waiting import until


class Unleash:
    """An HTTP server that answers as scripted: for faults that a real Unleash cannot be asked for."""

    def __init__(self) -> None:
        self.status, self.body = 200, b""
        self.asked: list[str] = []
        self.told: list[tuple[str, Any]] = []
        double = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                double.asked.append(self.path)
                self.send_response(double.status)
                self.send_header("Content-Length", str(len(double.body)))
                self.end_headers()
                self.wfile.write(double.body)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                double.told.append((self.path, json.loads(body)))
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def knows(self, *flags: dict[str, Any]) -> None:
        self.status, self.body = 200, json.dumps({"version": 2, "features": list(flags)}).encode()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def unleash() -> Iterator[Unleash]:
    server = Unleash()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def nothing_said_yet() -> None:
    """One logger for all clients: those of earlier tests are to have ended, what they said forgotten."""
    until(lambda: not any(thread.name in SDK_THREADS for thread in threading.enumerate()))
    logging.getLogger("UnleashClient").filters.clear()


def at(settings: Settings, url: str) -> Settings:
    return settings.model_copy(update={"unleash_url": url})


def test_follows_unleash_and_remembers_what_it_said(settings: Settings, unleash: Unleash) -> None:
    heard: list[float] = []
    known: list[tuple[str, bool]] = []
    shares: list[str] = []
    unleash.knows(flag(rollout(100)), flag(rollout(0), name="shadow"))
    assigner = Assigner(
        at(settings, unleash.url), heard.append, lambda *told: known.append(told), shares.append
    )
    assert assigner.assign("u", {}) == (Model.CHAMPION, Reason.UNLEASH_UNKNOWN)
    assert not assigner.knows_flags
    assigner.start()
    until(lambda: assigner.assign("u", {}) == (Model.CHALLENGER, Reason.FLAG_ON))
    unleash.knows(flag(rollout(0)))
    until(lambda: assigner.assign("u", {}) == (Model.CHAMPION, Reason.FLAG_OFF))
    unleash.knows()
    until(lambda: assigner.assign("u", {}) == (Model.CHAMPION, Reason.FLAG_MISSING))
    until(lambda: len(heard) >= 3)
    assert heard[-1] == pytest.approx(time.monotonic(), abs=5)
    assert [each for name, each in known if name == "canary"] == [True, True, False]
    assert [each for name, each in known if name == "shadow"] == [True, False, False]
    assert shares == ["True ['100']", "True ['0']", "missing"]
    assigner.close()
    later = Assigner(at(settings, unleash.url))
    assert later.assign("u", {}).reason == Reason.FLAG_MISSING


@pytest.mark.parametrize(
    ("group", "user", "bucket"),
    [("gr1", "123", 73), ("groupX", "999", 25)],  # of Unleash's own clients
)
def test_a_user_is_in_the_bucket_that_unleash_says(
    settings: Settings, group: str, user: str, bucket: int
) -> None:
    for share, model in ((bucket - 1, Model.CHAMPION), (bucket, Model.CHALLENGER)):
        given = rollout(share)
        given["parameters"]["groupId"] = group
        keep_on_disk(settings, flag(given))
        assigner = Assigner(settings)
        assert assigner.bucket(user, {}) == bucket
        assert assigner.assign(user, {}).model is model
        assigner.close()


def test_the_bucket_goes_by_what_the_flag_goes_by(settings: Settings) -> None:
    given = rollout(50)
    given["parameters"] |= {"stickiness": "sessionId", "groupId": "gr1"}
    keep_on_disk(settings, flag(given))
    assigner = Assigner(settings)
    assert assigner.bucket("someone", {"sessionId": "123"}) == 73
    assert assigner.bucket("123", {}) == 73
    assert 1 <= assigner.bucket("\ud800", {}) <= 100
    assigner.close()
    keep_on_disk(settings, flag())
    without = Assigner(settings)
    assert without.bucket("u", {}) == int(mmh3.hash("canary:u", signed=False)) % 100 + 1
    without.close()


def test_a_wall_clock_that_is_set_back_holds_up_no_poll(
    settings: Settings, unleash: Unleash, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = [timedelta(hours=1)]

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Clock":
            return super().now(tz) + ahead[0]

    monkeypatch.setattr("apscheduler.schedulers.base.datetime", Clock)
    monkeypatch.setattr("apscheduler.triggers.interval.datetime", Clock)
    monkeypatch.setattr("time.time", lambda: Clock.now().timestamp())
    heard: list[float] = []
    unleash.knows(flag(rollout(100)))
    assigner = Assigner(at(settings, unleash.url), heard.append)
    assigner.start()
    until(lambda: len(heard) >= 2)
    ahead[0] = timedelta()
    unleash.knows(flag(rollout(0)))
    until(lambda: assigner.assign("u", {}) == (Model.CHAMPION, Reason.FLAG_OFF))
    assert heard == sorted(heard)
    assigner.close()


def test_a_state_that_the_engine_does_not_take_is_dropped_and_asked_for_again(
    settings: Settings, unleash: Unleash, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[float] = []
    unleash.knows(flag(rollout(100)))
    assigner = Assigner(at(settings, unleash.url), heard.append)
    assigner.start()
    until(lambda: assigner.assign("u", {}).model == Model.CHALLENGER)
    number = rollout(0)
    number["parameters"]["rollout"] = 0  # the engine takes strings only, and says nothing
    unleash.knows(flag(number))
    asked = len(unleash.asked)
    until(lambda: len(unleash.asked) >= asked + 2)
    last = len(heard)
    until(lambda: len(unleash.asked) >= asked + 3)
    assert len(heard) == last, "what is not followed was heard"
    assert assigner.assign("u", {}) == (Model.CHALLENGER, Reason.FLAG_ON)
    assert caplog.text.count("Unleash gave no flags") == 1
    unleash.knows(flag(rollout(0)))
    until(lambda: assigner.assign("u", {}) == (Model.CHAMPION, Reason.FLAG_OFF))
    until(lambda: len(heard) > last)
    assigner.close()
    assert Assigner(at(settings, unleash.url)).assign("u", {}).reason == Reason.FLAG_OFF


def test_usage_is_counted_by_unleash(settings: Settings, unleash: Unleash) -> None:
    unleash.knows(flag(rollout(50)))
    assigner = Assigner(at(settings, unleash.url))
    assigner.start()
    until(lambda: assigner.knows_flags)
    for user in range(20):
        assigner.assign(str(user), {})
    assigner.close()
    toggles = next(body["bucket"]["toggles"] for path, body in unleash.told if path.endswith("/metrics"))
    assert toggles["canary"]["yes"] + toggles["canary"]["no"] == 20


def test_memory_of_one_unleash_is_not_served_for_another(settings: Settings, tmp_path: Path) -> None:
    keep_on_disk(settings, flag(rollout(100)))
    assert Assigner(settings).assign("u", {}).model == Model.CHALLENGER
    assert Assigner(at(settings, "http://127.0.0.1:10")).assign("u", {}).reason == Reason.UNLEASH_UNKNOWN
    development = settings.model_copy(
        update={"unleash_sdk_token": type(settings.unleash_sdk_token)("default:development.x")}
    )
    assert Assigner(development).assign("u", {}).reason == Reason.UNLEASH_UNKNOWN


def test_a_refused_token_is_said_once_and_the_last_known_flags_stay(
    settings: Settings, unleash: Unleash, caplog: pytest.LogCaptureFixture
) -> None:
    here = at(settings, unleash.url)
    keep_on_disk(here, flag(rollout(100)))
    unleash.status = 401
    assigner = Assigner(here)
    assigner.start()
    until(lambda: len(unleash.asked) >= 3)
    assigner.close()
    refusals = [record for record in caplog.records if "CANARIO_UNLEASH_SDK_TOKEN" in record.getMessage()]
    assert len(refusals) == 1
    assert "not-a-secret" not in caplog.text
    assert assigner.assign("u", {}).model == Model.CHALLENGER


@pytest.mark.parametrize(
    "body", [b"", b"no json", b"{}", b'{"version": 2}', b'{"version": 2, "features": 7}']
)
def test_an_answer_without_flags_changes_nothing(settings: Settings, unleash: Unleash, body: bytes) -> None:
    here = at(settings, unleash.url)
    keep_on_disk(here, flag(rollout(100)))
    unleash.body = body
    assigner = Assigner(here)
    assigner.start()
    until(lambda: len(unleash.asked) >= 2)
    assert assigner.assign("u", {}) == (Model.CHALLENGER, Reason.FLAG_ON)
    assigner.close()
    assert Assigner(here).assign("u", {}) == (Model.CHALLENGER, Reason.FLAG_ON)


def test_a_server_that_never_answers_holds_up_neither_start_nor_request(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        here = at(settings, f"http://127.0.0.1:{silent.getsockname()[1]}")
        keep_on_disk(here, flag(rollout(100)))
        begun = time.perf_counter()
        assigner = Assigner(here)
        assigner.start()
        assert assigner.assign("u", {}).model == Model.CHALLENGER
        assert time.perf_counter() - begun < 1
        assigner.close()


def test_one_line_a_fault(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    attempts: list[str] = []

    def note(record: logging.LogRecord) -> bool:
        attempts.append(record.getMessage())
        return True

    logging.getLogger("UnleashClient").addFilter(note)  # before the one that drops repeats
    assigner = Assigner(at(settings, NOBODY))
    assigner.start()
    until(lambda: sum("fetch failed" in each for each in attempts) >= 3)
    assigner.close()
    failures = [record for record in caplog.records if "fetch failed" in record.getMessage()]
    assert len(failures) == 1
    assert failures[0].exc_info is None


def test_a_repeat_is_told_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("service.assignment.sdk.time.monotonic", lambda: clock[0])
    one_line = OneLine()

    def told(text: str) -> bool:
        return one_line.filter(logging.LogRecord("x", logging.ERROR, "", 0, text, (), None))

    assert [told("a"), told("a"), told("b")] == [True, False, True]
    clock[0] = 61.0
    assert told("a")


SDK_THREADS = {"unleash-start", "unleash-job"}
STATE = json.dumps({"version": 2, "features": [flag(rollout(5))]})


class TestFlagCache:
    def cache(self, folder: Path) -> tuple[FlagCache, list[str]]:
        seen: list[str] = []
        return FlagCache(folder, "http://x", TOKEN, lambda flags: seen.append(",".join(flags))), seen

    def test_a_state_survives(self, tmp_path: Path) -> None:
        cache, _ = self.cache(tmp_path / "deep" / "folder")
        cache.set(FEATURES_URL, STATE)
        cache.destroy()
        again, seen = self.cache(tmp_path / "deep" / "folder")
        assert again.bootstrapped
        assert again.get(FEATURES_URL) == STATE
        assert seen == ["canary"]
        assert [file.name for file in cache.path.parent.iterdir()] == [cache.path.name]

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"features": [7]}', "\xff"])
    def test_a_damaged_file_is_as_none(self, tmp_path: Path, text: str) -> None:
        cache, _ = self.cache(tmp_path)
        cache.path.write_text(text, encoding="latin-1")
        again, seen = self.cache(tmp_path)
        assert not again.bootstrapped
        assert seen == []

    def test_a_disk_that_cannot_be_written_costs_the_memory_only(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "file").write_text("in the way", encoding="utf-8")
        cache, seen = self.cache(tmp_path / "file")
        cache.set(FEATURES_URL, STATE)
        assert cache.get(FEATURES_URL) == STATE
        assert seen == ["canary"]
        assert "cannot be kept on disk" in caplog.text

    def test_a_state_that_is_refused_leaves_no_etag(self, tmp_path: Path) -> None:
        cache, seen = self.cache(tmp_path)
        cache.set(FEATURES_URL, STATE)
        cache.set(ETAG, "1")
        cache.set(FEATURES_URL, "{}")
        cache.set(ETAG, "2")
        assert (cache.get(FEATURES_URL), cache.get(ETAG, "")) == (STATE, "")
        assert cache.refused == "{}"
        cache.set(FEATURES_URL, STATE)
        cache.set(ETAG, "3")
        assert cache.refused is None
        assert (cache.get(ETAG), seen) == ("3", ["canary"])

    def test_the_path_tells_no_secret(self, tmp_path: Path) -> None:
        assert "not-a-secret" not in str(self.cache(tmp_path)[0].path)


def shadow(*strategies: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return flag(*strategies, name="shadow") | changes


NORWAY = {"contextName": "country", "operator": "IN", "values": ["NO"], "inverted": False}
BY_SESSION = rollout(100)
BY_SESSION["parameters"] = BY_SESSION["parameters"] | {"stickiness": "sessionId"}


class TestShadow:
    """Whether the flag of shadow is evaluated, and that skipping the evaluation changes no answer."""

    @pytest.mark.parametrize(
        ("known", "for_all"),
        [
            ([], False),
            ([shadow(rollout(100), enabled=False)], False),
            ([shadow()], False),
            ([shadow(rollout(0))], False),
            ([shadow(rollout(0, [NORWAY]), rollout(0))], False),
            ([shadow(rollout(100))], True),
            ([shadow(rollout(7), rollout(100))], True),
            ([shadow(rollout(50))], None),
            ([shadow(rollout(100, [NORWAY]))], None),
            ([shadow(rollout(100) | {"segments": [1]})], None),
            ([shadow(rollout(100), dependencies=[{"feature": "canary"}])], None),
            ([shadow({"name": "default", "constraints": [], "parameters": {}})], None),
            ([shadow(BY_SESSION)], None),
        ],
    )
    def test_the_shortcut_is_taken_only_where_all_users_are_alike(
        self, settings: Settings, known: list[dict[str, Any]], for_all: bool | None
    ) -> None:
        keep_on_disk(settings, flag(rollout(5)), *known)
        assigner = Assigner(settings)
        assert assigner._for_all["shadow"] is for_all
        if for_all is None or known == [shadow()]:
            return
        users = [f"u{number}" for number in range(200)]
        evaluated = {assigner._client.is_enabled("shadow", {"userId": user}) for user in users}
        assert {assigner.shadowed(user, {}) for user in users} == evaluated == {for_all}

    @pytest.mark.parametrize("percent", [0, 100])
    def test_the_same_answer_for_all_is_evaluated_once_a_second(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch, percent: int
    ) -> None:
        keep_on_disk(settings, shadow(rollout(percent)))
        assigner = Assigner(settings)
        clock, asked = [100.0], [0]
        evaluate = assigner._client.is_enabled

        def counted(*arguments: Any) -> bool:
            asked[0] += 1
            return bool(evaluate(*arguments))

        monkeypatch.setattr(assigner._client, "is_enabled", counted)
        monkeypatch.setattr("service.assignment.assigner.time.monotonic", lambda: clock[0])
        for _ in range(100):
            assert assigner.shadowed("u", {}) is (percent == 100)
        assert asked == [1]
        clock[0] += 1.5
        assigner.shadowed("u", {})
        assert asked == [2]

    def test_a_share_is_sticky_and_of_its_size(self, settings: Settings) -> None:
        keep_on_disk(settings, shadow(rollout(30)))
        assigner = Assigner(settings)
        users = [f"u{number}" for number in range(2000)]
        seen = [assigner.shadowed(user, {}) for user in users]
        assert 0.25 < sum(seen) / len(seen) < 0.35
        assert [assigner.shadowed(user, {}) for user in users] == seen

    def test_constraints_see_the_context(self, settings: Settings) -> None:
        keep_on_disk(settings, shadow(rollout(100, [NORWAY])))
        assigner = Assigner(settings)
        assert assigner.shadowed("u", {"country": "NO"})
        assert not assigner.shadowed("u", {"country": "SE"})

    def test_it_follows_unleash(self, settings: Settings, unleash: Unleash) -> None:
        unleash.knows(shadow(rollout(0)))
        assigner = Assigner(at(settings, unleash.url))
        assert not assigner.shadowed("u", {})
        assigner.start()
        unleash.knows(shadow(rollout(100)))
        until(lambda: assigner.shadowed("u", {}))
        unleash.knows(shadow(rollout(0)))
        until(lambda: not assigner.shadowed("u", {}))
        assigner.close()
