"""Exports a model for the service.

./canario export train.py:model --name churn --version 1 --out models/churn
./canario export --onnx churn.onnx --rows rows.parquet --expected expected.parquet --name churn ...
./canario export --mlflow FOLDER --rows rows.parquet --name churn ...
"""

import logging
import sys
from pathlib import Path
from typing import NoReturn

import click

from common.errors import CanarioError
from common.options import start
from service.export import export, export_ready
from service.export.convert import TARGET_OPSET
from service.export.flavours import load_flavour
from service.export.parity import PARITY_TOLERANCE
from service.export.ready import read_rows
from service.export.rows import load_source
from service.models.artifact import ArtifactError, Tolerance

FILE = click.Path(dir_okay=False, path_type=Path)


def _split(_context: click.Context, _parameter: click.Parameter, text: str | None) -> list[str] | None:
    return None if text is None else [each.strip() for each in text.split(",")]


@click.command()
@click.argument("source", metavar="[MODULE:FUNCTION]", required=False)
@click.option(
    "--onnx", type=FILE, help="A ready ONNX file instead of MODULE:FUNCTION; needs --rows and --expected."
)
@click.option(
    "--mlflow",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder with MLmodel of the flavours sklearn, xgboost or lightgbm instead; needs --rows.",
)
@click.option(
    "--unpickle",
    is_flag=True,
    help="Of --mlflow: it may be a pickle, which is code that runs here. Only from people whom you trust.",
)
@click.option(
    "--rows", type=FILE, help="Of --onnx and --mlflow: rows as .parquet or .csv, a column for each feature."
)
@click.option(
    "--expected",
    type=FILE,
    help="Of --onnx: what it must answer to them, as .parquet or .csv. Of a classifier a column with the "
    "probability of each class, named by its label, and `prediction` where that is not the most probable "
    "one; of a regressor one column.",
)
@click.option(
    "--labels", callback=_split, help="Of --onnx: labels of the classes, where --expected has no names."
)
@click.option("--output", help="Of --onnx: the output that is meant, where it has several.")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    help="The second of two classes is chosen from this probability on.",
)
@click.option("--name", required=True, help="Name of the model: letters, digits, dots, dashes.")
@click.option("--version", required=True, help="Version of the model, e.g. 1 or 2026-11-23.")
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write model.onnx and model.json into.",
)
@click.option("--features", callback=_split, help="Names, comma-separated, where the rows are an array.")
@click.option("--classes", callback=_split, help="Names for people, in the order of the model's classes_.")
@click.option(
    "--gaps",
    callback=_split,
    help="Features in which a request may have null, comma-separated, or `all` (of numbers); those in which "
    "your rows have gaps may anyway.",
)
@click.option(
    "--outputs",
    callback=_split,
    help="Of a model of several outputs their names, comma-separated, in the order of its answers.",
)
@click.option("--primary", help="Of --outputs the one that a rollout is judged by; the first without it.")
@click.option(
    "--unit", help="Unit of a regressor's value, e.g. EUR; of several outputs one for each, with commas."
)
@click.option(
    "--agree-relative",
    type=click.FloatRange(0),
    default=0.05,
    show_default=True,
    help="Regressors agree when they differ by this share of the champion's value at most,",
)
@click.option(
    "--agree-absolute", type=click.FloatRange(0), default=0.0, show_default=True, help="plus this much."
)
@click.option(
    "--target-opset",
    type=click.IntRange(9),
    help=f"Version of ONNX's operators to convert to; {TARGET_OPSET} without it.",
)
@click.option(
    "--parity-tolerance",
    type=click.FloatRange(0, min_open=True),
    default=PARITY_TOLERANCE,
    show_default=True,
    help="Greatest difference between ONNX and the model itself.",
)
def main(  # noqa: PLR0913, PLR0917 - one parameter an option
    source: str | None,
    onnx: Path | None,
    mlflow: Path | None,
    unpickle: bool,
    rows: Path | None,
    expected: Path | None,
    labels: list[str] | None,
    output: str | None,
    threshold: float | None,
    name: str,
    version: str,
    out: Path,
    features: list[str] | None,
    classes: list[str] | None,
    gaps: list[str] | None,
    outputs: list[str] | None,
    primary: str | None,
    unit: str | None,
    agree_relative: float,
    agree_absolute: float,
    target_opset: int | None,
    parity_tolerance: float,
) -> None:
    """Export a model for the service.

    MODULE:FUNCTION, or path/to/file.py:FUNCTION, is a function of yours without arguments. It returns the
    fitted model (of scikit-learn, XGBoost, LightGBM or CatBoost) and held-out rows (a DataFrame, or an array
    with --features); the model is exported only if ONNX Runtime gives its answers on them. A model that is
    ONNX already comes by --onnx, with rows and the answers to them; one that MLflow has logged by --mlflow.

    \b
    Examples:
      ./canario export train.py:churn --name churn --version 1 --out models/champion
      ./canario export shop.prices:model --name price --version 7 --unit EUR --out models/price
      ./canario export --onnx churn.onnx --rows rows.csv --expected expected.csv \\
          --name churn --version 1 --out models/champion

    Exit codes: 0 written; 2 something does not fit; 1 your function raised, its traceback says what.
    """
    _show_progress()
    tolerance = Tolerance(relative=agree_relative, absolute=agree_absolute)
    try:
        if onnx is not None:
            if source is not None or rows is None or expected is None:
                raise ArtifactError("--onnx needs --rows and --expected, and no MODULE:FUNCTION")
            artifact = export_ready(
                onnx,
                out,
                name=name,
                version=version,
                rows=read_rows(rows),
                expected=read_rows(expected),
                labels=labels,
                class_names=classes,
                outputs=outputs,
                primary=primary,
                unit=unit,
                gaps=gaps or (),
                output=output,
                threshold=threshold,
                parity_tolerance=parity_tolerance,
                tolerance=tolerance,
            )
        elif mlflow is not None:
            if source is not None or rows is None:
                raise ArtifactError("--mlflow needs --rows, and no MODULE:FUNCTION")
            brought = load_flavour(mlflow, unpickle=unpickle), read_rows(rows)
        else:
            if source is None:
                raise ArtifactError("name a MODULE:FUNCTION, a ready file by --onnx, or a folder by --mlflow")
            bring = load_source(source)
    except CanarioError as error:
        _fail(error)
    if onnx is None:
        if mlflow is None:
            brought = bring()
        try:
            if not isinstance(brought, tuple) or len(brought) != 2:
                raise ArtifactError(
                    f"{source} must return (fitted pipeline, rows), not a {type(brought).__name__}"
                )
            artifact = export(
                brought[0],
                out,
                name=name,
                version=version,
                rows=brought[1],
                features=features,
                class_names=classes,
                outputs=outputs,
                primary=primary,
                unit=unit,
                gaps=gaps or (),
                threshold=threshold,
                target_opset=target_opset,
                parity_tolerance=parity_tolerance,
                tolerance=tolerance,
            )
        except CanarioError as error:
            _fail(error)
    about = artifact.metadata
    answers = ", ".join(
        f"{len(each.classes)} classes" if each.classes else "a value" for each in about.questions
    )
    parity = about.parity
    click.echo(
        f"{about.name} {about.version}: {len(about.features)} features, {answers}; differs from the model "
        f"by {parity['greatest_difference']:.1e} at most on {parity['rows']:.0f} rows -> {out}"
    )


def _show_progress() -> None:
    """On stderr: a forest of hundreds of trees takes minutes."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("canario.export").setLevel(logging.INFO)


def _fail(error: CanarioError) -> NoReturn:
    click.echo(f"error: {error}", err=True)
    sys.exit(2)


if __name__ == "__main__":
    start(main, "service.export")
