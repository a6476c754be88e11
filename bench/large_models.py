"""`python -m bench.large_models`: models that need a real machine, exported, started and asked.

What they cost: time and size of the export, time and memory of the challenger's process until it answers, and
the latency of a request in both arms.
"""

import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import numpy as np
import pandas as pd
import psutil
from flask import Flask
from onnx import TensorProto, helper, numpy_helper, save_model
from rich.table import Table
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier

from bench.models import bodies_of, served
from common.terminal import Console
from drills.command import json_option, machine, write_figures
from service.export import export, export_ready
from service.models.artifact import Artifact

FEATURES: Final = 200
TRAINED, BROUGHT, ASKED = 20_000, 500, 500
WAIT_SECONDS: Final = 180.0


class Large(NamedTuple):
    """What one model costs.

    Attributes:
        megabytes: of model.onnx.
        export_seconds: with its gate.
        start_seconds: of the app, until the challenger is warm.
        memory: MB of data of the challenger's process, the most that was seen.
        latency: ms, by arm: the median and p99 of a request in the app, without a network.
        fell_back: answers that the champion gave for the challenger.
    """

    name: str
    megabytes: float
    export_seconds: float
    start_seconds: float
    memory: float
    latency: dict[str, tuple[float, float]]
    fell_back: int


def measure(name: str, exported: Callable[[Path], Artifact], rows: pd.DataFrame, folder: Path) -> Large:
    """Export, start and ask one model."""
    begun = time.perf_counter()
    artifact = exported(folder / "model")
    export_seconds = time.perf_counter() - begun
    latency, start_seconds, memory, fell_back = {}, 0.0, 0.0, 0
    for arm, share in (("champion", 0), ("challenger", 100)):
        begun = time.perf_counter()
        with served(artifact, folder / arm, share) as app:
            start_seconds = _await_challenger(app, begun)
            memory = max(memory, _data_of_descendants())
            took, by = _ask(app, artifact, rows)
            memory = max(memory, _data_of_descendants())
        latency[arm] = (float(np.median(took)), float(np.quantile(took, 0.99)))
        fell_back += sum(each != arm for each in by)
    return Large(name, len(artifact.onnx) / 1e6, export_seconds, start_seconds, memory, latency, fell_back)


def _await_challenger(app: Flask, begun: float) -> float:
    client = app.test_client()
    while (told := client.get("/readyz").get_json()["challenger"]) != "runs":
        if time.perf_counter() - begun > WAIT_SECONDS:
            raise click.ClickException(f"the challenger is {told} after {WAIT_SECONDS:.0f} s")
        time.sleep(0.05)
    return time.perf_counter() - begun


def _ask(app: Flask, artifact: Artifact, rows: pd.DataFrame) -> tuple[list[float], list[str]]:
    """Milliseconds of each answer, and who gave it."""
    client, took, by = app.test_client(), [], []
    for at, features in enumerate(bodies_of(artifact, rows)):
        begun = time.perf_counter()
        answer = client.post("/predict", json={"user_id": f"u{at}", "features": features}).get_json()
        took.append(1000 * (time.perf_counter() - begun))
        by.append(answer["model"])
    return took, by


def _data_of_descendants() -> float:
    """MB of data, which is what the limit counts, of the largest process below this one."""
    found = [0]
    for child in psutil.Process().children(recursive=True):
        lines = Path(f"/proc/{child.pid}/status").read_text(encoding="utf-8").splitlines()
        found += [int(line.split()[1]) for line in lines if line.startswith("VmData")]
    return max(found) / 1000


def _rows() -> tuple[pd.DataFrame, Any]:
    rows, labels = make_classification(
        TRAINED + BROUGHT + ASKED, FEATURES, n_informative=40, flip_y=0.2, random_state=7
    )
    return pd.DataFrame(rows, columns=[f"x{at}" for at in range(FEATURES)]), labels


def _trees(model: Any) -> tuple[Callable[[Path], Artifact], pd.DataFrame]:
    rows, labels = _rows()
    model.fit(rows[:TRAINED], labels[:TRAINED])
    held_out = rows[TRAINED : TRAINED + BROUGHT]
    return lambda out: export(model, out, name="large", version="1", rows=held_out), rows[-ASKED:]


def _forest() -> tuple[Callable[[Path], Artifact], pd.DataFrame]:
    return _trees(RandomForestClassifier(400, n_jobs=2, random_state=7))


def _lightgbm() -> tuple[Callable[[Path], Artifact], pd.DataFrame]:
    from lightgbm import LGBMClassifier  # noqa: PLC0415 - only `make bench-models` has it

    return _trees(LGBMClassifier(n_estimators=500, num_leaves=63, n_jobs=2, verbose=-1))


