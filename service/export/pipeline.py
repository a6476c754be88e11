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
from service.export.convert import convert, convert_several
from service.export.parity import PARITY_TOLERANCE, ask_estimator, check_parity, score_edges
from service.export.probes import probes
from service.export.ready import adapt, adapt_several, expected_of, read_expected
from service.export.rows import Table, read_table
from service.export.several import Outputs, name_outputs, values_of
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
    outputs: Sequence[str] | None = None,
    primary: str | None = None,
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
        pipeline: fitted classifier with `predict_proba`, or regressor; of one output or several.
        rows: held-out rows on which both must agree: a DataFrame or an array of shape (n, features).
        features: names, where `rows` has none.
        class_names: for people, in the order of `pipeline.classes_`; the labels if absent.
        outputs: names of several outputs, in the order of what it predicts.
        primary: the one of them by which a rollout is judged; the first without it.
        unit: of a regressor's value; of several outputs one for each, with commas between.
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
    if classes == [[]]:
        classes *= values_of(pipeline, table)
    several = name_outputs(len(classes), outputs, primary)
    if several:
        classes = [classes[column] for column in several.columns]
        if threshold is not None or class_names is not None:
            raise ArtifactError("--threshold and --classes are of a model of one output")
    log.info("[1/2] %s becomes ONNX", type(pipeline).__name__)
    metadata = _metadata(name, version, table, classes, several, unit, tolerance, training)
    if threshold is not None and len(classes[0]) != 2:
        raise ArtifactError("--threshold is of a classifier of two classes, and this is none")
    labels = [[each["label"] for each in of] for of in classes]
    if several:
        onnx = convert_several(pipeline, table, several, labels, target_opset)
    else:
        onnx = convert(pipeline, table, labels[0], target_opset, threshold)
    metadata["sha256"] = hashlib.sha256(onnx).hexdigest()

    def check(model: OnnxModel) -> dict[str, float]:
        ask = ask_estimator(pipeline, model.metadata, threshold, several.columns if several else (0,))
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
    outputs: Sequence[str] | None = None,
    primary: str | None = None,
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
    table = read_table(rows, None, gaps)
    several = name_outputs(len(outputs), outputs, primary) if outputs else None
    if several and any(each is not None for each in (labels, class_names, output, threshold)):
        raise ArtifactError("--labels, --classes, --output and --threshold are of a model of one output")
    answers = expected_of(expected, several.names) if several else [read_expected(expected, labels)]
    if len(table.values) != len(expected):
        raise ArtifactError(f"there are {len(table.values)} rows and {len(expected)} expected answers")
    classes = [_named(each.labels, class_names) for each in answers]
    metadata = _metadata(name, version, table, classes, several, unit, tolerance, {"from": file.name})
    if several:
        onnx = adapt_several(file, table, dict(zip(several.names, answers, strict=True)))
    else:
        onnx = adapt(file, table, answers[0], output=output, threshold=threshold)
    truth = answers[0].truth._replace(more=tuple(each.truth for each in answers[1:]))
    metadata["sha256"] = hashlib.sha256(onnx).hexdigest()
    return _write_if_equal(
        folder,
        metadata,
        onnx,
        table,
        lambda model: check_parity(lambda _: truth, model, table, parity_tolerance),
    )


def _metadata(  # noqa: PLR0913, PLR0917 - it is private, and its callers are beside it
    name: str,
    version: str,
    table: Table,
    classes: list[list[dict[str, Any]]],
    several: Outputs | None,
    unit: str | None,
    tolerance: Tolerance | None,
    training: Mapping[str, Any] | None,
) -> dict[str, Any]:
    units = [unit] if several is None else _units(unit, several)
    first, *more = (_question(*each, tolerance) for each in zip(classes, units, strict=True))
    named = several.names if several else []
    metadata = {
        "format": 2,
        "name": name,
        "version": version,
        **first,
        **({"output": named[0]} if several else {}),
        **(
            {"more": [{"name": of} | each for of, each in zip(named[1:], more, strict=True)]}
            if several
            else {}
        ),
        "features": [each.model_dump() for each in table.features],
        "sha256": "0" * 64,
        "training": dict(training or {}),
    }
    _validate(metadata)
    return metadata


def _question(classes: list[dict[str, Any]], unit: str | None, tolerance: Tolerance | None) -> dict[str, Any]:
    return {
        "task": "classification" if classes else "regression",
        **({"classes": classes} if classes else {"tolerance": (tolerance or Tolerance()).model_dump()}),
        **({"unit": unit} if unit else {}),
    }


def _units(unit: str | None, several: Outputs) -> list[str | None]:
    """The unit of each output, the primary one's first."""
    units = [each.strip() or None for each in unit.split(",")] if unit else [None] * len(several.names)
    if len(units) != len(several.names):
        raise ArtifactError(
            f"--unit names {len(units)} units for {len(several.names)} outputs: say one for each, with "
            "commas between, and nothing where there is none"
        )
    return [units[column] for column in several.columns]


def _classes(pipeline: Any, names: Sequence[str] | None) -> list[list[dict[str, Any]]]:
    """Label and name of each class, for each output; of a regressor one empty list."""
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
        return [[]]
    if not is_classifier(pipeline):
        raise ArtifactError(f"{what} is neither a classifier nor a regressor")
    if not hasattr(pipeline, "predict_proba"):
        raise ArtifactError(
            f"{what} gives no probabilities (it has no predict_proba); take another estimator, or wrap it in "
            "CalibratedClassifierCV"
        )
    if isinstance(pipeline.classes_, list):
        return [_named([_label(label) for label in each], None) for each in pipeline.classes_]
    return [_named([_label(label) for label in pipeline.classes_], names)]


def _named(labels: list[int | str], names: Sequence[str] | None) -> list[dict[str, Any]]:
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
