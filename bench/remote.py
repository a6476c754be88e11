"""`python -m bench.remote`: what a challenger behind an MLServer costs, over asking that MLServer directly.

The same client asks about the same row, in turns, each on a kept connection, so that what else the machine
does falls on all: MLServer directly; the service, of a user whose model is at MLServer; and the service, of a
user whose model is in its own process, which tells what of it is the arm and what any request costs. CPU is
told of MLServer, service and client apart: who asks MLServer directly is its client, too.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from statistics import median

import click

from bench.server import cpu_seconds_of, free_address, server
from bench.steps import TOKEN, keep_flags
from common.names import Model
from common.terminal import Console
from drills.command import exit_codes, json_option, machine, write_figures
from service.settings import Settings
from stack.paths import REPOSITORY, Cache
from stack.venvs import ensure_venv

TRAIN = REPOSITORY / "tests" / "unit" / "service" / "remote" / "mlserver_model.py"
START = "from mlserver.cli.main import main; main()"
BLOCK = 50  # requests to one of them, before the next one's turn


@click.command()
@click.option("--requests", default=1000, show_default=True, help="Requests to each.")
@json_option
def main(requests: int, json_file: Path | None) -> None:
    """Ask an MLServer about one row, directly and through a service whose challenger it is.

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
    _tell(console, figures)
    write_figures(console.print, json_file, {"bench": "remote", "machine": machine(), **figures})


def _tell(console: Console, figures: dict[str, float]) -> None:
    def p50(name: str) -> float:
        return 1000 * figures[f"{name}_p50_seconds"]

    def cpu(name: str, *whose: str) -> float:
        return sum(figures[f"{name}_{each}_cpu_seconds"] for each in whose)

    servers, everybody = ("mlserver", "service"), ("mlserver", "service", "client")
    more = cpu("through", *servers) / cpu("direct", *servers) - 1
    of_all = cpu("through", *everybody) / cpu("direct", *everybody) - 1
    arm = cpu("through", "service") - cpu("here", "service")
    console.print(
        f"p50: MLServer directly {p50('direct'):.2f} ms, through the service "
        f"+{p50('through') - p50('direct'):.2f} ms; a model in the service {p50('here'):.2f} ms"
    )
    console.print(
        f"CPU of 1,000 requests: MLServer directly {cpu('direct', *servers):.2f} s, through the service "
        f"{more:+.0%} (MLServer {cpu('through', 'mlserver'):.2f} s, service "
        f"{cpu('through', 'service'):.2f} s); with the client's in both {of_all:+.0%}"
    )
    console.print(
        f"The remote arm itself, over a model in the service: {arm:+.2f} s, "
        f"{arm / cpu('direct', *servers):+.0%}"
    )


def _service(folder: Path, url: str) -> dict[str, str]:
    """The environment of a service that gives half of the users the challenger."""
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
    keep_flags(Settings.model_validate(values), canary=50, shadow=0)
    return {f"CANARIO_{name.upper()}": value for name, value in values.items()} | {"PATH": ""}


def _measured(direct: str, ours: str, mlserver: int, service: int, requests: int) -> dict[str, float]:
    example = json.loads((Cache.default().model(Model.CHAMPION) / "model.json").read_bytes())["features"]
    row = [each["example"] for each in example]
    tensor = {"name": "features", "shape": [1, len(row)], "datatype": "FP32", "data": row}
    outputs = [{"name": "predict"}, {"name": "predict_proba"}]
    asks = {"direct": _asker(direct, "/v2/models/fraud/infer", {"inputs": [tensor], "outputs": outputs})}
    for name, model in (("through", Model.CHALLENGER), ("here", Model.CHAMPION)):
        users = (_asker(ours, "/predict", {"user_id": f"u{at}", "features": row}) for at in range(100))
        asks[name] = next(each for each in users if json.loads(each())["model"] == model)
    processes = {"mlserver": mlserver, "service": service}
    seconds: dict[str, list[float]] = {name: [] for name in asks}
    cpu: defaultdict[tuple[str, str], float] = defaultdict(float)
    for turn in range(-1, requests // BLOCK):
        for name, ask in asks.items():
            before = {whose: cpu_seconds_of(pid) for whose, pid in processes.items()} | {
                "client": time.process_time()
            }
            took = [_timed(ask) for _ in range(BLOCK)]
            after = {"client": time.process_time()} | {
                whose: cpu_seconds_of(pid) for whose, pid in processes.items()
            }
            if turn >= 0:  # before, all get warm
                seconds[name] += took
                for whose, now in after.items():
                    cpu[name, whose] += now - before[whose]
    return {f"{name}_p50_seconds": median(took) for name, took in seconds.items()} | {
        f"{name}_{whose}_cpu_seconds": 1000 * spent / requests for (name, whose), spent in cpu.items()
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


if __name__ == "__main__":
    main()
