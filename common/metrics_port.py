"""The port on which a job answers GET /metrics."""

import logging

from prometheus_client import CollectorRegistry, start_http_server

from common.schedule import keep_running

AGAIN_SECONDS = 2.0

_log = logging.getLogger(__name__)


def serve(bind: str, registry: CollectorRegistry, *, again_after: float = AGAIN_SECONDS) -> None:
    """Answer in threads, for as long as the process lives. The job waits for none of it.

    A port that is taken is tried again until it is free, and a server that ended is made again. `bind` is an
    address and a port.
    """
    host, _, port = bind.rpartition(":")

    def answer() -> None:
        server, thread = start_http_server(int(port), host.strip("[]"), registry)
        _log.info("metrics are served", extra={"bind": bind})
        try:
            thread.join()
        finally:
            server.server_close()

    keep_running(f"metrics at {bind}", answer, again_after=again_after)
