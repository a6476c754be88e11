"""Turns a fitted scikit-learn pipeline into an artifact folder, behind a parity gate.

python -m service.export train.py:model --name churn --version 1 --out models/churn
"""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click
import numpy as np
from pydantic import ValidationError
from sklearn.base import is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from common.config import dotted, plain
from common.errors import CanarioError
from common.terminal import guard_terminal
from service.artifact import (
    METADATA_FILE,
    MODEL_FILE,
    Artifact,
    ArtifactError,
    Metadata,
    Tolerance,
    load_artifact,
)
from service.model import OnnxModel
from service.onnx_graph import convert
from service.parity import PARITY_TOLERANCE, check_parity
from service.source import load_source
from service.table import read_table


def export(  # noqa: PLR0913 - one call says all that model.json says
    pipeline: Any,
    folder: Path,
    *,
    name: str,
    version: str,
    rows: Any,
    features: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    unit: str | None = None,
    tolerance: Tolerance | None = None,
    training: Mapping[str, Any] | None = None,
    parity_tolerance: float = PARITY_TOLERANCE,
) -> Artifact:
    """Write `pipeline` to `folder` as ONNX, if ONNX Runtime gives scikit-learn's answers on `rows`.

    Args:
        pipeline: fitted classifier with `predict_proba`, or regressor with one value.
        rows: held-out rows on which both must agree: a DataFrame or an array of shape (n, features).
        features: names, where `rows` has none.
        class_names: for people, in the order of `pipeline.classes_`; the labels if absent.
        unit: of a regressor's value.
        tolerance: when two regressors agree.
        training: what to tell about the training, e.g. data set, seed and accuracy.
        parity_tolerance: see service.parity.

    Raises:
        ArtifactError: something of this does not fit, or an answer differs.
    """
    classes = _classes(pipeline, class_names)
    table = read_table(rows, features)
    metadata = {
        "format": 2,
        "name": name,
        "version": version,
        "task": "classification" if classes else "regression",
        "features": [each.model_dump() for each in table.features],
        **({"classes": classes} if classes else {"tolerance": (tolerance or Tolerance()).model_dump()}),
        **({"unit": unit} if unit else {}),
        "sha256": "0" * 64,
        "training": dict(training or {}),
    }
    _validate(metadata)
    onnx = convert(pipeline, table, [each["label"] for each in classes])
    metadata["sha256"] = hashlib.sha256(onnx).hexdigest()
    return _write_behind_gate(
        folder, metadata, onnx, lambda model: check_parity(pipeline, model, table, parity_tolerance)
    )


def _classes(pipeline: Any, names: Sequence[str] | None) -> list[dict[str, Any]]:
    """Label and name of each class; empty for a regressor."""
    what = type(pipeline).__name__
    if not hasattr(pipeline, "predict"):
        raise ArtifactError(f"a fitted scikit-learn pipeline or estimator is needed, not a {what}")
    try:
        check_is_fitted(pipeline)
    except NotFittedError as error:
        raise ArtifactError(f"{what} is not fitted: call fit before the export") from error
    if is_regressor(pipeline):
        if names is not None:
            raise ArtifactError(f"{what} is a regressor: it has no classes to name")
        return []
    if not is_classifier(pipeline):
        raise ArtifactError(f"{what} is neither a classifier nor a regressor")
    if not hasattr(pipeline, "predict_proba"):
        raise ArtifactError(
            f"{what} gives no probabilities (it has no predict_proba); take another estimator, or wrap it in "
            "CalibratedClassifierCV"
        )
    if isinstance(pipeline.classes_, list):
        raise ArtifactError(f"{what} answers several questions at once; export a model for each")
    labels = [_label(label) for label in pipeline.classes_]
    names = [str(label) for label in labels] if names is None else names
    if len(names) != len(labels):
        raise ArtifactError(f"{len(names)} classes are named, but the model has {len(labels)}: {labels}")
    return [{"label": label, "name": str(called)} for label, called in zip(labels, names, strict=True)]


