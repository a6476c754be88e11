"""The parity gate: does ONNX Runtime give scikit-learn's answers?"""

from typing import Any

import numpy as np
import numpy.typing as npt

from service.artifact import ArtifactError
from service.model import Answer, OnnxModel, array_of
from service.table import Table

PARITY_TOLERANCE = 1e-5

Numbers = npt.NDArray[np.float64]


def check_parity(
    pipeline: Any, model: OnnxModel, table: Table, tolerance: float = PARITY_TOLERANCE
) -> dict[str, float]:
    """Compare the answers of both on each row of `table`, and on rows with strings never seen.

    Args:
        tolerance: greatest difference of a probability; for a regressor relative to the value, plus as much
            relative to the average size of values.

    Returns:
        `rows`: how many were compared; `greatest_difference`: of a value, or of the answered class's
        probability; `tolerance`.

    Raises:
        ArtifactError: an answer differs by more, or one of the two has none.
    """
    values, expected = list(table.values), _ask(pipeline, table.original, model)
    if strangers := table.strangers():
        try:
            said = _ask(pipeline, table.like_original(strangers), model)
        except Exception as error:
            raise _at_a_loss("scikit-learn", error) from error
        values, expected = values + strangers, np.concatenate([expected, said])
    typical = float(np.abs(expected).mean())
    greatest = 0.0
    for at, (row, truth) in enumerate(zip(values, expected, strict=True)):
        try:
            answer = model.answer(array_of([row], model.metadata))
        except Exception as error:
            if at >= len(table.values):
                raise _at_a_loss("ONNX Runtime", error) from error
            raise ArtifactError(
                f"{model.metadata.name}: ONNX Runtime cannot answer row {at}: {error}"
            ) from error
        difference, allowed, agreed = _difference(answer, truth, model, tolerance, typical)
        if not agreed or difference > allowed:
            raise ArtifactError(
                f"{model.metadata.name}: row {at}: scikit-learn says {_told(truth, model)}, ONNX says "
                f"{_words(answer)}; the model is not exported. Where 32-bit floats are the cause (a tree "
                "near a threshold, large numbers), judge whether a greater --parity-tolerance is acceptable"
            )
        greatest = max(greatest, difference)
    return {"rows": len(values), "greatest_difference": greatest, "tolerance": tolerance}


def _ask(pipeline: Any, rows: Any, model: OnnxModel) -> Numbers:
    said = pipeline.predict_proba(rows) if model.metadata.classes else pipeline.predict(rows)
    return np.asarray(said, dtype=np.float64).reshape(len(rows), -1)


def _difference(
    answer: Answer, truth: Numbers, model: OnnxModel, tolerance: float, typical: float
) -> tuple[float, float, bool]:
    """The difference, what is allowed, and whether both mean the same class."""
    if answer.probability is None:
        value = float(truth[0])
        return abs(float(answer.label) - value), tolerance * (abs(value) + typical), True
    labels = [each.label for each in model.metadata.classes]
    chosen = float(truth[labels.index(answer.label)])  # type: ignore[arg-type] # a class, and so no float
    # Of two classes that are equally probable either may be the answer.
    return abs(answer.probability - chosen), tolerance, float(truth.max()) - chosen <= tolerance


def _told(truth: Numbers, model: OnnxModel) -> str:
    if not model.metadata.classes:
        return f"{truth[0]:.7g}"
    best = int(truth.argmax())
    return f"{model.metadata.classes[best].label} with {truth[best]:.7f}"


def _words(answer: Answer) -> str:
    if answer.probability is None:
        return f"{answer.label:.7g}"
    return f"{answer.label} with {answer.probability:.7f}"


def _at_a_loss(who: str, error: Exception) -> ArtifactError:
    return ArtifactError(
        f"{who} fails at a string that the training data did not have, and that a user will send: {error}. "
        "Let the encoder expect it: OneHotEncoder(handle_unknown='ignore'), or "
        "OrdinalEncoder(handle_unknown='use_encoded_value', unknown_value=-1)"
    )
