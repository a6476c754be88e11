"""Gunicorn's configuration, from the board's settings: `python -m board` checks them first."""

from pathlib import Path

from board.settings import BoardProcessSettings
from common.config import load_settings
from common.logs import logging_config

settings = load_settings(BoardProcessSettings)

wsgi_app = "board.wsgi:app"
bind = settings.board_bind
workers = 1  # one reading of each source serves all pages, however many are open
worker_class = "gthread"
threads = 16  # a page that comes first waits for the sources
keepalive = 15  # a page asks every 3 s
graceful_timeout = 5
timeout = 30
control_socket_disable = True
logconfig_dict = {
    **logging_config("board"),
    "loggers": {
        "gunicorn.error": {"handlers": [], "propagate": True},
        "gunicorn.access": {"handlers": [], "propagate": True, "level": "WARNING"},
    },
}
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
