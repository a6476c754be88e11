"""What the challenger did wrong, for the log: now and then, or one that always fails would fill the disk."""

import logging
import time

TOLD_EVERY_SECONDS = 60.0


class Complaints:
    """Warnings of one kind, at most one every TOLD_EVERY_SECONDS.

    Args:
        sentence: what the warning says, with `%s` for the model's own words.
    """

    def __init__(self, log: logging.Logger, sentence: str) -> None:
        self._log, self._sentence = log, sentence
        self._told = -TOLD_EVERY_SECONDS

    def tell(self, what: str) -> None:
        """Log `what`, unless another was logged just now."""
        now = time.monotonic()
        if now - self._told >= TOLD_EVERY_SECONDS:
            self._told = now
            self._log.warning(self._sentence, what)