def _transformer() -> tuple[Callable[[Path], Artifact], pd.DataFrame]:
    """An encoder of 4 layers over the features as 200 tokens of 64 numbers; its weights are drawn by lot."""
    import onnxruntime  # noqa: PLC0415

    rows = _rows()[0].astype(np.float32)

    def exported(out: Path) -> Artifact:
        out.parent.mkdir(parents=True, exist_ok=True)
        file = out.parent / "transformer.onnx"
        save_model(_encoder(layers=4, width=64), file)
        held_out = rows[TRAINED : TRAINED + BROUGHT]
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        said = session.run(None, {"input": held_out.to_numpy()})[0]
        expected = pd.DataFrame(said, columns=["0", "1"])
        return export_ready(file, out, name="large", version="1", rows=held_out, expected=expected)

    return exported, rows[-ASKED:]


def _encoder(layers: int, width: int) -> Any:
    random = np.random.default_rng(7)
    nodes: list[Any] = []
    tensors: list[Any] = []

    def weights(name: str, *shape: int) -> str:
        values = random.normal(0, shape[0] ** -0.5, shape).astype(np.float32)
        tensors.append(numpy_helper.from_array(values, name))
        return name

    def node(kind: str, name: str, *inputs: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    tensors += [
        numpy_helper.from_array(np.array([-1, FEATURES, 1], dtype=np.int64), "tokens"),
        numpy_helper.from_array(np.array([1], dtype=np.int64), "first"),
        numpy_helper.from_array(np.array(width**-0.5, dtype=np.float32), "scale"),
    ]
    at = node("MatMul", "x0", node("Reshape", "columns", "input", "tokens"), weights("embed", 1, width))
    at = node("Add", "embedded", at, weights("place", FEATURES, width))
    for layer in range(layers):
        query, key, value = (
            node("MatMul", f"{one}{layer}", at, weights(f"w{one}{layer}", width, width)) for one in "qkv"
        )
        turned = node("Transpose", f"t{layer}", key, perm=[0, 2, 1])
        scores = node("Mul", f"s{layer}", node("MatMul", f"qk{layer}", query, turned), "scale")
        seen = node("MatMul", f"seen{layer}", node("Softmax", f"soft{layer}", scores, axis=-1), value)
        at = node("Add", f"a{layer}", at, seen)
        inner = node(
            "Relu", f"r{layer}", node("MatMul", f"m{layer}", at, weights(f"up{layer}", width, 4 * width))
        )
        at = node(
            "Add",
            f"b{layer}",
            at,
            node("MatMul", f"d{layer}", inner, weights(f"down{layer}", 4 * width, width)),
        )
        ones = numpy_helper.from_array(np.ones(width, dtype=np.float32), f"one{layer}")
        tensors.append(ones)
        at = node("LayerNormalization", f"n{layer}", at, f"one{layer}", axis=-1)
    pooled = node("ReduceMean", "pooled", at, "first", keepdims=0)
    node("Softmax", "probabilities", node("MatMul", "logits", pooled, weights("head", width, 2)), axis=-1)
    number = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info("input", number, ["n", FEATURES])],
        [helper.make_tensor_value_info("probabilities", number, ["n", 2])],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


LARGE: Final = {
    "forest of 400 trees, 200 features": _forest,
    "LightGBM, 500 trees, 200 features": _lightgbm,
    "transformer, 4 layers over 200 tokens": _transformer,
}


def _measured(only: str | None) -> Iterator[Large]:
    for name, make in LARGE.items():
        if only and not name.startswith(only):
            continue
        with tempfile.TemporaryDirectory(prefix="canario-large-") as folder:
            exported, rows = make()
            yield measure(name, exported, rows, Path(folder))


@click.command()
@click.option("--only", help="Models whose name begins so.")
@json_option
def main(only: str | None, json_file: Path | None) -> None:
    """Export, start and ask models that need a real machine."""
    logging.disable(logging.CRITICAL)  # there is no Unleash, and it need not be said
    warnings.simplefilter("ignore")
    console = Console(width=160)
    table = Table(
        "model",
        "file, MB",
        "export, s",
        "start, s",
        "memory, MB",
        "champion, ms",
        "challenger, ms",
        "fell back",
    )
    measured = []
    for one in _measured(only):
        measured.append(one._asdict())
        latency = [f"{middle:.1f}, p99 {tail:.1f}" for middle, tail in one.latency.values()]
        numbers = (one.megabytes, one.export_seconds, one.start_seconds, one.memory)
        table.add_row(one.name, *(f"{each:.1f}" for each in numbers), *latency, str(one.fell_back))
    console.print(table)
    write_figures(
        console.print, json_file, {"bench": "large-models", "machine": machine(), "models": measured}
    )


if __name__ == "__main__":
    main()
