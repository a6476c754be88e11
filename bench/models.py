"""`python -m bench.models`: fourteen models of the usual kinds, exported, served and compared.

Each is trained, exported through the gate, served as champion and as challenger by the service's own app, and
asked for rows that it has not seen; its answers are compared with those of the model in Python.
"""

import logging
import re
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import numpy as np
import pandas as pd
from flask import Flask
from rich.table import Table

from bench.model_zoo import ZOO, Brought, as_onnx
from bench.steps import NOBODY, TOKEN, keep_flags
from common.errors import CanarioError
from common.terminal import Console
from service.export import export, export_ready
from service.models.artifact import Artifact
from service.settings import Settings

ASKED: Final = 200
PAGE: Final = Path(__file__).parents[1] / "docs/models.md"
BEGIN, END = "<!-- python -m bench.models --write -->\n", "<!-- end -->\n"
COLUMNS: Final = (
    "model",
    "rows of the gate",
    "greatest difference",
    "export, s",
    "file, kB",
    "answers as in Python",
    "champion, µs",
    "challenger, µs",
)


class Measured(NamedTuple):
    """What came of one model.

    Attributes:
        rows: that the gate compared.
        difference: the greatest of a probability, or of a value.
        seconds: of the export with its gate.
        kilobytes: of model.onnx.
        right: answers over HTTP that are the model's, of `asked`; both as champion and as challenger.
        champion, challenger: median microseconds of a request in the app, without a network.
    """

    name: str
    rows: int
    difference: float
    seconds: float
    kilobytes: int
    right: int
    asked: int
    champion: float
    challenger: float

    def cells(self) -> tuple[str, ...]:
        """For a table."""
        return (
            self.name,
            f"{self.rows:,}",
            f"{self.difference:.0e}",
            f"{self.seconds:.1f}",
            f"{self.kilobytes:,}",
            f"{self.right:,} of {self.asked:,}",
            f"{self.champion:.0f}",
            f"{self.challenger:.0f}",
        )


def measure(name: str, brought: Brought, folder: Path) -> Measured:
    """Export, serve and compare one model. Raises CanarioError where it cannot be exported."""
    begun = time.perf_counter()
    artifact = _exported(name, brought, folder / "model")
    seconds = time.perf_counter() - begun
    right, asked, medians = 0, 0, []
    for share in (0, 100):
        answers = list(_served(artifact, brought, folder / str(share), share))
        right += sum(is_right for is_right, _ in answers)
        asked += len(answers)
        medians.append(float(np.median([took for _, took in answers])) * 1e6)
    return Measured(
        name,
        int(artifact.metadata.parity["rows"]),
        artifact.metadata.parity["greatest_difference"],
        seconds,
        len(artifact.onnx) // 1000,
        right,
        asked,
        *medians,
    )


def _exported(name: str, brought: Brought, folder: Path) -> Artifact:
    short = re.sub(r"[^A-Za-z0-9]+", "-", name.partition(",")[0])
    if brought.is_ready:
        file, expected = as_onnx(brought, folder)
        return export_ready(file, folder, name=short, version="1", rows=brought.held_out, expected=expected)
    return export(brought.model, folder, name=short, version="1", rows=brought.held_out)


def _served(artifact: Artifact, brought: Brought, folder: Path, share: int) -> Iterator[tuple[bool, float]]:
    """Whether each answer is the model's, and the seconds that it took."""
    with served(artifact, folder, share) as app:
        client = app.test_client()
        rows = brought.unseen.head(ASKED)
        wanted = brought.answers(rows)
        for at, features in enumerate(bodies_of(artifact, rows)):
            begun = time.perf_counter()
            response = client.post("/predict", json={"user_id": f"u{at}", "features": features})
            took = time.perf_counter() - begun
            yield _is_right(response.get_json(), *wanted[at], share), took


def bodies_of(artifact: Artifact, rows: pd.DataFrame) -> Iterator[dict[str, object]]:
    """The features of each row, as a client sends them."""
    for values in rows.astype(object).to_numpy().tolist():
        named = zip(artifact.metadata.names, values, strict=True)
        yield {name: None if pd.isna(value) else value for name, value in named}


@contextmanager
def served(artifact: Artifact, folder: Path, share: int) -> Iterator[Flask]:
    """The service's app with the model in both arms; `share` percent of the users get the challenger."""
    from service.app import close, create_app  # noqa: PLC0415 - prometheus_client looks at the environment

    settings = Settings.model_validate(
        {
            "champion": artifact.folder,
            "challenger": artifact.folder,
            "unleash_url": NOBODY,
            "unleash_sdk_token": TOKEN,
            "state_dir": folder,
            "log_predictions": False,
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    keep_flags(settings, canary=share, shadow=0)
    app = create_app(settings)
    try:
        yield app
    finally:
        close(app)


def _is_right(answer: dict[str, Any], label: Any, number: float, share: int) -> bool:
    """A class and its probability, or a value; by whom it was to come."""
    if answer.get("model") != ("challenger" if share else "champion"):
        return False
    if answer["class_name"] is None:
        return bool(abs(answer["prediction"] - number) <= 1e-4 * max(1.0, abs(number)))
    return bool(answer["prediction"] == label and abs(answer["probability"] - number) <= 1e-4)


def _page(measured: list[Measured]) -> None:
    head = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}\n"
    body = "".join(f"| {' | '.join(each.cells())} |\n" for each in measured)
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n{head}{body}\n{END}{after}", encoding="utf-8")


@click.command()
@click.option("--only", help="Models whose name begins so.")
@click.option("--write", is_flag=True, help="Write the table into docs/models.md.")
def main(only: str | None, write: bool) -> None:
    """Export, serve and compare the models that people bring. Exit code 1: one is not as in Python."""
    logging.disable(logging.CRITICAL)  # there is no Unleash, and it need not be said
    warnings.simplefilter("ignore")
    table = Table(*COLUMNS)
    measured, failed = [], False
    for name, make in ZOO.items():
        if only and not name.startswith(only):
            continue
        with tempfile.TemporaryDirectory(prefix="canario-models-") as folder:
            try:
                one = measure(name, make(), Path(folder))
            except CanarioError as error:
                failed = True
                table.add_row(name, f"not exported: {error}")
                continue
        failed |= one.right < one.asked
        measured.append(one)
        table.add_row(*one.cells())
    Console(width=160).print(table)
    if write and not failed:
        _page(measured)
    raise SystemExit(int(failed))


if __name__ == "__main__":
    main()
