"""Gunicorn's configuration, from the service's settings.

gunicorn -c service/gunicorn_conf.py      or, with a check first: python -m service
"""

import os
import shutil
from pathlib import Path
from typing import Any

from common.config import load_settings
from common.logs import logging_config
from service.feedback.memory import share
from service.malformed import answer_in_problems
from service.settings import Settings

settings = load_settings(Settings)
answer_in_problems()

wsgi_app = "service.wsgi:app"
bind = settings.bind
workers = settings.workers
# Threads, because a canary's user may wait for the challenger up to its deadline, and a worker of the sync
# class would make the champion's users wait with them (docs/decisions/0006-workers.md).
worker_class = "gthread"
threads = settings.threads
preload_app = False  # a flag client made before the fork never sees a change again
keepalive = 5
graceful_timeout = 10
timeout = 30
control_socket_disable = True
logconfig_dict = {
    **logging_config("service"),
    "loggers": {
        # Gunicorn gives its loggers handlers of their own unless told otherwise.
        "gunicorn.error": {"handlers": [], "propagate": True},
        # A line a request would cost more than the prediction; the metrics count requests.
        "gunicorn.access": {"handlers": [], "propagate": True, "level": "WARNING"},
    },
}
# Workers beat on a file; on a disk that stalls they would be killed for it.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108

# Services may share a state folder, and with it the last known flags, but not the files that they count in:
# hence the address in the name. prometheus_client looks at the variable when a worker first imports it.
_own = settings.state_dir.absolute() / f"metrics-{settings.bind.replace('/', '_')}"
_metrics = Path(os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", str(_own)))


def on_starting(_server: Any) -> None:
    """Begin with no counts of a former run, which Prometheus takes for a reset, and with memory for all."""
    shutil.rmtree(_metrics, ignore_errors=True)
    _metrics.mkdir(parents=True)
    shutil.rmtree(settings.workers_dir, ignore_errors=True)
    share()  # before any worker is forked


def worker_exit(_server: Any, worker: Any) -> None:
    """Runs in the worker when its last request is answered."""
    from service.app import close  # noqa: PLC0415 - not in the master, see preload_app

    if getattr(worker, "wsgi", None) is not None:
        close(worker.wsgi)


def child_exit(_server: Any, worker: Any) -> None:
    """Runs in the master: gauges of a dead worker must not count as live."""
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
