"""Turns a fitted scikit-learn classifier into an artifact folder, behind a parity gate."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from skl2onnx import to_onnx
from sklearn.pipeline import Pipeline

from service.artifact import METADATA_FILE, MODEL_FILE, Artifact, ArtifactError, load_artifact
from service.model import OnnxModel

PARITY_TOLERANCE = 1e-5  # greatest difference of a probability between scikit-learn and ONNX


def export(  # noqa: PLR0913 - one call says all that model.json says
    pipeline: Pipeline,
    folder: Path,
    *,
    name: str,
    version: str,
    features: Sequence[str],
    class_names: Sequence[str],
    rows: npt.NDArray[np.float64],
    training: dict[str, Any],
) -> Artifact:
    """Write `pipeline` to `folder` as ONNX, if ONNX Runtime gives scikit-learn's answers on `rows`.

    Args:
        pipeline: fitted; its last step has `predict_proba`.
        rows: held-out data of shape (n, features) on which both must agree.
        training: what to tell about the training, e.g. data set, seed and accuracy.

    Raises:
        ArtifactError: an answer differs in its class, or in its probability by more than PARITY_TOLERANCE.
    """
    options = {id(pipeline): {"zipmap": False}}
    onnx = to_onnx(pipeline, rows[:1].astype(np.float32), options=options).SerializeToString()
    labels = [label.item() if isinstance(label, np.generic) else label for label in pipeline.classes_]
    metadata = {
        "format": 1,
        "name": name,
        "version": version,
        "features": list(features),
        "classes": [
            {"label": label, "name": str(called)} for label, called in zip(labels, class_names, strict=True)
        ],
        "sha256": hashlib.sha256(onnx).hexdigest(),
        "training": training,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / METADATA_FILE).unlink(missing_ok=True)  # until the gate is passed the folder is no artifact
    (folder / MODEL_FILE).write_bytes(onnx)
    _write(folder, metadata)
    try:
        metadata["parity"] = check_parity(pipeline, OnnxModel(load_artifact(folder)), rows)
    except ArtifactError:
        (folder / METADATA_FILE).unlink()
        raise
    _write(folder, metadata)
    return load_artifact(folder)


def check_parity(pipeline: Pipeline, model: OnnxModel, rows: npt.NDArray[np.float64]) -> dict[str, float]:
    """Compare the answers of both on each of `rows`.

    Returns:
        `rows`: how many were compared; `greatest_difference`: of the probability of the answered class.

    Raises:
        ArtifactError: see `export`.
    """
    expected = pipeline.predict_proba(rows)
    greatest = 0.0
    for row, probabilities in zip(rows, expected, strict=True):
        answer = model.answer(row[np.newaxis].astype(np.float32))
        best = int(probabilities.argmax())
        label = model.metadata.classes[best].label
        difference = abs(answer.probability - float(probabilities[best]))
        if answer.label != label or difference > PARITY_TOLERANCE:
            raise ArtifactError(
                f"{model.metadata.name}: scikit-learn says {label} with {probabilities[best]:.7f}, ONNX says "
                f"{answer.label} with {answer.probability:.7f}; the model is not exported"
            )
        greatest = max(greatest, difference)
    return {"rows": len(rows), "greatest_difference": greatest}


def _write(folder: Path, metadata: dict[str, Any]) -> None:
    (folder / METADATA_FILE).write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
