"""Rows as a request of the Open Inference Protocol, and its answer as the numbers of a model. Pure."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from service.models.artifact import Metadata, Question
from service.models.onnx_model import NO_CLASS, Numbers, Row
from service.remote.description import Remote, RemoteOutput
from service.remote.endpoint import AnswerError

BYTES_OF_NUMBER = 32  # of one number in JSON, at most
BYTES_BESIDE = 64 * 1024  # of everything else in an answer, for each row a label


def request_of(rows: Row, metadata: Metadata, remote: Remote) -> bytes:
    """The body that asks about `rows`, shape (n, features)."""
    if remote.input:
        datatype = "BYTES" if metadata.has_strings else remote.datatype
        inputs = [_tensor(remote.input, [*rows.shape], datatype, rows.ravel())]
    else:
        inputs = [
            _tensor(
                each.name,
                [len(rows), 1],
                "BYTES" if each.type == "string" else remote.datatype,
                rows[:, at],
            )
            for at, each in enumerate(metadata.features)
        ]
    names = [name for each in remote.outputs for name in (each.label, each.probabilities, each.value) if name]
    body: dict[str, Any] = {"inputs": inputs, "outputs": [{"name": name} for name in dict.fromkeys(names)]}
    if remote.parameters:
        body["parameters"] = remote.parameters
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def numbers_of(body: bytes, rows: int, metadata: Metadata, remote: Remote) -> Numbers:
    """What an answer says about so many rows, shape (rows, row_width), not yet judged.

    Raises:
        AnswerError: it is none, or of another version of the model.
    """
    try:
        told = orjson.loads(body)
        version = told.get("model_version") or remote.version
        outputs = {each["name"]: each for each in told["outputs"]}
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise AnswerError(f"the answer is none of the protocol: {type(error).__name__}: {error}") from error
    if remote.version is not None and version != remote.version:
        raise AnswerError(f"version {str(version)[:100]} answers, and remote.json says {remote.version}")
    if not metadata.more:
        return _answers(outputs, remote, metadata, rows)
    each = zip(remote.outputs, metadata.questions, strict=True)
    return np.concatenate([_answers(outputs, output, asked, rows) for output, asked in each], axis=1)


def _answers(outputs: Mapping[str, Any], remote: RemoteOutput, asked: Question, rows: int) -> Numbers:
    """One output's answers, shape (rows, width)."""
    if remote.value:
        if remote.column is not None:
            column = _column(_data(outputs, remote.value), rows, remote.value, remote.column)
            outputs = {remote.value: {"data": column}}
        return _numbers(outputs, remote.value, rows, 1)
    classes = len(asked.classes)
    probabilities = _numbers(outputs, str(remote.probabilities), rows, classes)
    if remote.label:
        index: dict[Any, float] = {each.label: float(at) for at, each in enumerate(asked.classes)}
        labels = _values(outputs, remote.label, rows, remote.column)
        chosen = [
            index.get(each, NO_CLASS) if isinstance(each, int | float | str) else NO_CLASS for each in labels
        ]
    else:
        chosen = probabilities.argmax(axis=1).tolist()
    return np.column_stack([np.array(chosen, dtype=np.float32), probabilities])


def version_of(body: bytes) -> str | None:
    """The version that gave an answer which `numbers_of` has read."""
    version = orjson.loads(body).get("model_version")
    return str(version)[:256] if version else None


def largest_answer(rows: int, metadata: Metadata) -> int:
    """Bytes of an answer to so many rows, at most."""
    labels = sum(
        max((len(str(each.label).encode()) for each in asked.classes), default=0)
        for asked in metadata.questions
    )
    return BYTES_BESIDE + rows * (metadata.row_width * BYTES_OF_NUMBER + 6 * labels)


def _tensor(name: str, shape: list[int], datatype: str, values: Any) -> dict[str, Any]:
    # As 32-bit floats they have half the digits, and are the same numbers to who reads them as such.
    data = np.ascontiguousarray(values) if datatype == "FP32" else values.tolist()
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def _numbers(outputs: Mapping[str, Any], name: str, rows: int, columns: int) -> Numbers:
    """An output as numbers, shape (rows, columns); of one of two classes as both."""
    try:
        data = np.array(_data(outputs, name), dtype=np.float32)
    except (ValueError, TypeError, OverflowError) as error:
        raise AnswerError(f"the output {name} is not of numbers: {error}") from error
    if data.size == rows and columns == 2:
        second = data.reshape(rows)
        return np.column_stack([1 - second, second])
    if data.size != rows * columns:
        raise AnswerError(f"the output {name} has {data.size} numbers for {rows} rows of {columns}")
    return data.reshape(rows, columns)


def _values(outputs: Mapping[str, Any], name: str, rows: int, column: int | None) -> list[Any]:
    values = _flat(_data(outputs, name))
    if column is not None:
        return _column(values, rows, name, column)
    if len(values) != rows:
        raise AnswerError(f"the output {name} has {len(values)} values for {rows} rows")
    return values


def _flat(values: list[Any]) -> list[Any]:
    while values and isinstance(values[0], list):
        values = [value for each in values if isinstance(each, list) for value in each]
    return values


def _column(values: list[Any], rows: int, name: str, column: int) -> list[Any]:
    """One answer of a tensor that has several for each row."""
    flat = _flat(values)
    columns, rest = divmod(len(flat), rows)
    if rest or column >= columns:
        raise AnswerError(f"the output {name} has {len(flat)} values for {rows} rows, and no column {column}")
    return flat[column::columns]


def _data(outputs: Mapping[str, Any], name: str) -> list[Any]:
    try:
        data = outputs[name]["data"]
    except (KeyError, TypeError):
        raise AnswerError(
            f"there is no output {name}; there are {', '.join(map(str, outputs))[:200]}"
        ) from None
    if not isinstance(data, list):
        raise AnswerError(f"the data of the output {name} are no list")
    return data
