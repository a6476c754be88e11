"""Gunicorn's configuration, from the service's settings.

gunicorn -c service/gunicorn_conf.py      or, with a check first: python -m service
"""

import logging
import os
import shutil
from pathlib import Path
from typing import Any

from common.config import ConfigError, load_settings
from common.logs import logging_config
from service.challenger.worker import keep_private
from service.feedback.memory import share
from service.metrics.user_windows import share as share_user_windows
from service.settings import Settings
from service.workers import boot
from service.workers.whole_requests import NoPersons, WholeRequests, answer_in_problems

try:
    settings = boot.keep(load_settings(Settings))
except ConfigError as error:
    # A reload (HUP) reads this anew; it must not end a service that runs.
    before = boot.kept_settings()
    if before is None:
        raise
    logging.getLogger(__name__).error("the settings are as before: %s", error)
    settings = before
answer_in_problems()

wsgi_app = "service.workers.boot:make_app()"
bind = settings.bind
workers = settings.workers
# Threads, because a canary's user may wait for the challenger up to its deadline, and a worker of the sync
# class would make the champion's users wait with them (docs/decisions/0006-workers.md).
# Theirs gives a thread to whoever has sent a byte.
worker_class = WholeRequests
WholeRequests.largest_body = settings.max_body_bytes
threads = settings.threads
preload_app = False  # a flag client made before the fork never sees a change again
keepalive = 5
graceful_timeout = 10
timeout = 30
control_socket_disable = True
# No proxy has anything to say here that this service would use, and one that runs on this host passes on what
# strangers send: with `SCRIPT_NAME: /x`, the path /x/admin was /admin.
forwarded_allow_ips = ""
forwarder_headers = ""
logconfig_dict = {
    **logging_config("service"),
    "filters": {"no_persons": {"()": NoPersons}},
    "loggers": {
        # Gunicorn gives its loggers handlers of their own unless told otherwise.
        "gunicorn.error": {"handlers": [], "propagate": True, "filters": ["no_persons"]},
        # A line a request would cost more than the prediction; the metrics count requests.
        "gunicorn.access": {"handlers": [], "propagate": True, "level": "WARNING"},
    },
}
# Workers beat on a file; on a disk that stalls they would be killed for it.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108


def when_ready(_server: Any) -> None:
    """Begin with no counts of a former run, which Prometheus takes for a reset, and with memory for all.

    Runs before any worker is forked, and only in a master that got the address: one that was started by
    mistake beside another must not remove what that one counts in.
    """
    given = os.environ.get(boot.COUNTS_VARIABLE)
    folders = [Path(given)] if given else boot.count_folders(settings.state_dir, settings.bind)
    os.environ[boot.COUNTS_VARIABLE] = str(boot.make_count_folder(folders, settings.workers))
    shutil.rmtree(settings.workers_dir, ignore_errors=True)
    share()
    share_user_windows()
    boot.share()
    keep_private()  # workers too: a challenger's process is of the same user


def on_exit(_server: Any) -> None:
    """Nobody will ask for these counts any more, nor for what the workers serve."""
    boot.remove_count_folders()
    shutil.rmtree(settings.workers_dir, ignore_errors=True)


def pre_request(_worker: Any, request: Any) -> None:
    """Say so (`Connection: close`) where a body is not read to its end, after which gunicorn closes.

    Otherwise the client's next request, or a proxy's for somebody else, would go into a closed connection.
    """
    for name, value in request.headers:
        if name == "TRANSFER-ENCODING" or (name == "CONTENT-LENGTH" and int(value) > settings.max_body_bytes):
            request.force_close()


def post_fork(_server: Any, _worker: Any) -> None:
    """Runs in the worker, before it makes its app."""
    from service.metrics.files import reserve_room  # noqa: PLC0415 - it knows its folder only now

    reserve_room()


def post_worker_init(_worker: Any) -> None:
    """Runs in the worker when its app is made."""
    boot.worker_started()


def worker_exit(_server: Any, worker: Any) -> None:
    """Runs in the worker when its last request is answered, or when it could not start."""
    if getattr(worker, "wsgi", None) is not None:
        from service.app import close  # noqa: PLC0415 - not in the master, see preload_app

        close(worker.wsgi)
    boot.spare_siblings()


def child_exit(server: Any, worker: Any) -> None:
    """Runs in the master: what the worker counted is kept, its gauges are not."""
    from service.metrics.merge import ended  # noqa: PLC0415 - the folder is known only now

    ended(Path(os.environ[boot.COUNTS_VARIABLE]), worker.pid, server.WORKERS)
