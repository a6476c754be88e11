"""Whether two models agree about a batch. Pure: arrays in, arrays out."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from service.models.artifact import Metadata, Tolerance
from service.models.onnx_model import ROUNDING, Answer, InvalidAnswerError, Numbers


class Compared(NamedTuple):
    """The challenger's answers to n rows beside the champion's; each field has shape (n,).

    Attributes:
        chosen: index of the class that the challenger chose; 0 for a regressor.
        said: probability of that class; the value of a regressor.
        valid: as service.models.onnx_model.interpret has it; if not, the others mean nothing.
        agree: whether both say the same; False where not valid.
    """

    chosen: npt.NDArray[np.intp]
    said: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]
    agree: npt.NDArray[np.bool_]


def compare(numbers: Numbers, champion: Sequence[Answer], metadata: Metadata) -> Compared:
    """Compare a batch.

    Args:
        numbers: the challenger's answers, row after row, shape (n * metadata.outputs,).
        champion: what the champion said to the same rows, n answers.

    Raises:
        InvalidAnswerError: they are too many or too few.
    """
    if numbers.shape != (len(champion) * metadata.outputs,):
        raise InvalidAnswerError(
            f"{numbers.size} numbers instead of {metadata.outputs} for each of {len(champion)} rows"
        )
    if not metadata.classes:
        return _values(numbers, champion, metadata)
    return _classes(numbers.reshape(len(champion), metadata.outputs), champion, metadata)


def _classes(table: Numbers, champion: Sequence[Answer], metadata: Metadata) -> Compared:
    names = {each.name: at for at, each in enumerate(metadata.classes)}
    theirs = np.fromiter((names[str(answer.class_name)] for answer in champion), np.intp, len(champion))
    index, probabilities = table[:, 0], table[:, 1:]
    is_class = (index >= 0.0) & (index < len(names)) & (index == np.floor(index))
    chosen = np.where(is_class, index, 0.0).astype(np.intp)
    said = np.clip(probabilities[np.arange(len(champion)), chosen], np.float32(0.0), np.float32(1.0))
    valid = is_class & ((probabilities >= -ROUNDING) & (probabilities <= 1.0 + ROUNDING)).all(axis=1)
    return Compared(chosen, said, valid, valid & (chosen == theirs))


def _values(values: Numbers, champion: Sequence[Answer], metadata: Metadata) -> Compared:
    """Two values agree when they differ by the tolerance at most, which is that of the challenger."""
    theirs = np.fromiter((float(answer.label) for answer in champion), np.float64, len(champion))
    tolerance = metadata.tolerance or Tolerance(absolute=0.0, relative=0.0)
    allowed = tolerance.absolute + tolerance.relative * np.abs(theirs)
    valid = np.isfinite(values)
    with np.errstate(invalid="ignore"):  # where not valid
        agree = valid & (np.abs(values - theirs) <= allowed)
    return Compared(np.zeros(len(champion), np.intp), values, valid, agree)
