"""Weights of a real Envoy and a real nginx follow a share, by the files that they read."""

import json
import math
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flags.mesh.controller import Memory, follow
from flags.mesh.errors import NotTaken, RouteError
from flags.mesh.files import EnvoyRoute, NginxRoute
from flags.mesh.routes import EnvoyPart, NginxPart
from flags.mesh.wanted import Wanted
from stack.paths import REPOSITORY, Cache
from stack.servers import debian
from tests.integration.conftest import wait_for
from tests.integration.own_service import free_port
from tests.integration.proxies import Load, Proxy, running, until

SHIPPED = REPOSITORY / "examples" / "envoy" / "routes.json"
_LIBRARIES = re.compile(r"nginx-common|lib(?:pcre2|ssl|crypt1|zstd)\S*")


def share(percent: int, mirror: int = 0) -> Wanted:
    return Wanted(percent, f"the flag says {percent}%", mirror)


def test_envoy_follows_without_a_lost_request(tmp_path: Path) -> None:
    routes = tmp_path / "routes.json"
    shutil.copy(SHIPPED, routes)
    before = json.loads(routes.read_text(encoding="utf-8"))
    with running("weights", tmp_path, {}, routes) as envoy:
        part = EnvoyPart(
            kind="envoy", file=routes, champion="ranker-v1", challenger="ranker-v2", admin=envoy.admin
        )
        route, memory, load = EnvoyRoute(part), Memory(), Load(envoy.url)
        for percent in (5, 50, 100, 1, 25):
            follow(route, share(percent), memory)  # returns once Envoy goes by it
            until(load, 50)
        count = 2_000
        found = envoy.ask([{}] * count).count("challenger") / count
        assert abs(found - 0.25) <= 4 * math.sqrt(0.25 * 0.75 / count)
        follow(route, share(0), memory)
        assert envoy.ask([{}] * 300) == ["champion"] * 300
        answers = load.close()
    assert {*answers} == {"champion", "challenger"}  # and nothing that went wrong
    assert json.loads(routes.read_text(encoding="utf-8")) == before  # 100/0 again, and nothing else touched


def test_envoy_copies_as_many_requests_as_the_flag_of_the_shadow_says(tmp_path: Path) -> None:
    routes, count = tmp_path / "routes.json", 2_000
    error = math.sqrt(count * 0.2 * 0.8)
    shutil.copy(SHIPPED, routes)
    before = json.loads(routes.read_text(encoding="utf-8"))
    with running("weights", tmp_path, {}, routes) as envoy:
        said = {"kind": "envoy", "file": routes, "champion": "ranker-v1", "challenger": "ranker-v2"}
        part = EnvoyPart.model_validate(said | {"mirror": "ranker-v2", "admin": envoy.admin})
        route, memory = EnvoyRoute(part), Memory()

        def copied(percent: int) -> float:
            before, least = envoy.requests_of("ranker-v2"), count * percent / 100 - 4 * error
            follow(route, share(0, mirror=percent), memory)
            assert envoy.ask([{}] * count) == ["champion"] * count  # nobody gets the answer of a copy
            wait_for(lambda: envoy.requests_of("ranker-v2") - before >= least, 5, "copies")
            return envoy.requests_of("ranker-v2") - before

        assert copied(20) <= count * 0.2 + 4 * error
        assert copied(0) == 0
    after = json.loads(routes.read_text(encoding="utf-8"))
    [policy] = after["resources"][0]["virtual_hosts"][0]["routes"][0]["route"].pop("request_mirror_policies")
    assert policy["runtime_fraction"]["default_value"]["numerator"] == 0
    assert after == before


def test_a_file_that_envoy_does_not_take_is_said(tmp_path: Path) -> None:
    routes = tmp_path / "routes.json"
    shutil.copy(SHIPPED, routes)
    said = {"kind": "envoy", "file": routes, "champion": "ranker-v1", "challenger": "ranker-v2"}
    part = EnvoyPart.model_validate(said | {"admin": f"http://127.0.0.1:{free_port()}"})
    with pytest.raises(NotTaken, match="was written, and not taken"):
        follow(EnvoyRoute(part), share(5), Memory())
    routes.write_text("clusters: []", encoding="utf-8")
    with pytest.raises(RouteError, match="is no JSON"):
        follow(EnvoyRoute(part), share(5), Memory())


