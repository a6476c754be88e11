"""Turns a fitted scikit-learn pipeline into an artifact folder, if ONNX Runtime gives its answers."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from sklearn.base import is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from common.config import dotted, plain
from common.model_store import METADATA_FILE, MODEL_FILE
from service.export.boosters import is_ranker
from service.export.convert import convert
from service.export.parity import PARITY_TOLERANCE, ask_estimator, check_parity, score_edges
from service.export.probes import probes
from service.export.ready import adapt, read_expected
from service.export.rows import Table, read_table
from service.export.splits import splits_of
from service.models.artifact import (
    Artifact,
    ArtifactError,
    Metadata,
    Tolerance,
    load_artifact,
)
from service.models.onnx_model import OnnxModel

log = logging.getLogger("canario.export")


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
    gaps: Sequence[str] = (),
    threshold: float | None = None,
    target_opset: int | None = None,
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
        gaps: features in which requests may have gaps, beside those in which `rows` have some; `all`.
        threshold: the second of two classes is chosen from this probability on, whatever `predict` says.
        target_opset: of ONNX; None: the one that all converters know.
        parity_tolerance: see service.export.parity.

    Raises:
        ArtifactError: something of this does not fit, or an answer differs.
    """
    classes = _classes(pipeline, class_names)
    table = read_table(rows, features, gaps)
    log.info("[1/2] %s becomes ONNX", type(pipeline).__name__)
    metadata = _metadata(name, version, table, classes, unit, tolerance, training)
    if threshold is not None and len(classes) != 2:
        raise ArtifactError("--threshold is of a classifier of two classes, and this is none")
    onnx = convert(pipeline, table, [each["label"] for each in classes], target_opset, threshold)
    metadata["sha256"] = hashlib.sha256(onnx).hexdigest()

    def check(model: OnnxModel) -> dict[str, float]:
        ask = ask_estimator(pipeline, model.metadata, threshold)
        return check_parity(ask, model, table, parity_tolerance, probes(table, onnx, splits_of(pipeline)))

    return _write_if_equal(folder, metadata, onnx, table, check)


def export_ready(  # noqa: PLR0913 - one call says all that model.json says
    file: Path,
    folder: Path,
    *,
    name: str,
    version: str,
    rows: Any,
    expected: Any,
    labels: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    unit: str | None = None,
    tolerance: Tolerance | None = None,
    gaps: Sequence[str] = (),
    output: str | None = None,
    threshold: float | None = None,
    parity_tolerance: float = PARITY_TOLERANCE,
) -> Artifact:
    """Write the ONNX model in `file` to `folder`, if it gives the answers that are `expected` on `rows`.

    Args:
        expected: a table with as many rows, see service.export.ready.read_expected; so for `labels`.
        output: the one that is meant, where the model has several.
        threshold: of the second of two classes, where it is not 0.5.

    The others are as of `export`.

    Raises:
        ArtifactError: something of this does not fit, or an answer differs.
    """
    table, answers = read_table(rows, None, gaps), read_expected(expected, labels)
    if len(table.values) != len(answers.truth.chosen):
        raise ArtifactError(
            f"there are {len(table.values)} rows and {len(answers.truth.chosen)} expected answers"
        )
    names = [str(label) for label in answers.labels] if class_names is None else class_names
    if len(names) != len(answers.labels):
        raise ArtifactError(
            f"{len(names)} classes are named, but the model has {len(answers.labels)}: {answers.labels}"
        )
    classes = [{"label": label, "name": called} for label, called in zip(answers.labels, names, strict=True)]
    metadata = _metadata(name, version, table, classes, unit, tolerance, {"from": file.name})
    onnx = adapt(file, table, answers, output=output, threshold=threshold)
    metadata["sha256"] = hashlib.sha256(onnx).hexdigest()
    return _write_if_equal(
        folder,
        metadata,
        onnx,
        table,
        lambda model: check_parity(lambda _: answers.truth, model, table, parity_tolerance),
    )


def _metadata(  # noqa: PLR0913, PLR0917 - it is private, and its callers are beside it
    name: str,
    version: str,
    table: Table,
    classes: list[dict[str, Any]],
    unit: str | None,
    tolerance: Tolerance | None,
    training: Mapping[str, Any] | None,
) -> dict[str, Any]:
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
    return metadata


def _classes(pipeline: Any, names: Sequence[str] | None) -> list[dict[str, Any]]:
    """Label and name of each class; empty for a regressor."""
    what = type(pipeline).__name__
    if not hasattr(pipeline, "predict"):
        raise ArtifactError(f"a fitted scikit-learn pipeline or estimator is needed, not a {what}")
    try:
        check_is_fitted(pipeline)
    except NotFittedError as error:
        raise ArtifactError(f"{what} is not fitted: call fit before the export") from error
    if is_regressor(pipeline) or is_ranker(getattr(pipeline, "steps", [("", pipeline)])[-1][1]):
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


def _write_if_equal(
    folder: Path,
    metadata: dict[str, Any],
    onnx: bytes,
    table: Table,
    check: Callable[[OnnxModel], dict[str, float]],
) -> Artifact:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / METADATA_FILE).unlink(missing_ok=True)  # until then the folder is no artifact
        (folder / MODEL_FILE).write_bytes(onnx)
        _write(folder, metadata)
        try:
            model = OnnxModel(load_artifact(folder))
            log.info("[2/2] model.onnx of %.1f MB is compared with the original", len(onnx) / 1e6)
            metadata["parity"] = check(model)
            metadata["scores"] = score_edges(model, table)
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
