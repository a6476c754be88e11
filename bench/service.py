"""The service as people start it, on an Unleash of its own."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.server import free_address, server
from common.names import Model
from drills.command import own_stack
from stack.api import Stack
from stack.paths import Cache
from stack.processes import environment


@contextmanager
def service(
    challenger: Model | None = Model.CHALLENGER, workers: int = 2
) -> Iterator[tuple[Stack, str, int]]:
    """Its stack, its address and its process; `challenger`: whose model that is, None for none."""
    url = free_address()
    with own_stack("unleash") as stack:
        cache, variables = Cache.default(), environment.service(stack.site)
        del variables["CANARIO_MODELS"]
        variables |= {
            "CANARIO_BIND": url.removeprefix("http://"),
            "CANARIO_WORKERS": str(workers),
            "CANARIO_CHAMPION": str(cache.model(Model.CHAMPION)),
        }
        if challenger:
            variables["CANARIO_CHALLENGER"] = str(cache.model(challenger))
        with server((sys.executable, "-m", "service"), variables, url, "/readyz") as pid:
            yield stack, url, pid
