"""Whether two models agree about a batch. Pure: arrays in, arrays out."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from service.models.artifact import Metadata, Question, Tolerance
from service.models.onnx_model import ROUNDING, Answer, InvalidAnswerError, Numbers, parts_of


class Compared(NamedTuple):
    """The challenger's answers to n rows beside the champion's; each field has shape (n,).

    Attributes:
        chosen: index of the class that the challenger chose; 0 for a regressor.
        said: probability of that class; the value of a regressor.
        valid: as service.models.onnx_model.interpret has it; if not, the others mean nothing.
        agree: whether both say the same; False where not valid.
        outputs: of several outputs each, the primary one first. `valid` and `agree` are then of all.
    """

    chosen: npt.NDArray[np.intp]
    said: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]
    agree: npt.NDArray[np.bool_]
    outputs: tuple["Compared", ...] = ()


def compare(numbers: Numbers, champion: Sequence[Answer], metadata: Metadata) -> Compared:
    """Compare a batch.

    Args:
        numbers: the challenger's answers, row after row, shape (n * metadata.row_width,).
        champion: what the champion said to the same rows, n answers.

    Raises:
        InvalidAnswerError: they are too many or too few.
    """
    if numbers.shape != (len(champion) * metadata.row_width,):
        raise InvalidAnswerError(
            f"{numbers.size} numbers instead of {metadata.row_width} for each of {len(champion)} rows"
        )
    table = numbers.reshape(len(champion), metadata.row_width)
    if not metadata.more:
        return _compare(table, champion, metadata)
    outputs = tuple(
        _compare(
            table[:, begin : begin + asked.width],
            champion if at == 0 else [each.more[at - 1] for each in champion],
            asked,
        )
        for at, (begin, asked) in enumerate(parts_of(metadata))
    )
    valid = np.logical_and.reduce([each.valid for each in outputs])
    agree = valid & np.logical_and.reduce([each.agree for each in outputs])
    return Compared(outputs[0].chosen, outputs[0].said, valid, agree, outputs)


def _compare(table: Numbers, champion: Sequence[Answer], asked: Question) -> Compared:
    """As `compare`, of one output; shape (n, width)."""
    return _classes(table, champion, asked) if asked.classes else _values(table[:, 0], champion, asked)


def _classes(table: Numbers, champion: Sequence[Answer], asked: Question) -> Compared:
    names = {each.name: at for at, each in enumerate(asked.classes)}
    theirs = np.fromiter((names[str(answer.class_name)] for answer in champion), np.intp, len(champion))
    index, probabilities = table[:, 0], table[:, 1:]
    is_class = (index >= 0.0) & (index < len(names)) & (index == np.floor(index))
    chosen = np.where(is_class, index, 0.0).astype(np.intp)
    said = np.clip(probabilities[np.arange(len(champion)), chosen], np.float32(0.0), np.float32(1.0))
    valid = is_class & ((probabilities >= -ROUNDING) & (probabilities <= 1.0 + ROUNDING)).all(axis=1)
    return Compared(chosen, said, valid, valid & (chosen == theirs))


def _values(values: Numbers, champion: Sequence[Answer], asked: Question) -> Compared:
    """Two values agree when they differ by the tolerance at most, which is that of the challenger."""
    theirs = np.fromiter((float(answer.label) for answer in champion), np.float64, len(champion))
    tolerance = asked.tolerance or Tolerance(absolute=0.0, relative=0.0)
    allowed = tolerance.absolute + tolerance.relative * np.abs(theirs)
    valid = np.isfinite(values)
    with np.errstate(invalid="ignore"):  # where not valid
        agree = valid & (np.abs(values - theirs) <= allowed)
    return Compared(np.zeros(len(champion), np.intp), values, valid, agree)
