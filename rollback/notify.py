"""Messages to people: Slack, e-mail, a webhook and what else Apprise knows, by address alone.

The only module that imports Apprise, and only when there is an address: it takes 0.8 s and 30 MB.
Addresses hold passwords. They are never told, and Apprise's own log, which tells some, is shut.
"""

import logging
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from pydantic import SecretStr

from common.terminal import printable

DEADLINE_SECONDS = 15.0  # a mail server that greets slowly has 15 s by Apprise's own limits
MOST_AT_ONCE = 8

_log = logging.getLogger(__name__)


class Tone(StrEnum):
    """How a message is coloured; the values are Apprise's."""

    GOOD = "success"
    NOTE = "info"
    WARNING = "warning"
    BAD = "failure"


@dataclass(frozen=True)
class Message:
    """What is sent."""

    title: str
    body: str
    tone: Tone


class Channel(Protocol):
    """One address."""

    @property
    def name(self) -> str:
        """For logs and metrics: its place and kind, as `1-slack`."""
        ...

    def send(self, message: Message) -> bool:
        """Send, and tell whether it worked. May raise, may hang."""
        ...


class Notifier:
    """Sends to every channel at once, each in a thread of its own that nobody waits for."""

    def __init__(
        self,
        channels: Sequence[Channel],
        *,
        deadline: float = DEADLINE_SECONDS,
        on_end: Callable[[str, bool], None] = lambda _channel, _sent: None,
    ) -> None:
        """`on_end` gets the name of the channel, and whether it sent within `deadline` seconds."""
        self._channels = tuple(channels)
        self._deadline = deadline
        self._on_end = on_end
        self._lock = threading.Lock()
        self._under_way: dict[int, float] = {}
        self._hanging = 0
        self._count = 0

    def send(self, message: Message) -> None:
        """Send in the background. Never raises, never waits."""
        for channel in self._channels:
            with self._lock:
                crowded = self._hanging + len(self._under_way) >= MOST_AT_ONCE * len(self._channels)
                self._count += 1
                number = self._count
                if not crowded:
                    self._under_way[number] = time.monotonic() + self._deadline
            if crowded:  # threads of a server that never answers must not pile up
                self._end(channel, "too many messages are under way")
                continue
            work = threading.Thread(
                target=self._send, args=(channel, message, number), name=f"notify-{channel.name}", daemon=True
            )
            watch = threading.Timer(self._deadline, self._give_up, (channel, number))
            watch.daemon = True
            try:
                watch.start()
                work.start()
            except RuntimeError:  # the machine gives no more threads
                watch.cancel()
                with self._lock:
                    self._under_way.pop(number, None)
                self._end(channel, "no thread could be started")

    def close(self, seconds: float) -> None:
        """Wait for the messages that are under way, `seconds` at most."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with self._lock:
                if not any(deadline > time.monotonic() for deadline in self._under_way.values()):
                    return
            time.sleep(0.01)

    def _send(self, channel: Channel, message: Message, number: int) -> None:
        try:
            fault = None if channel.send(message) else "the service refused it, or could not be reached"
        except Exception as error:
            fault = f"it raised {type(error).__name__}"  # the text may hold the address
        with self._lock:
            in_time = self._under_way.pop(number, None) is not None
            if not in_time:
                self._hanging -= 1
        if in_time:
            self._end(channel, fault)

    def _give_up(self, channel: Channel, number: int) -> None:
        with self._lock:
            if self._under_way.pop(number, None) is None:
                return
            self._hanging += 1
        self._end(channel, f"no end after {self._deadline:g} s")

    def _end(self, channel: Channel, fault: str | None) -> None:
        if fault:
            _log.error("a notification was not sent", extra={"channel": channel.name, "error": fault})
        self._on_end(channel.name, fault is None)


class _Apprise:
    """An address that Apprise knows."""

    def __init__(self, name: str, service: Any) -> None:
        self.name = name
        self._service = service

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def send(self, message: Message) -> bool:
        title, body = printable(message.title), printable(message.body, lines=True)
        if (most := self._service.title_maxlen) > 0:
            title = shortened(title, most)
            room = self._service.body_maxlen
        else:  # such a channel has no title: Apprise writes it above the text
            room = self._service.body_maxlen - len(title) - 2
        return bool(
            self._service.notify(body=shortened(body, room), title=title, notify_type=message.tone.value)
        )


def shortened(text: str, longest: int) -> str:
    """The beginning of `text` and its last line, which says where more stands, in `longest` characters."""
    if len(text) <= longest:
        return text
    last = text.rpartition("\n")[2]
    end = f"...\n{last}" if len(last) + 4 <= longest // 2 else "..."
    return text[: max(0, longest - len(end))] + end


def split(text: SecretStr) -> list[str]:
    """The addresses in a setting: separated by spaces or line ends; lines that begin with # are comments."""
    lines = (line for line in text.get_secret_value().splitlines() if not line.lstrip().startswith("#"))
    return [word for line in lines for word in line.split()]


def open_channels(text: SecretStr) -> tuple[Channel, ...]:
    """Make a channel of each address.

    Raises:
        ValueError: Apprise does not know one; it is named by its place, never by its text.
    """
    addresses = split(text)
    if not addresses:
        return ()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of its 150 services use what newer Pythons will drop
        import apprise  # noqa: PLC0415 - see above

        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        asset = apprise.AppriseAsset(app_id="Canario", app_desc="Canario")
        made = [apprise.Apprise.instantiate(address, asset=asset) for address in addresses]
    unknown = [str(place) for place, service in enumerate(made, start=1) if service is None]
    if unknown:
        raise ValueError(
            f"address {', '.join(unknown)} of {len(addresses)} is none that Apprise knows; write for instance"
            " slack://TokenA/TokenB/TokenC, mailtos://user:password@host?to=somebody@example.com or"
            " jsons://host/path, with spaces or line ends between them"
        )
    return tuple(
        _Apprise(f"{place}-{str(service.service_name).lower()}", service)
        for place, service in enumerate(made, start=1)
        if service is not None
    )