def _label(label: Any) -> int | str:
    plain_label = label.item() if isinstance(label, np.generic) else label
    if isinstance(plain_label, str):
        return plain_label
    if isinstance(plain_label, int | float) and plain_label == int(plain_label):
        return int(plain_label)
    raise ArtifactError(f"the class {plain_label!r} is neither a string nor a whole number")


def _validate(metadata: dict[str, Any]) -> None:
    try:
        Metadata.model_validate(metadata)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        raise ArtifactError(
            "; ".join(f"{dotted(each['loc'])}: {plain(each['msg'])}" for each in faults)
        ) from error


def _write_behind_gate(
    folder: Path, metadata: dict[str, Any], onnx: bytes, gate: Callable[[OnnxModel], dict[str, float]]
) -> Artifact:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / METADATA_FILE).unlink(missing_ok=True)  # until the gate is passed the folder is no artifact
        (folder / MODEL_FILE).write_bytes(onnx)
        _write(folder, metadata)
        try:
            metadata["parity"] = gate(OnnxModel(load_artifact(folder)))
        except BaseException:
            (folder / METADATA_FILE).unlink()
            raise
        _write(folder, metadata)
    except OSError as error:
        raise ArtifactError(f"{folder}: cannot be written: {error.strerror}") from error
    return load_artifact(folder)


def _write(folder: Path, metadata: dict[str, Any]) -> None:
    text = json.dumps(metadata, indent=2, ensure_ascii=False)
    (folder / METADATA_FILE).write_text(text + "\n", encoding="utf-8")


def _split(_context: click.Context, _parameter: click.Parameter, text: str | None) -> list[str] | None:
    return None if text is None else [each.strip() for each in text.split(",")]


@click.command()
@click.argument("source", metavar="MODULE:FUNCTION")
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
@click.option("--unit", help="Unit of a regressor's value, e.g. EUR.")
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
    "--parity-tolerance",
    type=click.FloatRange(0, min_open=True),
    default=PARITY_TOLERANCE,
    show_default=True,
    help="Greatest difference between ONNX and scikit-learn.",
)
def main(  # noqa: PLR0913, PLR0917 - one parameter an option
    source: str,
    name: str,
    version: str,
    out: Path,
    features: list[str] | None,
    classes: list[str] | None,
    unit: str | None,
    agree_relative: float,
    agree_absolute: float,
    parity_tolerance: float,
) -> None:
    """Export a scikit-learn model for the service.

    MODULE:FUNCTION, or path/to/file.py:FUNCTION, is a function of yours without arguments. It returns the
    fitted pipeline and held-out rows (a DataFrame, or an array with --features); the model is exported only
    if ONNX Runtime gives scikit-learn's answers on them.

    \b
    Examples:
      python -m service.export train.py:churn --name churn --version 1 --out models/champion
      python -m service.export shop.prices:model --name price --version 7 --unit EUR --out models/price

    Exit codes: 0 written; 2 something does not fit; 1 your function raised, its traceback says what.
    """
    try:
        bring = load_source(source)
    except ArtifactError as error:
        _fail(error)
    brought = bring()
    try:
        if not isinstance(brought, tuple) or len(brought) != 2:
            raise ArtifactError(
                f"{source} must return (fitted pipeline, rows), not a {type(brought).__name__}"
            )
        pipeline, rows = brought
        artifact = export(
            pipeline,
            out,
            name=name,
            version=version,
            rows=rows,
            features=features,
            class_names=classes,
            unit=unit,
            parity_tolerance=parity_tolerance,
            tolerance=Tolerance(relative=agree_relative, absolute=agree_absolute),
        )
    except CanarioError as error:
        _fail(error)
    about = artifact.metadata
    answers = f"{len(about.classes)} classes" if about.classes else "a value"
    parity = about.parity
    click.echo(
        f"{about.name} {about.version}: {len(about.features)} features, {answers}; differs from scikit-learn "
        f"by {parity['greatest_difference']:.1e} at most on {parity['rows']:.0f} rows -> {out}"
    )


def _fail(error: CanarioError) -> NoReturn:
    click.echo(f"error: {error}", err=True)
    sys.exit(2)


if __name__ == "__main__":
    guard_terminal()
    main()
