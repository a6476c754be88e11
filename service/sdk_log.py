"""Makes the Unleash SDK's log fit for production: one line a fault instead of a traceback a second."""

import logging
import time

REPEAT_SECONDS = 60.0


class OneLine(logging.Filter):
    """Drops tracebacks, and repeats of a message (whatever its arguments) within REPEAT_SECONDS."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = record.exc_text = None
        now = time.monotonic()
        if now - self._last.get(str(record.msg), -REPEAT_SECONDS) < REPEAT_SECONDS:
            return False
        self._last[str(record.msg)] = now
        return True


def quieten_sdk() -> None:
    """Install the filter once; schedulers that report a poll they skipped are silenced below errors."""
    logger = logging.getLogger("UnleashClient")
    logger.setLevel(logging.WARNING)
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    if not any(isinstance(each, OneLine) for each in logger.filters):
        logger.addFilter(OneLine())
