"""Runs a verified artifact in ONNX Runtime: the one door to it."""

import os
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# Since 1.32 ONNX Runtime reports its use to its vendor unless told otherwise before it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort

from common.errors import CanarioError
from service.artifact import Artifact, ArtifactError, Metadata

Row = npt.NDArray[np.float32]


class InvalidAnswerError(CanarioError):
    """The model ran, but what it said is no probability for each class."""


class Answer(NamedTuple):
    """What a model says about one row."""

    label: int | str
    class_name: str
    probability: float  # of that class, 0 to 1


def interpret(probabilities: npt.NDArray[np.float32], metadata: Metadata) -> Answer:
    """The most probable class.

    Args:
        probabilities: of each class of `metadata`, in its order.

    Raises:
        InvalidAnswerError: there is not one for each class, or they are not finite numbers in [0, 1].
    """
    if probabilities.shape != (len(metadata.classes),):
        raise InvalidAnswerError(
            f"{metadata.name} answered with shape {probabilities.shape} instead of ({len(metadata.classes)},)"
        )
    best = int(probabilities.argmax())
    probability = float(probabilities[best])
    # argmax finds a NaN if there is one; float32 rounding may leave a sure class a little above 1.
    if not 0.0 <= probability <= 1.0 + 1e-5:
        raise InvalidAnswerError(f"{metadata.name} answered with the probability {probability}")
    chosen = metadata.classes[best]
    return Answer(chosen.label, chosen.name, min(probability, 1.0))


class OnnxModel:
    """A classifier that answers one row at a time; safe to call from several threads.

    Raises:
        ArtifactError: when made from an artifact that ONNX Runtime cannot load or whose inputs and outputs
            do not fit its metadata.
    """

    def __init__(self, artifact: Artifact) -> None:
        self.metadata: Metadata = artifact.metadata
        self._where = artifact.folder
        options = ort.SessionOptions()
        # One row is microseconds of work: a pool of threads would cost more than it brings, and the
        # web server's threads run in parallel anyway.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(artifact.onnx, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has no public base class for its errors
            raise ArtifactError(f"{self._where}: ONNX Runtime cannot load the model: {error}") from error
        self._input = self._check_input()
        self._output = self._check_output()
        self._try_one_row()

    def answer(self, row: Row) -> Answer:
        """The most probable class of `row`, shape (1, features).

        Raises:
            InvalidAnswerError: the probabilities have another shape, or are not finite numbers in [0, 1].
        """
        return interpret(self.probabilities(row)[0], self.metadata)

    def probabilities(self, row: Row) -> npt.NDArray[np.float32]:
        """What the model says about `row`, as it says it: shape (1, classes) if all is well."""
        return np.asarray(self._session.run([self._output], {self._input: row})[0])

    def _check_input(self) -> str:
        inputs = self._session.get_inputs()
        expected = len(self.metadata.features)
        if len(inputs) != 1 or inputs[0].type != "tensor(float)":
            found = ", ".join(f"{each.name}: {each.type}" for each in inputs)
            raise ArtifactError(f"{self._where}: expected one float tensor as the input, found {found}")
        width = inputs[0].shape[-1]
        if width != expected:
            raise ArtifactError(
                f"{self._where}: the model takes {width} features, but its metadata names {expected}"
            )
        return str(inputs[0].name)

    def _check_output(self) -> str:
        outputs = [each for each in self._session.get_outputs() if each.type == "tensor(float)"]
        if len(outputs) != 1:
            raise ArtifactError(
                f"{self._where}: expected one float tensor of probabilities among the outputs, found "
                f"{len(outputs)}; export a classifier with zipmap off, as `service.export` does"
            )
        return str(outputs[0].name)

    def _try_one_row(self) -> None:
        """Find at start what metadata cannot tell, and pay the first call's costs before the first user."""
        try:
            self.answer(np.zeros((1, len(self.metadata.features)), dtype=np.float32))
        except Exception as error:
            raise ArtifactError(
                f"{self._where}: the model does not answer a row of zeros: {error}"
            ) from error
