"""Who is told what the job does. Telling is a courtesy: it neither fails nor holds up what is told."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Protocol

from flags.canary import CanaryState
from rollback.outcome import Pass, Rollback
from rollback.verdict import Verdict

_log = logging.getLogger(__name__)


class Observer(Protocol):
    """Told by the job. No method raises; none takes longer than a fraction of a second."""

    def on_breach(self, breach: Verdict, state: CanaryState | None) -> None:
        """The flag is about to be turned off. `state` is what was known of it; None when nothing was."""
        ...

    def on_rollback(self, rollback: Rollback, breach: Verdict, state: CanaryState | None) -> None:
        """The order was given, and this became of it."""
        ...

    def on_pass(self, done: Pass) -> None:
        """A pass is over."""
        ...


class Silent:
    """Tells nobody, as in a dry run."""

    def on_breach(self, breach: Verdict, state: CanaryState | None) -> None:
        pass

    def on_rollback(self, rollback: Rollback, breach: Verdict, state: CanaryState | None) -> None:
        pass

    def on_pass(self, done: Pass) -> None:
        pass


class Several:
    """Tells several. One that raises all the same is logged, and the others are told."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def on_breach(self, breach: Verdict, state: CanaryState | None) -> None:
        for one in self._observers:
            _safely(partial(one.on_breach, breach, state))

    def on_rollback(self, rollback: Rollback, breach: Verdict, state: CanaryState | None) -> None:
        for one in self._observers:
            _safely(partial(one.on_rollback, rollback, breach, state))

    def on_pass(self, done: Pass) -> None:
        for one in self._observers:
            _safely(partial(one.on_pass, done))


def _safely(tell: Callable[[], None]) -> None:
    try:
        tell()
    except Exception as error:
        _log.exception("an observer failed", extra={"error": f"{type(error).__name__}: {error}"})
