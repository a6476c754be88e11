"""Whether two models agree about a batch. Pure: arrays in, arrays out."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from service.model import InvalidAnswerError


class Compared(NamedTuple):
    """The challenger's answers to n rows beside the champion's; each field has shape (n,).

    Attributes:
        chosen: index of the challenger's most probable class.
        probability: of that class.
        valid: whether the probability is a finite number in [0, 1]; the other fields mean nothing if not.
        agree: whether both chose the same class; False where not valid.
    """

    chosen: npt.NDArray[np.intp]
    probability: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]
    agree: npt.NDArray[np.bool_]


def compare(probabilities: npt.NDArray[np.float32], champion: npt.NDArray[np.intp], classes: int) -> Compared:
    """Compare a batch.

    Args:
        probabilities: the challenger's, row after row, shape (n * classes,).
        champion: index of the class that the champion chose, shape (n,).

    Raises:
        InvalidAnswerError: there is not one probability for each row and class.
    """
    if probabilities.shape != (len(champion) * classes,):
        raise InvalidAnswerError(
            f"{probabilities.size} probabilities instead of {classes} for each of {len(champion)} rows"
        )
    table = probabilities.reshape(len(champion), classes)
    chosen = table.argmax(axis=1)  # finds a NaN if there is one, as service.model.interpret does
    probability = table[np.arange(len(champion)), chosen]
    valid = (probability >= 0.0) & (probability <= 1.0 + 1e-5)
    return Compared(chosen, np.minimum(probability, np.float32(1.0)), valid, valid & (chosen == champion))
