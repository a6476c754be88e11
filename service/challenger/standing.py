"""Whether the challenger's process may have the priority of the champion, or has lost it.

Both models are compared, so both get the CPU alike, as long as the challenger's calls come back in time. What
overran its deadline, crashed, or takes more CPU than the worker that calls it gets the lowest priority and
few cores, so that nobody else notices. What goes on to burn CPU for a reply that nobody waits for any more
is ended. A process cannot be raised again without privileges: a later run is a normal one.
"""

import time
from collections.abc import Callable, Collection
from contextlib import suppress

FIRST_PROBATION_SECONDS = 30.0
LONGEST_PROBATION_SECONDS = 600.0
LOOK_SECONDS = 1.0
LEAST_SHARE = 0.1  # of a core: what takes less is no burden
# For how long it may use the CPU for a late reply: a slow model answers meanwhile, and its time is known.
BURN_SECONDS = 0.75
BURN_SECONDS_ON_PROBATION = 0.1


class Standing:
    """Normal, or on probation: after each misdeed for twice as long as after the one before."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until = -LONGEST_PROBATION_SECONDS
        self._probation = FIRST_PROBATION_SECONDS

    @property
    def on_probation(self) -> bool:
        """Whether runs are to have the lowest priority."""
        return self._clock() < self._until

    def misbehaved(self) -> None:
        """It overran, crashed or was greedy."""
        now = self._clock()
        if now - self._until > LONGEST_PROBATION_SECONDS:
            self._probation = FIRST_PROBATION_SECONDS
        self._until = now + self._probation
        self._probation = min(2 * self._probation, LONGEST_PROBATION_SECONDS)


class Greed:
    """Looks once a second whether the process `pid` takes more CPU than this one, which calls it."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._last = self._read()

    def is_seen(self) -> bool:
        """Whether it did since the last look; False where that is not long ago."""
        now, its, ours = self._read()
        then, its_then, ours_then = self._last
        if now - then < LOOK_SECONDS:
            return False
        self._last = now, its, ours
        return its - its_then > max(LEAST_SHARE * (now - then), ours - ours_then)

    def _read(self) -> tuple[float, float, float]:
        return time.monotonic(), cpu_seconds(self._pid), time.process_time()


class Burning:
    """Looks whether the process `pid` uses the CPU for a reply that is late.

    Args:
        seconds: for how long it may.
    """

    def __init__(self, pid: int, seconds: float) -> None:
        self._pid, self._seconds = pid, seconds
        self._since: dict[int, tuple[float, float]] = {}

    def is_seen(self, late: Collection[int]) -> bool:
        """Whether it did; `late` has the ids of the calls whose replies nobody waits for any more."""
        if not late:
            self._since.clear()
            return False
        now, used = time.monotonic(), cpu_seconds(self._pid)
        self._since = {call: self._since.get(call, (now, used)) for call in late}
        return any(
            now - then > self._seconds and used - used_then > LEAST_SHARE * (now - then)
            for then, used_then in self._since.values()
        )


def cpu_seconds(pid: int) -> float:
    """What the process has used of the CPU; 0 where it has ended."""
    with suppress(OSError):
        return time.clock_gettime((~pid << 3) | 2)  # CLOCK_PROCESS_CPUTIME_ID, as clock_getcpuclockid(3)
    return 0.0