@contextmanager
def nginx(folder: Path, split: Path) -> Iterator[tuple[Proxy, Path]]:
    """nginx of Debian that says the arm, and the file of its process id."""
    cache, port, arms = Cache.default(), free_port(), free_port()
    root = cache.root / "nginx"
    with cache.installing():
        debian.ensure("nginx", root, root / "usr/sbin/nginx", cache, needs=_LIBRARIES)
    pid, config = folder / "nginx.pid", folder / "nginx.conf"
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = " ".join(f"{one}_temp_path {folder}/{one};" for one in kinds)
    config.write_text(
        f"""
        daemon off; worker_processes 2; pid {pid}; error_log {folder}/error.log;
        events {{ worker_connections 256; }}
        http {{
            access_log off;
            {folders}
            include {split};
            log_format arm $http_x_arm;
            server {{
                listen 127.0.0.1:{port};
                location / {{
                    mirror /copy;
                    proxy_set_header x-arm $ranker;
                    proxy_pass http://127.0.0.1:{arms};
                }}
                location = /copy {{
                    internal;
                    if ($ranker_mirror = "") {{ return 204; }}
                    proxy_set_header x-arm $ranker_mirror;
                    proxy_pass http://127.0.0.1:{arms};
                }}
            }}
            server {{
                listen 127.0.0.1:{arms};
                access_log {folder}/arms.log arm;
                location / {{ return 200 $http_x_arm; }}
            }}
        }}
        """,
        encoding="utf-8",
    )
    libraries = ":".join(sorted({str(found.parent) for found in root.rglob("*.so.*")}))
    command = [
        str(root / "usr/sbin/nginx"),
        "-p",
        str(folder),
        "-c",
        str(config),
        "-e",
        f"{folder}/error.log",
    ]
    process = subprocess.Popen(command, env={"LD_LIBRARY_PATH": libraries})
    try:
        proxy = Proxy(f"http://127.0.0.1:{port}", "")
        wait_for(lambda: process.poll() is not None or proxy.ask([{}])[0] == "ranker_v1", 20, "nginx")
        assert process.poll() is None, (folder / "error.log").read_text(encoding="utf-8")
        yield proxy, pid
    finally:
        process.terminate()
        process.wait(20)


def test_nginx_follows_without_a_lost_request_and_users_stay(tmp_path: Path) -> None:
    said = {"kind": "nginx", "file": tmp_path / "split.conf", "variable": "ranker"}
    said |= {"champion": "ranker_v1", "challenger": "ranker_v2", "pid": tmp_path / "nginx.pid"}
    said |= {"mirror": "ranker_copies"}
    route, memory = NginxRoute(NginxPart.model_validate(said)), Memory()
    with pytest.raises(NotTaken, match="nginx could not be told"):  # it does not run yet
        follow(route, share(0), memory)
    with nginx(tmp_path, tmp_path / "split.conf") as (proxy, _):
        load = Load(proxy.url)
        users = [{"x-user-id": f"user-{number}"} for number in range(2_000)]
        challenged: dict[int, set[int]] = {}
        for percent in (5, 25, 100, 0):
            follow(route, share(percent), memory)
            until(load, 50)
            answers = proxy.ask(users)
            assert {*answers} <= {"ranker_v1", "ranker_v2"}
            assert proxy.ask(users) == answers
            challenged[percent] = {at for at, arm in enumerate(answers) if arm == "ranker_v2"}
            found, error = len(challenged[percent]) / len(users), math.sqrt(0.25 / len(users))
            assert abs(found - percent / 100) <= 4 * error
            assert proxy.ask([{}] * 10) == ["ranker_v1"] * 10  # who has no id
        assert challenged[5] < challenged[25] < challenged[100] == {*range(2_000)}
        assert not challenged[0]
        for percent in (20, 0):
            follow(route, share(0, mirror=percent), memory)
            until(load, 50)  # what the old workers had begun is done
            (tmp_path / "arms.log").write_bytes(b"")
            before = len(load.answers)
            assert proxy.ask(users) == ["ranker_v1"] * len(users)
            until(load, 50)
            asked = len(load.answers) - before + len(users)
            copied = (tmp_path / "arms.log").read_text(encoding="utf-8").split().count("ranker_copies")
            print(f"{percent}%: {copied} copies of some {asked}")
            assert abs(copied / asked - percent / 100) <= (0.05 if percent else 0)
        assert {*load.close()} <= {"ranker_v1", "ranker_v2"}
