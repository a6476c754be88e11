"""`python -m bench.model_servers`: this service beside MLServer, BentoML, LitServe and `mlflow models serve`.

All serve one scikit-learn classifier (ours as the ONNX that its export makes), champion only, each in a venv
of its own, started as its own pages say. This service does more for each request: it validates features, asks
the flag, counts metrics and writes the prediction log.
"""

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Final

import click

from bench.server import BenchError, cpu_seconds_of, free_address, server
from bench.service import service
from common.names import Model
from common.terminal import Console
from drills.command import exit_codes, json_option, machine, table, write_figures
from drills.load import k6
from stack.paths import Cache
from stack.venvs import ensure_venv

HERE: Final = Path(__file__).parent
OURS: Final = "canario"
PEERS: Final = {
    "mlserver": ("/v2/models/fraud/infer", "/v2/health/ready"),
    "bentoml": ("/predict", "/readyz"),
    "litserve": ("/predict", "/health"),
    "mlflow-serve": ("/invocations", "/ping"),
}
GOAL: Final = 2.0


@dataclass(frozen=True)
class Served:
    """What one server did.

    Attributes:
        rate: answered requests a second at saturation.
        cpu_seconds: of all its processes, per 1,000 requests.
        p99: seconds.
    """

    rate: float
    cpu_seconds: float
    p99: float

    @property
    def per_core(self) -> float:
        """Requests for each second of CPU."""
        return 1000 / self.cpu_seconds


@click.command()
@click.option("--seconds", default=10, show_default=True, help="Length of each measurement.")
@click.option(
    "--rounds", default=3, show_default=True, help="Rounds over all servers; the median ratio counts."
)
@click.option("--users", default=16, show_default=True, help="Users at a time.")
@click.option("--workers", default=2, show_default=True, help="Processes that answer, of each server.")
@json_option
def main(seconds: int, rounds: int, users: int, workers: int, json_file: Path | None) -> None:
    """Other servers of models beside this one: requests for each second of CPU.

    Exit codes: 0 measured, whatever the figures; 3 it could not be measured.
    """
    console = Console(highlight=False)
    measured: dict[str, list[Served]] = {}
    with exit_codes("the benchmark could not be carried out"):
        for peer in PEERS:
            console.print(f"{peer}: its packages, into a venv of its own")
            ensure_venv(Cache.default(), peer)
        for at in range(1, rounds + 1):
            for name, start in _servers(workers):
                console.print(f"[{at}/{rounds}] {name}", markup=False)
                with start as (url, pid, body):
                    measured.setdefault(name, []).append(_measured(url, pid, body, seconds, users))
    ratios = {
        name: median(
            ours.per_core / theirs.per_core for ours, theirs in zip(measured[OURS], runs, strict=True)
        )
        for name, runs in measured.items()
        if name != OURS
    }
    rows = (
        (
            name,
            *(f"{median(each):.0f}" for each in ([one.rate for one in runs], [one.per_core for one in runs])),
            f"{1000 * median(one.p99 for one in runs):.1f}",
            f"{ratios[name]:.1f} x" if name in ratios else "",
        )
        for name, runs in measured.items()
    )
    columns = ("server", "req/s", "req per CPU second", "p99 ms", "canario does")
    console.print(table("One classifier, champion only; medians", columns, rows))
    least = min(ratios.values())
    console.print(
        f"The best of them: {least:.1f} x (goal: at least {GOAL:g}, {'ok' if least >= GOAL else 'MISSED'})"
    )
    figures = {name: [asdict(one) for one in runs] for name, runs in measured.items()}
    document = {"bench": "model-servers", "machine": machine(), "workers": workers, "ratios": ratios}
    write_figures(console.print, json_file, document | {"servers": figures})


Started = AbstractContextManager[tuple[str, int, object]]


def _servers(workers: int) -> Iterator[tuple[str, Started]]:
    yield OURS, _ours(workers)
    for name in PEERS:
        yield name, _peer(name, workers)


@contextmanager
def _ours(workers: int) -> Iterator[tuple[str, int, object]]:
    with service(challenger=None, workers=workers) as (_, url, pid):
        yield f"{url}/predict", pid, {"user_id": "user-1", "features": _row()}


@contextmanager
def _peer(name: str, workers: int) -> Iterator[tuple[str, int, object]]:
    (route, probe), url = PEERS[name], free_address()
    python = str(ensure_venv(Cache.default(), name))
    with tempfile.TemporaryDirectory(prefix=f"canario-{name}-") as folder:
        port = url.rpartition(":")[2]
        command = (python, str(HERE / "start.py"), name, f"{folder}/model", port, str(workers))
        variables = {"PATH": os.environ["PATH"], "HOME": folder, "TMPDIR": folder}
        with server(command, variables, url, probe) as pid:
            yield f"{url}{route}", pid, BODIES[name](_row())


def _measured(url: str, pid: int, body: object, seconds: int, users: int) -> Served:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(body, file)
        file.flush()
        settings = {"URL": url, "BODY": file.name, "USERS": str(users)}
        k6(HERE / "ask.js", settings, 2)
        before = cpu_seconds_of(pid)
        told = k6(HERE / "ask.js", settings, seconds)
        spent = cpu_seconds_of(pid) - before
    asked = int(told["http_reqs"]["values"]["count"])
    if "failed" in told:  # what a server refuses costs it next to nothing, and would look fast
        failed = int(told["failed"]["values"]["count"])
        raise BenchError(f"{failed} of {asked} requests to {url} were not answered with 200")
    return Served(
        rate=float(told["http_reqs"]["values"]["rate"]),
        cpu_seconds=1000 * spent / asked,
        p99=told["http_req_duration"]["values"]["p(99)"] / 1000,
    )


def _row() -> list[float]:
    features = json.loads((Cache.default().model(Model.CHAMPION) / "model.json").read_bytes())["features"]
    return [each["example"] for each in features]


def _tensor(row: list[float]) -> object:
    tensor = {"name": "features", "shape": [1, len(row)], "datatype": "FP64", "data": row}
    return {"inputs": [tensor], "outputs": [{"name": "predict_proba"}]}


BODIES: Final[dict[str, Callable[[list[float]], object]]] = {
    "mlserver": _tensor,
    "bentoml": lambda row: {"features": row},
    "litserve": lambda row: {"features": row},
    "mlflow-serve": lambda row: {"inputs": [row]},
}

if __name__ == "__main__":
    main(prog_name="python -m bench.model_servers")
