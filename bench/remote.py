"""`python -m bench.remote`: what a challenger behind an MLServer costs, over asking that MLServer directly.

Both are asked about the same row on one kept connection, in turns, by the same client, so that what else the
machine does falls on both. CPU is that of MLServer, and of MLServer and the service together.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from statistics import median

import click
import psutil

from bench.server import free_address, server
from bench.steps import TOKEN, keep_flags
from common.names import Model
from common.terminal import Console
from drills.command import exit_codes, json_option, machine, write_figures
from service.settings import Settings
from stack.paths import REPOSITORY, Cache
from stack.venvs import ensure_venv

TRAIN = REPOSITORY / "tests" / "unit" / "service" / "remote" / "mlserver_model.py"
START = "from mlserver.cli.main import main; main()"
BLOCK = 50  # requests to one of the two, before the other's turn


@click.command()
@click.option("--requests", default=1000, show_default=True, help="Requests to each of the two.")
@json_option
def main(requests: int, json_file: Path | None) -> None:
    """Ask an MLServer about one row, directly and through the service whose challenger it is.

    Exit codes: 0 measured, whatever the figures; 3 it could not be measured.
    """
    console = Console(highlight=False)
    cache = Cache.default()
    with (
        exit_codes("the benchmark could not be carried out"),
        tempfile.TemporaryDirectory(prefix="canario-remote-") as name,
    ):
        folder, direct, ours = Path(name), free_address(), free_address()
        (folder / "mlserver").mkdir()
        python = str(ensure_venv(cache, "mlserver"))
        port = direct.rpartition(":")[2]
        subprocess.run([python, TRAIN, folder / "mlserver", port], check=True, stdout=subprocess.DEVNULL)
        command = (python, "-c", START, "start", str(folder / "mlserver"))
        with server(command, {}, direct, "/v2/models/fraud/ready") as mlserver:
            make = ["--url", direct, "--model", "fraud", "--like", str(cache.model(Model.CHAMPION))]
            make += ["--name", "fraud", "--version", "1", "--out", str(folder / "remote")]
            subprocess.run([sys.executable, "-m", "service.remote", *make], check=True, cwd=REPOSITORY)
            variables = _service(folder, ours)
            with server((sys.executable, "-m", "service"), variables, ours, "/readyz") as service:
                figures = _measured(direct, ours, mlserver, service, requests)
    overhead = 1000 * (figures["through_p50_seconds"] - figures["direct_p50_seconds"])
    cpu = figures["through_cpu_seconds"] / figures["direct_cpu_seconds"] - 1
    console.print(
        f"p50 direct {1000 * figures['direct_p50_seconds']:.2f} ms, through the service +{overhead:.2f} ms"
    )
    console.print(
        f"CPU for 1,000 requests: {figures['direct_cpu_seconds']:.2f} s, through the service {cpu:+.0%}"
    )
    write_figures(console.print, json_file, {"bench": "remote", "machine": machine(), **figures})


def _service(folder: Path, url: str) -> dict[str, str]:
    """The environment of a service that gives everybody the challenger."""
    values = {
        "champion": str(Cache.default().model(Model.CHAMPION)),
        "challenger": str(folder / "remote"),
        "unleash_url": "http://127.0.0.1:9",
        "unleash_sdk_token": TOKEN,
        "state_dir": str(folder / "state"),
        "bind": url.removeprefix("http://"),
        "workers": "1",
        "guest_deadline_seconds": "5",
    }
    (folder / "state").mkdir()
    keep_flags(Settings.model_validate(values), canary=100, shadow=0)
    return {f"CANARIO_{name.upper()}": value for name, value in values.items()} | {"PATH": ""}


def _measured(direct: str, ours: str, mlserver: int, service: int, requests: int) -> dict[str, float]:
    example = json.loads((Cache.default().model(Model.CHAMPION) / "model.json").read_bytes())["features"]
    row = [each["example"] for each in example]
    tensor = {"name": "features", "shape": [1, len(row)], "datatype": "FP32", "data": row}
    outputs = [{"name": "predict"}, {"name": "predict_proba"}]
    ask_direct = _asker(direct, "/v2/models/fraud/infer", {"inputs": [tensor], "outputs": outputs})
    ask_ours = _asker(ours, "/predict", {"user_id": "u", "features": row})
    if json.loads(ask_ours())["model"] != Model.CHALLENGER:
        raise click.ClickException("the challenger does not answer")
    seconds: dict[str, list[float]] = {"direct": [], "through": []}
    cpu = {"direct": 0.0, "through": 0.0}
    for turn in range(-2, 2 * requests // BLOCK):
        name, ask = ("direct", ask_direct) if turn % 2 else ("through", ask_ours)
        before = _cpu(mlserver) + _cpu(service)
        took = [_timed(ask) for _ in range(BLOCK)]
        if turn >= 0:  # before, both get warm
            seconds[name] += took
            cpu[name] += _cpu(mlserver) + _cpu(service) - before
    return {f"{name}_p50_seconds": median(took) for name, took in seconds.items()} | {
        f"{name}_cpu_seconds": 1000 * spent / requests for name, spent in cpu.items()
    }


def _asker(url: str, path: str, body: object) -> Callable[[], bytes]:
    connection = HTTPConnection(url.removeprefix("http://"), timeout=10)
    text = json.dumps(body)

    def ask() -> bytes:
        connection.request("POST", path, text, {"Content-Type": "application/json"})
        return connection.getresponse().read()

    return ask


def _timed(ask: Callable[[], bytes]) -> float:
    begun = time.perf_counter()
    ask()
    return time.perf_counter() - begun


def _cpu(pid: int) -> float:
    master = psutil.Process(pid)
    times = [each.cpu_times() for each in (master, *master.children(recursive=True))]
    return sum(each.user + each.system for each in times)


if __name__ == "__main__":
    main()
