"""Messages: real HTTP for a webhook, and channels that fail, raise and hang."""

import logging
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from unittest.mock import Mock

import pytest
from pydantic import SecretStr

from common.config import ConfigError, load_settings
from rollback.notify import Message, Notifier, Tone, open_channels, shortened, split
from rollback.settings import RollbackSettings
from tests.unit.flags.server import Answer, serving
from tests.unit.rollback.environment import ENVIRONMENT
from tests.unit.waiting import never, until

MESSAGE = Message("canary rolled back in production", "It was slow.\nVery slow.", Tone.WARNING)
HOOK = "hunter2"


@dataclass
class Sent:
    """What was told of each message."""

    ends: list[tuple[str, bool]] = field(default_factory=list)

    def __call__(self, channel: str, sent: bool) -> None:
        self.ends.append((channel, sent))

    def wait(self, count: int) -> list[tuple[str, bool]]:
        until(lambda: len(self.ends) >= count)
        return self.ends


@dataclass
class Channel:
    """Does what `act` does."""

    name: str = "1-test"
    fails: bool = False
    raises: Exception | None = None
    gate: threading.Event | None = None
    """Hangs until this is set."""
    sent: list[Message] = field(default_factory=list)

    def send(self, message: Message) -> bool:
        if self.gate:
            self.gate.wait()
        if self.raises:
            raise self.raises
        self.sent.append(message)
        return not self.fails


def test_a_webhook_gets_title_text_and_tone() -> None:
    with serving() as server:
        server.answer = lambda _: Answer("ok")
        address = server.url.replace("http://", f"json://user:{HOOK}@")
        sent = Sent()
        Notifier(open_channels(SecretStr(f"{address}/hook")), on_end=sent).send(MESSAGE)
        assert sent.wait(1) == [("1-json", True)]
        (call,) = server.calls
    assert call.path == "/hook"
    assert call.body["title"] == MESSAGE.title
    assert call.body["message"] == MESSAGE.body
    assert call.body["type"] == "warning"


