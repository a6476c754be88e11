"""A real HAProxy, from Debian's package, with the configuration that is shipped, in front of one service."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from stack.paths import REPOSITORY, Cache
from stack.servers import debian
from tests.integration.conftest import wait_for
from tests.integration.own_service import free_port

SHIPPED = REPOSITORY / "deploy" / "balancer" / "haproxy.cfg"
# What it is linked with, and no machine has for another reason.
_LIBRARIES = re.compile(r"lib(?:lua|opentracing|pcre2|ssl|cap2|systemd|crypt1)\S*")


def haproxy() -> tuple[Path, dict[str, str]]:
    """The binary, brought into the cache unless it is there, and the environment that it needs."""
    cache = Cache.default()
    folder = cache.root / "haproxy"
    binary = folder / "usr" / "sbin" / "haproxy"
    with cache.installing():
        debian.ensure("haproxy", folder, binary, cache, needs=_LIBRARIES)
    libraries = sorted({str(found.parent) for found in folder.rglob("*.so.*")})
    return binary, {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)}


@contextmanager
def balancer(service: str, folder: Path) -> Iterator[str]:
    """HAProxy before `service`, by its address; all but the addresses is as it is shipped."""
    port, health = free_port(), free_port()
    config = SHIPPED.read_text(encoding="utf-8")
    for shipped, here in (
        ("    bind :8000\n", f"    bind 127.0.0.1:{port}\n"),
        ("    bind 127.0.0.1:8001\n", f"    bind 127.0.0.1:{health}\n"),
        ("    default-server resolvers compose init-addr none\n", ""),
        (
            "    server-template replica 1-16 service:8000\n",
            f"    server replica1 {service.removeprefix('http://')}\n",
        ),
    ):
        assert config.count(shipped) == 1, shipped
        config = config.replace(shipped, here)
    file = folder / "haproxy.cfg"
    file.write_text(config, encoding="utf-8")
    binary, environment = haproxy()
    with (folder / "haproxy.log").open("wb") as log:
        process = subprocess.Popen(
            [str(binary), "-f", str(file), "-db"], env=environment, stdout=log, stderr=log
        )
    try:
        wait_for(lambda: _is_up(process, folder, health), 20, f"HAProxy, see {folder}/haproxy.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def _is_up(process: subprocess.Popen[bytes], folder: Path, health: int) -> bool:
    assert process.poll() is None, (folder / "haproxy.log").read_text(encoding="utf-8")
    try:
        return requests.get(f"http://127.0.0.1:{health}/", timeout=2).ok
    except requests.RequestException:
        return False
