"""Logs: one JSON object a line on standard error, the same fields everywhere, by python-json-logger."""

import logging
import sys

from pythonjsonlogger.json import JsonFormatter


def configure_logging(component: str, level: int = logging.INFO) -> None:
    """Send every record of this process to standard error as JSON lines that name `component`.

    Fields: `time` (ISO 8601), `level`, `component`, `logger`, `message`, and what `extra` gives.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            static_fields={"component": component},
            datefmt="%Y-%m-%dT%H:%M:%S%z",
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
