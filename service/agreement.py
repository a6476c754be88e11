"""Whether two models agree about a batch. Pure: arrays in, arrays out."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from service.artifact import Metadata, Tolerance
from service.model import Answer, InvalidAnswerError


class Compared(NamedTuple):
    """The challenger's answers to n rows beside the champion's; each field has shape (n,).

    Attributes:
        chosen: index of the challenger's most probable class; 0 for a regressor.
        said: probability of that class; the value of a regressor.
        valid: whether that is a finite number, and of a class in [0, 1]; if not, the others mean nothing.
        agree: whether both say the same; False where not valid.
    """

    chosen: npt.NDArray[np.intp]
    said: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]
    agree: npt.NDArray[np.bool_]


def compare(outputs: npt.NDArray[np.float32], champion: Sequence[Answer], metadata: Metadata) -> Compared:
    """Compare a batch.

    Args:
        outputs: the challenger's, row after row, shape (n * metadata.outputs,).
        champion: what the champion said to the same rows, n answers.

    Raises:
        InvalidAnswerError: there is not one output for each row and class.
    """
    if outputs.shape != (len(champion) * metadata.outputs,):
        raise InvalidAnswerError(
            f"{outputs.size} numbers instead of {metadata.outputs} for each of {len(champion)} rows"
        )
    if not metadata.classes:
        return _values(outputs, champion, metadata)
    return _classes(outputs.reshape(len(champion), metadata.outputs), champion, metadata)


def _classes(table: npt.NDArray[np.float32], champion: Sequence[Answer], metadata: Metadata) -> Compared:
    index = {each.name: at for at, each in enumerate(metadata.classes)}
    theirs = np.fromiter((index[str(answer.class_name)] for answer in champion), np.intp, len(champion))
    chosen = table.argmax(axis=1)  # finds a NaN if there is one, as service.model.interpret does
    probability = table[np.arange(len(champion)), chosen]
    valid = (probability >= 0.0) & (probability <= 1.0 + 1e-5)
    return Compared(chosen, np.minimum(probability, np.float32(1.0)), valid, valid & (chosen == theirs))


def _values(values: npt.NDArray[np.float32], champion: Sequence[Answer], metadata: Metadata) -> Compared:
    """Two values agree when they differ by the tolerance at most, which is that of the challenger."""
    theirs = np.fromiter((float(answer.label) for answer in champion), np.float64, len(champion))
    tolerance = metadata.tolerance or Tolerance(absolute=0.0, relative=0.0)
    allowed = tolerance.absolute + tolerance.relative * np.abs(theirs)
    valid = np.isfinite(values)
    with np.errstate(invalid="ignore"):  # where not valid
        agree = valid & (np.abs(values - theirs) <= allowed)
    return Compared(np.zeros(len(champion), np.intp), values, valid, agree)
