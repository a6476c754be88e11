"""Logs: one JSON object a line on standard error, the same fields everywhere, by python-json-logger."""

import logging.config
import time
from typing import Any

LOGGED_EVERY_SECONDS = 60.0


def logging_config(component: str) -> dict[str, Any]:
    """A `logging.config` dictionary that sends every record to standard error as a JSON line.

    Fields: `time` (ISO 8601), `level`, `component`, `logger`, `message`, and what `extra` gives.
    """
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": "pythonjsonlogger.json.JsonFormatter",
                "fmt": "%(asctime)s %(levelname)s %(name)s %(message)s",
                "datefmt": "%Y-%m-%dT%H:%M:%S%z",
                "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger"},
                "static_fields": {"component": component},
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"level": "INFO", "handlers": ["stderr"]},
    }


def configure_logging(component: str) -> None:
    """Log as `logging_config(component)` says, from now on."""
    logging.config.dictConfig(logging_config(component))


class ErrorLog:
    """Warnings of one kind, at most one every LOGGED_EVERY_SECONDS: what always fails would fill the disk.

    Args:
        sentence: what the warning says, with `%s` for what is told of each.
    """

    def __init__(self, log: logging.Logger, sentence: str) -> None:
        self._log, self._sentence = log, sentence
        self._logged = -LOGGED_EVERY_SECONDS

    def warn(self, what: str) -> None:
        """Log `what`, unless another was logged just now."""
        now = time.monotonic()
        if now - self._logged >= LOGGED_EVERY_SECONDS:
            self._logged = now
            self._log.warning(self._sentence, what)
