"""Runs a verified artifact in ONNX Runtime: the one door to it."""

import math
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

# Since 1.32 ONNX Runtime reports its use to its vendor unless told otherwise before it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort

from common.errors import CanarioError
from service.models.artifact import Artifact, ArtifactError, Feature, FeatureType, Metadata, Question

NOWHERE = "/dev/null"  # no folder, so that no file can lie in it

# Shape (rows, features). Objects, that is float and str, for a model with string features, floats otherwise.
# A gap is None among objects, NaN among floats.
Row = npt.NDArray[np.float32] | npt.NDArray[np.object_]

# What a model answers a row with, `metadata.row_width` 32-bit floats: the index of the class that it chose,
# and the probability of each class in the order of its metadata; of a regressor its value; of several outputs
# one after the other. So it travels, too.
Numbers = npt.NDArray[np.float32]
NO_CLASS = -1.0  # in the place of an index: the model chose none of its classes
ROUNDING = 1e-5  # that a sure class may be above 1, and the others below 0


class InvalidAnswerError(CanarioError):
    """The model ran, but what it said is no class with a probability for each, or no finite value."""


class NoAnswerError(CanarioError):
    """A champion that runs elsewhere does not answer; `reason` is one of CHALLENGER_FAILURES."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Answer(NamedTuple):
    """What a model says about one row: the class that it chose, or the value of a regressor.

    Attributes:
        probability: of that class, 0 to 1.
        probabilities: of each class, 0 to 1 but for what rounding does.
        more: of a model of several outputs, the answers behind the primary one.
    """

    label: int | str | float
    class_name: str | None = None
    probability: float | None = None
    probabilities: list[float] | None = None
    more: tuple["Answer", ...] = ()

    @property
    def score(self) -> float | None:
        """A value, or the probability of the second of two classes, else of the chosen one; None: untold."""
        if self.class_name is None:
            return float(self.label)
        of_each = self.probabilities or ()
        return of_each[1] if len(of_each) == 2 else self.probability

    def by_name(self, metadata: Metadata) -> dict[str, dict[str, Any]]:
        """Of several outputs, what is told of each."""
        return {
            name: {
                "prediction": each.label,
                "class_name": each.class_name,
                "probability": each.probability,
            }
            for name, each in zip(metadata.output_names, (self, *self.more), strict=True)
        }


def interpret(numbers: list[float], metadata: Metadata) -> Answer:
    """The class that the model chose, and the probability that it gives it; or the value of a regressor.

    That class need not be the most probable one: models have thresholds of their own.

    Args:
        numbers: the answer to one row, as Numbers has it.

    Raises:
        InvalidAnswerError: they are too many or too few; the index is none; a probability is not in [0, 1];
            or the value is not finite.
    """
    if len(numbers) != metadata.row_width:
        raise InvalidAnswerError(
            f"{metadata.name} answered a row with {len(numbers)} numbers instead of {metadata.row_width}"
            f"{' (its class and the probability of each)' if metadata.classes and not metadata.more else ''}"
        )
    if not metadata.more:
        return _answer(numbers, metadata, metadata.name)
    first, *more = (
        _answer(numbers[begin : begin + asked.width], asked, metadata.name)
        for begin, asked in parts_of(metadata)
    )
    return first._replace(more=tuple(more))


def parts_of(metadata: Metadata) -> list[tuple[int, Question]]:
    """Of each output, where its numbers begin among those of a row."""
    found, begin = [], 0
    for asked in metadata.questions:
        found.append((begin, asked))
        begin += asked.width
    return found


def _answer(numbers: list[float], asked: Question, name: str) -> Answer:
    """As `interpret`, of one output."""
    if not asked.classes:
        (value,) = numbers
        if not math.isfinite(value):
            raise InvalidAnswerError(f"{name} answered with the value {value}")
        return Answer(value)
    index, *probabilities = numbers
    for each in probabilities:
        if not -ROUNDING <= each <= 1.0 + ROUNDING:
            raise InvalidAnswerError(f"{name} answered with the probability {each}")
    if not (0.0 <= index < len(probabilities) and index.is_integer()):
        raise InvalidAnswerError(f"{name} chose a class that it does not have")
    chosen = asked.classes[int(index)]
    sure = min(max(probabilities[int(index)], 0.0), 1.0)
    return Answer(chosen.label, chosen.name, sure, probabilities)


def _session(onnx: bytes) -> Any:
    options = ort.SessionOptions()
    # One row is microseconds of work: a pool of threads would cost more than it brings, and the
    # web server's threads run in parallel anyway.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Its other format has ways of its own to name a file; and where external data might be looked for,
    # nothing can be. Models that have any are refused before.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", NOWHERE)
    return ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])


def outputs_of(onnx: bytes, rows: Row, features: list[Feature]) -> list[Any]:
    """All outputs of a model that may be of any form, for `rows`. Raises whatever ONNX Runtime raises."""
    session = _session(onnx)
    inputs = session.get_inputs()
    if len(inputs) == 1 and inputs[0].shape[-1] == len(features):
        return list(session.run(None, {inputs[0].name: rows}))
    feed = {each.name: _column(rows, at, each) for at, each in enumerate(features)}
    return list(session.run(None, feed))


def interpret_rows(numbers: Numbers, rows: int, metadata: Metadata) -> list[Answer]:
    """The answers to so many rows.

    Args:
        numbers: the answers row after row, shape (rows * row_width,).

    Raises:
        InvalidAnswerError: see `interpret`.
    """
    said = numbers.tolist()
    each = metadata.row_width
    if rows == 1:
        return [interpret(said, metadata)]
    if len(said) != rows * each:
        raise InvalidAnswerError(
            f"{metadata.name} answered {rows} rows with {len(said)} numbers instead of {rows * each}"
        )
    return [interpret(said[at : at + each], metadata) for at in range(0, len(said), each)]


def array_of(rows: list[list[Any]], metadata: Metadata) -> Row:
    """Values in the order of the features, as the model of `metadata` takes them; None is a gap."""
    if metadata.has_strings:
        return np.array(rows, dtype=np.object_)
    return np.array(rows, dtype=np.float32)


class OnnxModel:
    """A model that answers one row at a time; safe to call from several threads.

    It takes all features in one tensor, shape (rows, features), where they have one type; or a tensor for
    each feature, by its name, shape (rows, 1). Numbers are 32-bit floats.

    Raises:
        ArtifactError: when made from an artifact that ONNX Runtime cannot load or whose inputs and outputs
            do not fit its metadata.
    """

    def __init__(self, artifact: Artifact) -> None:
        self.metadata: Metadata = artifact.metadata
        self._where = artifact.folder
        try:
            self._session = _session(artifact.onnx)
        except Exception as error:  # ONNX Runtime has no public base class for its errors
            raise ArtifactError(f"{self._where}: ONNX Runtime cannot load the model: {error}") from error
        self._feed = self._check_inputs()
        self._tensors = self._check_outputs()
        self._outputs = [name for tensors in self._tensors for name in tensors]
        self._index = [_places(asked) for asked in self.metadata.questions]
        self._try_one_row()

    @property
    def example(self) -> Row:
        """The row that its metadata has as an example, shape (1, features)."""
        return array_of([[each.example for each in self.metadata.features]], self.metadata)

    def answer(self, row: Row) -> Answer:
        """The class that it chooses for `row`, shape (1, features), or the value.

        Raises:
            InvalidAnswerError: see `interpret`.
        """
        if self.metadata.more:
            return interpret(self.numbers(row)[0].tolist(), self.metadata)
        (numbers,), *labels = self._run(row)
        said = numbers.tolist()
        if labels:  # a table for one row would cost as much again
            said.insert(0, self._index[0].get(labels[0].item(), NO_CLASS))
        elif self.metadata.classes:
            said.insert(0, float(numbers.argmax()))
        return interpret(said, self.metadata)

    def answers(self, rows: Row) -> list[Answer]:
        """The same for each of `rows`, shape (n, features).

        Raises:
            InvalidAnswerError: see `interpret`.
        """
        if len(rows) == 1:
            return [self.answer(rows)]
        return [interpret(said, self.metadata) for said in self.numbers(rows).tolist()]

    def numbers(self, rows: Row) -> Numbers:
        """What the model says about `rows`, not yet judged: shape (n, row_width) if all is well."""
        said = iter(self._run(rows))
        tables = [
            _table(next(said), next(said) if len(tensors) > 1 else None, asked, index)
            for asked, tensors, index in zip(self.metadata.questions, self._tensors, self._index, strict=True)
        ]
        return tables[0] if len(tables) == 1 else np.concatenate(tables, axis=1)

    def _run(self, rows: Row) -> list[Any]:
        """What its outputs are: probabilities or values, and labels where it has them."""
        return list(self._session.run(self._outputs, self._feed(rows)))

    def _check_inputs(self) -> Callable[[Row], dict[str, Any]]:
        """What makes the session's inputs of a row."""
        found = {each.name: each for each in self._session.get_inputs()}
        expected = {each.name: _TENSORS[each.type] for each in self.metadata.features}
        if len(found) == 1 and set(expected.values()) == {next(iter(found.values())).type}:
            name, whole = next(iter(found.items()))
            # A model of one feature may name its one input after it or not: it is the same tensor.
            if whole.shape[-1] != len(expected):
                raise ArtifactError(
                    f"{self._where}: the model takes {whole.shape[-1]} features, but its metadata names "
                    f"{len(expected)}"
                )
            return lambda row: {name: row}
        if {name: each.type for name, each in found.items()} != expected:
            told = ", ".join(f"{name}: {each.type}" for name, each in found.items())
            raise ArtifactError(
                f"{self._where}: expected one tensor of all features as the input, or one for each feature "
                f"by its name, as `service.export` writes them; found {told}"
            )
        features = self.metadata.features
        return lambda row: {each.name: _column(row, at, each) for at, each in enumerate(features)}

    def _check_outputs(self) -> list[list[str]]:
        """Of each question the tensor of probabilities or values, and that of labels where there is one."""
        outputs = self._session.get_outputs()
        numbers = [each.name for each in outputs if each.type == _TENSORS["number"]]
        labels = [each.name for each in outputs if each.type in _LABELS]
        if self.metadata.more:
            return self._named(numbers, labels)
        if len(numbers) != 1:
            raise ArtifactError(
                f"{self._where}: expected one float tensor of probabilities or values among the outputs, "
                f"found {len(numbers)}; export a classifier with zipmap off, as `service.export` does"
            )
        if not self.metadata.classes:
            return [numbers]
        if len(labels) > 1:
            raise ArtifactError(f"{self._where}: which of the outputs is the label: {', '.join(labels)}?")
        return [numbers + labels]

    def _named(self, numbers: list[str], labels: list[str]) -> list[list[str]]:
        """The same of several outputs, which are told by their names."""
        found = []
        for name, asked in zip(self.metadata.output_names, self.metadata.questions, strict=True):
            if (tensor := numbers_tensor(name)) not in numbers:
                raise ArtifactError(
                    f"{self._where}: expected a float tensor {tensor} for the output {name}, as "
                    f"`service.export` writes it; found {', '.join(numbers)}"
                )
            has_label = bool(asked.classes) and label_tensor(name) in labels
            found.append([tensor, label_tensor(name)] if has_label else [tensor])
        return found

    def _try_one_row(self) -> None:
        """Find at start what metadata cannot tell, and pay the first call's costs before the first user."""
        try:
            self.answer(self.example)
        except Exception as error:
            raise ArtifactError(
                f"{self._where}: the model does not answer the example in its metadata: {error}"
            ) from error


def numbers_tensor(output: str) -> str:
    """The tensor of probabilities or values of one of several outputs."""
    return f"numbers:{output}"


def label_tensor(output: str) -> str:
    """The tensor of its labels, where it has one."""
    return f"label:{output}"


def _places(asked: Question) -> dict[int | str, float]:
    return {each.label: float(at) for at, each in enumerate(asked.classes)}


def _table(numbers: Any, labels: Any, asked: Question, index: dict[int | str, float]) -> Numbers:
    """What the model says of one output about n rows, shape (n, width)."""
    if not asked.classes:
        return np.asarray(numbers)
    if labels is None:
        chosen = numbers.argmax(axis=1)
    else:
        chosen = [index.get(each, NO_CLASS) for each in labels.ravel().tolist()]
    table = np.empty((len(numbers), 1 + numbers.shape[1]), dtype=np.float32)
    table[:, 0] = chosen
    table[:, 1:] = numbers
    return table


_TENSORS: dict[FeatureType, str] = {"number": "tensor(float)", "string": "tensor(string)"}
_LABELS = ("tensor(int64)", "tensor(string)")


def _column(row: Row, at: int, feature: Feature) -> Row:
    column = row[:, at : at + 1]
    return column if feature.type == "string" else column.astype(np.float32)
