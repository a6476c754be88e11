"""When stages may begin: on which days, at which hours of which zone, and not during a freeze. Pure.

Hours are those of a clock on the wall there. Where clocks are put back, a window that lies in the hour that
comes twice is open twice; where they are put forward, a window that begins in the hour that is left out opens
when the clocks are moved, and one that lies in it whole does not open that day.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from common.config import StrictModel

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
NAMES: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_HOURS: Final = r"^([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)$"
_DAYS_AHEAD: Final = 16  # a window that opens once a week may fall into an hour that is left out
_TURNS: Final = 1000  # of freezes and windows that are asked by turns


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is no time zone such as Europe/Oslo or UTC") from error
    return name


def _hours(text: str) -> str:
    begin, _, end = text.partition("-")
    if begin >= end:
        raise ValueError(f"{text!r} holds no time: hours grow from 00:00 to 24:00, such as 09:00-16:00")
    return text


def _once(days: tuple[Day, ...]) -> tuple[Day, ...]:
    if len(set(days)) < len(days):
        raise ValueError("a day stands here twice")
    return tuple(sorted(days, key=DAYS.index))


Zone = Annotated[str, AfterValidator(_zone)]


class Window(StrictModel):
    """When a stage may begin."""

    days: Annotated[tuple[Day, ...], Field(min_length=1), AfterValidator(_once)] = DAYS
    """Of the week: mon, tue, wed, thu, fri, sat, sun."""
    hours: Annotated[str, Field(pattern=_HOURS), AfterValidator(_hours)] = "00:00-24:00"
    """From the first on, and before the second: `09:00-16:00`."""
    zone: Zone = "UTC"
    """Whose clock that is: `Europe/Oslo`."""

    def is_open(self, at: datetime) -> bool:
        """Whether the clock there shows a time of the window."""
        local = at.astimezone(ZoneInfo(self.zone))
        begin, _, end = self.hours.partition("-")
        clock = f"{local:%H:%M}"
        return DAYS[local.weekday()] in self.days and begin <= clock < end

    def opens(self, after: datetime) -> datetime:
        """When it opens next; `after` itself where it is open then. UTC."""
        if self.is_open(after):
            return after.astimezone(UTC)
        zone = ZoneInfo(self.zone)
        begin = time.fromisoformat(self.hours.partition("-")[0])
        days = [after.astimezone(zone).date() + timedelta(days=number) for number in range(_DAYS_AHEAD)]
        moments = {*_moments(days, begin, zone), *_changes(days, zone)}
        return min(at for at in moments if at > after and self.is_open(at))

    @property
    def words(self) -> str:
        """Monday, Tuesday, 09:00-16:00 Europe/Oslo."""
        days = "any day" if len(self.days) == len(NAMES) else ", ".join(_runs(self.days))
        return f"{days}, {self.hours} {self.zone}"


class Freeze(StrictModel):
    """Days on which no stage begins."""

    from_: date = Field(alias="from")
    """The first."""
    until: date
    """The last."""
    reason: str = Field(min_length=1)
    """For people."""
    zone: Zone | None = None
    """Whose days; default: that of the window, else UTC."""

    @model_validator(mode="after")
    def _in_order(self) -> "Freeze":
        if self.from_ > self.until:
            raise ValueError(f"until {self.until} is before from {self.from_}")
        return self

    def holds(self, at: datetime, zone: str) -> bool:
        """Whether it is one of these days in its zone, or in `zone`."""
        return self.from_ <= at.astimezone(ZoneInfo(self.zone or zone)).date() <= self.until

    def ends(self, zone: str) -> datetime:
        """The first moment after it. UTC."""
        here, day = ZoneInfo(self.zone or zone), self.until + timedelta(days=1)
        days = [self.until, day, day + timedelta(days=1)]
        moments = {*_moments([day], time(), here), *_changes(days, here)}
        return min(at for at in moments if at.astimezone(here).date() > self.until)


@dataclass(frozen=True)
class Calendar:
    """When one stage may begin.

    Attributes:
        window: None where any time will do.
        freezes: days on which it may not.
    """

    window: Window | None = None
    freezes: Sequence[Freeze] = ()

    def __bool__(self) -> bool:
        return self.window is not None or bool(self.freezes)

    @property
    def zone(self) -> str:
        """Of what is told of it."""
        return self.window.zone if self.window else "UTC"

    def freeze(self, at: datetime) -> Freeze | None:
        """That which holds then."""
        return next((each for each in self.freezes if each.holds(at, self.zone)), None)

    def is_open(self, at: datetime) -> bool:
        """Whether a stage may begin then."""
        return self.freeze(at) is None and (self.window is None or self.window.is_open(at))

    def opens(self, after: datetime) -> datetime | None:
        """When a stage may begin next; `after` itself where it may then. UTC; None: not to be told."""
        at = after.astimezone(UTC)
        for _ in range(_TURNS):
            if freeze := self.freeze(at):
                at = freeze.ends(self.zone)
            elif self.window is not None and not self.window.is_open(at):
                at = self.window.opens(at)
            else:
                return at
        return None

    def judge(self, at: datetime) -> tuple[bool, str]:
        """Whether a stage may begin then, and why."""
        local = at.astimezone(ZoneInfo(self.zone))
        clock = f"{NAMES[local.weekday()]} {local:%Y-%m-%d %H:%M} in {self.zone}"
        if freeze := self.freeze(at):
            return False, f"no stage begins from {freeze.from_} to {freeze.until} ({freeze.reason})"
        if self.window is None:
            return True, "no freeze"
        told = f"{clock}; stages begin {self.window.words}"
        return self.window.is_open(at), told


def _moments(days: Sequence[date], clock: time, zone: ZoneInfo) -> Iterator[datetime]:
    """When the clock shows that time on each of the days, in UTC: twice where the hour comes twice."""
    for day in days:
        for fold in (0, 1):
            yield datetime.combine(day, clock, zone).replace(fold=fold).astimezone(UTC)


def _changes(days: Sequence[date], zone: ZoneInfo) -> Iterator[datetime]:
    """When clocks are moved in these days or the day before and after, to the second, in UTC."""
    begin = datetime.combine(days[0], time(), UTC) - timedelta(days=1)
    for number in range((days[-1] - days[0]).days + 3):
        low, high = begin + timedelta(days=number), begin + timedelta(days=number + 1)
        before = low.astimezone(zone).utcoffset()
        if high.astimezone(zone).utcoffset() == before:
            continue
        while high - low > timedelta(seconds=1):
            middle = low + timedelta(seconds=(high - low).total_seconds() // 2)
            if middle.astimezone(zone).utcoffset() == before:
                low = middle
            else:
                high = middle
        yield high


def _runs(days: Sequence[Day]) -> Iterator[str]:
    """Monday to Thursday; days that stand alone by themselves."""
    places = [DAYS.index(day) for day in days]
    while places:
        run = next((n for n in range(1, len(places)) if places[n] != places[0] + n), len(places))
        first, last = NAMES[places[0]], NAMES[places[run - 1]]
        if run > 2:
            yield f"{first} to {last}"
        else:
            yield from dict.fromkeys((first, last))
        places = places[run:]