@pytest.mark.parametrize("answer", [Answer("no", 500), Answer("no", 404), Answer(cut=True)])
def test_a_webhook_that_refuses_is_counted_and_its_address_not_told(
    answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    with serving() as server, caplog.at_level(logging.DEBUG):
        server.answer = lambda _: answer
        address = server.url.replace("http://", f"json://user:{HOOK}@")
        sent = Sent()
        channels = open_channels(SecretStr(f"{address}/{HOOK}"))
        caplog.clear()  # apprise tells of the language when it is first opened
        Notifier(channels, on_end=sent).send(MESSAGE)
        assert sent.wait(1) == [("1-json", False)]
    ours = [record for record in caplog.records if not record.name.startswith("urllib3")]
    assert [record.message for record in ours] == ["a notification was not sent"]
    assert HOOK not in str([record.__dict__ for record in ours])


def test_a_channel_that_raises_does_not_keep_the_others_from_sending(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad, good, sent = Channel("1-bad", raises=RuntimeError(HOOK)), Channel("2-good"), Sent()
    Notifier([bad, good], on_end=sent).send(MESSAGE)
    assert sorted(sent.wait(2)) == [("1-bad", False), ("2-good", True)]
    assert good.sent == [MESSAGE]
    assert HOOK not in caplog.text


def test_a_channel_that_hangs_costs_nobody_any_time_and_is_told_after_the_deadline() -> None:
    gate, sent = threading.Event(), Sent()
    notifier = Notifier([Channel(gate=gate)], deadline=0.5, on_end=sent)
    began = time.monotonic()
    notifier.send(MESSAGE)
    assert time.monotonic() - began < 0.4
    assert sent.wait(1) == [("1-test", False)]
    gate.set()
    never(lambda: sent.ends != [("1-test", False)])  # the end of it counts once


def test_a_message_without_a_thread_counts_as_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    good, sent = Channel(), Sent()
    notifier = Notifier([good], on_end=sent)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        notifier.send(MESSAGE)
    notifier.send(MESSAGE)
    assert sent.wait(2) == [("1-test", False), ("1-test", True)]


def test_messages_to_a_channel_that_hangs_do_not_pile_up_in_threads() -> None:
    gate, sent = threading.Event(), Sent()
    notifier = Notifier([Channel("1-hang", gate=gate)], deadline=0.05, on_end=sent)
    before = threading.active_count()
    for _ in range(100):
        notifier.send(MESSAGE)
    assert threading.active_count() - before <= 16  # eight that send, and their eight clocks
    assert len(sent.wait(100)) == 100
    gate.set()


def test_closing_waits_for_what_is_under_way_and_for_no_more_than_that() -> None:
    gate, sent = threading.Event(), Sent()
    notifier = Notifier([Channel(gate=gate)], deadline=5, on_end=sent)
    notifier.close(5)
    notifier.send(MESSAGE)
    threading.Timer(0.1, gate.set).start()
    notifier.close(5)
    assert sent.wait(1) == [("1-test", True)]
    hanging = Notifier([Channel(gate=threading.Event())], deadline=5, on_end=sent)
    hanging.send(MESSAGE)
    began = time.monotonic()
    hanging.close(0.1)
    assert time.monotonic() - began < 2


def test_addresses_are_words_and_comments_are_left_out() -> None:
    text = "# the team\njson://a/b  jsons://c/d\n\n  # nobody\nmailtos://u:p@example.com?to=x@example.com\n"
    assert split(SecretStr(text)) == [
        "json://a/b",
        "jsons://c/d",
        "mailtos://u:p@example.com?to=x@example.com",
    ]


def test_slack_mail_and_webhook_are_known() -> None:
    words = (
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
        "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
        f"mailtos://user:{HOOK}@example.com?to=somebody@example.com",
        "jsons://example.com/hook",
    )
    channels = open_channels(SecretStr(" ".join(words)))
    assert [channel.name for channel in channels] == ["1-slack", "2-slack", "3-e-mail", "4-json"]
    assert HOOK not in repr(channels)


def test_an_address_that_nobody_knows_is_a_fault_at_the_start_and_not_told() -> None:
    text = f"json://example.com/x pigeon://{HOOK}@roof mailto://{HOOK}"
    with pytest.raises(ConfigError) as caught:
        load_settings(RollbackSettings, ENVIRONMENT | {"CANARIO_NOTIFY_URLS": text})
    assert str(caught.value).startswith("CANARIO_NOTIFY_URLS: address 2, 3 of 3 is none that Apprise knows")
    assert HOOK not in str(caught.value)


def test_without_an_address_apprise_is_not_even_imported() -> None:
    code = (
        "import sys, rollback.__main__\n"
        "from pydantic import SecretStr; from rollback.notify import open_channels;"
        "assert open_channels(SecretStr('')) == (); assert 'apprise' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_settings_do_not_show_the_addresses() -> None:
    settings = load_settings(RollbackSettings, ENVIRONMENT | {"CANARIO_NOTIFY_URLS": f"json://x/{HOOK}"})
    assert HOOK not in repr(settings)


def test_a_message_is_as_long_as_its_channel_takes_and_keeps_what_matters() -> None:
    last = "More: ./canario explain 20261129-1"
    for channel in open_channels(
        SecretStr("json://localhost\npover://user@token\nd7sms://token@4915112345678")
    ):
        service = channel._service  # type: ignore[attr-defined]
        service.notify = Mock(return_value=True)
        long = Message(
            "canary rolled back in production, because of errors\x1b[0m", "x\n" * 30_000 + last, Tone.BAD
        )
        assert channel.send(long)
        told = service.notify.call_args.kwargs
        assert told["title"].startswith("canary rolled back in production, because of errors")
        assert "\x1b" not in told["title"]
        beside = 0 if service.title_maxlen > 0 else len(told["title"]) + 2
        assert len(told["body"]) + beside <= service.body_maxlen
        assert told["body"].endswith((last, "..."))


@pytest.mark.parametrize("longest", [0, 3, 10, 40, 1000])
def test_what_is_shortened_fits(longest: int) -> None:
    text = "first line\n" + "middle\n" * 100 + "last line"
    fitting = shortened(text, longest)
    assert len(fitting) <= max(longest, 3)
    assert shortened(fitting, 2000) == fitting
