"""The parity gate: does ONNX Runtime give scikit-learn's answers? What is compared is what is served.

That is the class of `predict`, which need not be the most probable one, and the probabilities of
`predict_proba`.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from service.artifact import ArtifactError
from service.model import Answer, OnnxModel, array_of, interpret
from service.table import Table

PARITY_TOLERANCE = 1e-5


class Truth(NamedTuple):
    """What scikit-learn says about n rows.

    Attributes:
        chosen: indices of the classes, shape (n,); of a regressor 0.
        numbers: the probability of each class, shape (n, classes), or the value, shape (n, 1).
    """

    chosen: npt.NDArray[np.intp]
    numbers: npt.NDArray[np.float64]


def check_parity(
    pipeline: Any, model: OnnxModel, table: Table, tolerance: float = PARITY_TOLERANCE
) -> dict[str, float]:
    """Compare the answers of both on each row of `table`, and on rows with strings never seen.

    Args:
        tolerance: greatest difference of a probability; for a regressor relative to the value, plus as much
            relative to the average size of values.

    Returns:
        `rows`: how many were compared; `greatest_difference`: of a value, or of a class's probability;
        `tolerance`.

    Raises:
        ArtifactError: an answer differs by more, or one of the two has none.
    """
    values, truth = list(table.values), _ask(pipeline, table.original, model)
    if strangers := table.strangers():
        try:
            said = _ask(pipeline, table.like_original(strangers), model)
        except Exception as error:
            raise _at_a_loss("scikit-learn", error) from error
        values += strangers
        truth = Truth(*(np.concatenate(both) for both in zip(truth, said, strict=True)))
    typical = float(np.abs(truth.numbers).mean())
    greatest = 0.0
    for at, row in enumerate(values):
        try:
            numbers = model.numbers(array_of([row], model.metadata))[0]  # as the challenger
            answer = model.answer(array_of([row], model.metadata))  # as the champion
            is_one_answer = answer == interpret(numbers.tolist(), model.metadata)
        except Exception as error:
            if at >= len(table.values):
                raise _at_a_loss("ONNX Runtime", error) from error
            raise ArtifactError(
                f"{model.metadata.name}: ONNX Runtime cannot answer row {at}: {error}"
            ) from error
        chosen, expected = int(truth.chosen[at]), truth.numbers[at]
        if model.metadata.classes:
            difference, allowed = float(np.abs(numbers[1:] - expected).max()), tolerance
            # Of two classes that are equally probable either may be the answer.
            agreed = bool(abs(expected[int(numbers[0])] - expected[chosen]) <= tolerance)
        else:
            value = float(expected[0])
            difference, allowed = abs(float(numbers[0]) - value), tolerance * (abs(value) + typical)
            agreed = True
        if not (is_one_answer and agreed and difference <= allowed):
            raise ArtifactError(
                f"{model.metadata.name}: row {at}: scikit-learn says {_told(chosen, expected, model)}, "
                f"ONNX says {_words(answer)}; the model is not exported. Where 32-bit floats are the cause "
                "(a tree near a threshold, large numbers), judge whether a greater --parity-tolerance is "
                "acceptable"
            )
        greatest = max(greatest, difference)
    return {"rows": len(values), "greatest_difference": greatest, "tolerance": tolerance}


def _ask(pipeline: Any, rows: Any, model: OnnxModel) -> Truth:
    said = pipeline.predict(rows)
    if not model.metadata.classes:
        numbers = np.asarray(said, dtype=np.float64).reshape(len(rows), -1)
        return Truth(np.zeros(len(rows), np.intp), numbers)
    index = {label: at for at, label in enumerate(pipeline.classes_.tolist())}
    chosen = np.array([index[label] for label in said.tolist()], np.intp)
    return Truth(chosen, np.asarray(pipeline.predict_proba(rows), dtype=np.float64))


def _told(chosen: int, expected: npt.NDArray[np.float64], model: OnnxModel) -> str:
    if not model.metadata.classes:
        return f"{expected[0]:.7g}"
    return f"{model.metadata.classes[chosen].label} with {expected[chosen]:.7f}"


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
