"""Any ONNX file, wherever it was made, with rows and what it must answer to them: nothing else is needed.

The file may take floats of 32 or 64 bits or integers, all in one tensor or one for each feature. It may
answer with probabilities, with logits, with one column for the second of two classes, or with values; in 32
or 64 bits; with or without labels. Which of it is the case is found on the rows, and the gate then holds the
model to it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import ModelProto, TensorProto

from service.export.graph import Named, Outputs, add, find_outputs, fit_inputs, put_outputs, set_outputs
from service.export.parity import Truth
from service.export.rows import Table
from service.export.unwrap import Threshold, put_threshold
from service.models.artifact import ArtifactError
from service.models.onnx_model import outputs_of

PREDICTION = "prediction"
SOME = 200  # rows on which the form of the answers is found
CLOSE = 0.05  # a form that is further off than this is not the one

Numbers = npt.NDArray[np.float64]


class Expected(NamedTuple):
    """What the model must answer.

    Attributes:
        labels: of the classes; empty for a regressor.
        truth: about each row.
    """

    labels: list[int | str]
    truth: Truth


def read_rows(file: Path) -> Any:
    """A table of Parquet or CSV, by the end of its name. Raises ArtifactError."""
    try:
        import pandas as pd  # noqa: PLC0415 - where rows come as a file

        if file.suffix == ".parquet":
            return pd.read_parquet(file)
        if file.suffix == ".csv":
            return pd.read_csv(file, keep_default_na=False, na_values=[""])
    except Exception as error:  # each reader has errors of its own
        raise ArtifactError(f"{file}: cannot be read: {str(error).partition(chr(10))[0]}") from error
    raise ArtifactError(f"{file}: rows come as .parquet or .csv")


def read_expected(frame: Any, labels: Sequence[str] | None = None) -> Expected:
    """What a table says: of a regressor one column of values; of a classifier a probability for each class.

    Args:
        frame: with a column for each class, named by its label, and perhaps `prediction`, the label that was
            chosen (else the most probable one). One column beside that is a regressor's, or with `labels` the
            probability of the second of two classes.
        labels: of the classes in order, where the columns do not tell.

    Raises:
        ArtifactError: it is neither.
    """
    columns = [name for name in frame.columns if name != PREDICTION or len(frame.columns) == 1]
    numbers = frame[columns].to_numpy(dtype=np.float64)
    if len(columns) == 1 and not labels:
        return Expected([], Truth(np.zeros(len(frame), np.intp), numbers))
    if len(columns) == 1:
        numbers = np.concatenate([1.0 - numbers, numbers], axis=1)
    named = [str(name).removeprefix("probability_") for name in columns] if labels is None else list(labels)
    if len(named) != numbers.shape[1]:
        raise ArtifactError(
            f"{len(named)} classes are named, and the expected answers have {numbers.shape[1]} columns"
        )
    if not np.allclose(numbers.sum(axis=1), 1.0, atol=1e-3):
        raise ArtifactError("the expected probabilities of a row do not sum to 1: bring those of all classes")
    chosen = numbers.argmax(axis=1)
    if PREDICTION in frame.columns:
        places = {name: at for at, name in enumerate(named)}
        try:
            chosen = np.array([places[str(each)] for each in frame[PREDICTION].tolist()], np.intp)
        except KeyError as error:
            raise ArtifactError(
                f"{PREDICTION} is {error} in a row, and the classes are {', '.join(named)}"
            ) from None
    are_whole = all(name.lstrip("-").isdigit() for name in named)
    return Expected([int(name) if are_whole else name for name in named], Truth(chosen, numbers))


def expected_of(frame: Any, outputs: Sequence[str]) -> list[Expected]:
    """What a table says of several outputs.

    Args:
        frame: of an output that is a value a column of its name; of one that is a class a column `NAME.LABEL`
            with the probability of each class, and perhaps `NAME.prediction`.

    Raises:
        ArtifactError: of an output it has neither.
    """
    found = []
    for name in outputs:
        of_classes = [each for each in frame.columns if str(each).startswith(f"{name}.")]
        if (name in frame.columns) is bool(of_classes):
            raise ArtifactError(
                f"the expected answers need of the output {name} either a column {name}, of a value, or "
                f"columns {name}.LABEL with the probability of each class"
            )
        part = frame[of_classes or [name]]
        plain = {each: str(each).removeprefix(f"{name}.") for each in part.columns}
        found.append(read_expected(part.rename(columns=plain)))
    return found


def adapt_several(file: Path, table: Table, expected: dict[str, Expected]) -> bytes:
    """The file's model in the form that the service takes; of each output by its name what is expected.

    Raises:
        ArtifactError: it is no such model, or no form of its answers is near the expected ones.
    """
    model = _read(file)
    found = []
    try:
        fit_inputs(model, table.features)
        tensors = find_outputs(model).numbers
        for name, answers in expected.items():
            try:
                form = _form(model, table, answers, tensors)
            except ArtifactError as error:
                raise ArtifactError(f"the output {name}: {error}") from error
            found.append(Named(name, _add(model, form), None, 0, max(1, len(answers.labels))))
    except ArtifactError as error:
        raise ArtifactError(f"{file}: {error}") from error
    put_outputs(model, found)
    return bytes(model.SerializeToString())


def adapt(
    file: Path, table: Table, expected: Expected, *, output: str | None = None, threshold: float | None = None
) -> bytes:
    """The file's model in the form that the service takes.

    Args:
        output: the one that is meant, where there are several.
        threshold: of the second of two classes, where it is not 0.5.

    Raises:
        ArtifactError: it is no such model, or no form of its answers is near the expected ones.
    """
    model = _read(file)
    try:
        fit_inputs(model, table.features)
        kinds = {each.name: each.type.tensor_type.elem_type for each in model.graph.output}
        found = find_outputs(model)
        if output is not None:
            found = Outputs(found.labels, [name for name in found.numbers if name == f"tensor:{output}"])
        form = _form(model, table, expected, found.numbers)
    except ArtifactError as error:
        raise ArtifactError(f"{file}: {error}") from error
    label = found.labels[0] if expected.labels and found.labels and threshold is None else None
    set_outputs(model, _add(model, form), label, kinds.get(label or "", 0), max(1, len(expected.labels)))
    if threshold is not None:
        _choose(model, threshold, expected.labels)
    return bytes(model.SerializeToString())


def _read(file: Path) -> ModelProto:
    try:
        model = onnx.load_model(str(file), load_external_data=False)
    except OSError as error:
        raise ArtifactError(f"{file}: cannot be read: {error.strerror}") from error
    except DecodeError as error:
        raise ArtifactError(f"{file}: is no ONNX model") from error
    if any(onnx.external_data_helper.uses_external_data(each) for each in model.graph.initializer):
        raise ArtifactError(
            f"{file}: has data in other files: save it as one, with save_as_external_data=False"
        )
    return model


class _Form(NamedTuple):
    name: str
    kind: str  # as it is, softmax, one column, sigmoid, or the place of a column


def _form(model: ModelProto, table: Table, expected: Expected, names: list[str]) -> _Form:
    """Which tensor is the answer, and how: what is nearest to the expected ones."""
    if not names:
        told = ", ".join(each.name.removeprefix("tensor:") for each in model.graph.output)
        raise ArtifactError(f"no output that is meant is a tensor of floats; its outputs are {told}")
    rows, wanted = table.values[:SOME], expected.truth.numbers[:SOME]
    said = _ask(model, table, rows, names)
    best: tuple[float, _Form] | None = None
    for name, numbers in zip(names, said, strict=True):
        for kind, answer in _readings(numbers, len(expected.labels)):
            far = float(np.abs(answer - wanted).max()) if answer.shape == wanted.shape else np.inf
            if not expected.labels:
                far /= float(np.abs(wanted).mean()) or 1.0
            if best is None or far < best[0]:
                best = far, _Form(name, kind)
    if best is None or not best[0] <= CLOSE:
        told = "; ".join(
            f"{name.removeprefix('tensor:')} of shape {list(numbers.shape)} begins with "
            f"{np.ravel(numbers)[:3].tolist()}"
            for name, numbers in zip(names, said, strict=True)
        )
        ways = "as it is, by softmax nor by sigmoid" if expected.labels else "as it is"
        raise ArtifactError(
            f"no output is what was expected, neither {ways}: {told}, and the first row expects "
            f"{wanted[0].tolist()[:3]}"
        )
    return best[1]


def _ask(model: ModelProto, table: Table, rows: list[Any], names: list[str]) -> list[Numbers]:
    """What these tensors are for `rows`, all at once."""
    probe = ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    for at, name in enumerate(names):
        cast = onnx.helper.make_node("Cast", [name], [f"probe{at}"], to=TensorProto.DOUBLE)
        probe.graph.node.append(cast)
        probe.graph.output.append(onnx.helper.make_tensor_value_info(f"probe{at}", TensorProto.DOUBLE, None))
    has_strings = any(each.type == "string" for each in table.features)
    array: Any = np.array(rows, dtype=np.object_ if has_strings else np.float32)
    try:
        found = outputs_of(probe.SerializeToString(), array, table.features)
        return [np.asarray(each) for each in found]
    except Exception as error:  # ONNX Runtime has no public base class for its errors
        what = str(error).strip().partition("\n")[0][:300]
        raise ArtifactError(
            f"ONNX Runtime does not run it on {len(rows)} rows at once: {what}. Its first dimension must "
            "be free"
        ) from error


def _readings(numbers: Numbers, classes: int) -> list[tuple[str, Numbers]]:
    table = numbers.reshape(len(numbers), -1) if numbers.ndim else numbers.reshape(1, 1)
    found = [("as it is", table)]
    if not classes and table.shape[1] > 1:
        found += [(str(at), table[:, [at]]) for at in range(table.shape[1])]
    with np.errstate(over="ignore"):
        if classes and table.shape[1] == classes:
            powers = np.exp(table - table.max(axis=1, keepdims=True))
            found.append(("softmax", powers / powers.sum(axis=1, keepdims=True)))
        if classes == 2 and table.shape[1] == 1:
            second = 1.0 / (1.0 + np.exp(-table))
            found += [
                ("one column", np.concatenate([1.0 - table, table], axis=1)),
                ("sigmoid", np.concatenate([1.0 - second, second], axis=1)),
            ]
    return found


def _add(model: ModelProto, form: _Form) -> str:
    """Append what makes numbers of the tensor; the name of it."""
    if form.kind == "as it is":
        return form.name
    if form.kind.isdecimal():
        place = f"{form.name}:place {form.kind}"
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([int(form.kind)]), place))
        return add(model, "Gather", [form.name, place], axis=1)
    # In 64 bits, as the original may be.
    name = add(model, "Cast", [form.name], to=TensorProto.DOUBLE)
    if form.kind == "softmax":
        return add(model, "Softmax", [name], axis=-1)
    if form.kind == "sigmoid":
        name = add(model, "Sigmoid", [name])
    name = add(model, "Cast", [name], to=TensorProto.FLOAT)
    shape = f"{name}:shape"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([-1, 1]), shape))
    name = add(model, "Reshape", [name, shape])
    return add(model, "Concat", [add(model, "Sub", [1.0, name]), name], axis=1)


def _choose(model: ModelProto, threshold: float, labels: list[int | str]) -> None:
    """Let it choose the second of two classes from this probability on."""
    if len(labels) != 2:
        raise ArtifactError(f"a threshold is for two classes, and the model has {len(labels)}")
    kind = TensorProto.STRING if isinstance(labels[0], str) else TensorProto.INT64
    model.graph.output.insert(0, onnx.helper.make_tensor_value_info("unchosen", kind, [None]))
    put_threshold(model, Threshold(threshold, 1), labels)
