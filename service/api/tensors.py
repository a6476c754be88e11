"""Reads requests of the Open Inference Protocol: tensors in JSON, or behind it in binary, as rows."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from flask import Request
from pydantic import ValidationError

from service.api.infer_schema import InferRequest, InputTensor
from service.api.problems import Fault, RequestError, invalid, misfit
from service.api.request import read_bytes
from service.models.artifact import Metadata
from service.models.interface import RequestForm, columns_of_champion

HEADER_LENGTH = "Inference-Header-Content-Length"
USER_INPUT = "user_id"
TYPES = {
    "BOOL": "?",
    **{
        f"{kind}{bits}": f"<{kind[0].lower()}{bits // 8}"
        for kind in ("UINT", "INT")
        for bits in (8, 16, 32, 64)
    },
    **{f"FP{bits}": f"<f{bits // 8}" for bits in (16, 32, 64)},
}


def read_infer(request: Request) -> InferRequest:
    """The body of `request`; data that followed in binary are in their inputs.

    Raises:
        RequestError: 400 for no JSON, or a length that does not fit; 422 for fields that do not fit; and as
            service.api.request.read_bytes.
    """
    data = read_bytes(request)
    length = request.headers.get(HEADER_LENGTH)
    head = len(data)
    if length is not None:
        is_number = length.isascii() and length.isdecimal() and len(length) < 12
        if not is_number or int(length) > len(data):
            detail = f"{HEADER_LENGTH} should be how many bytes of the body are JSON."
            raise RequestError(400, "Bad Request", detail)
        head = int(length)
    try:
        body = InferRequest.model_validate_json(data[:head])
    except ValidationError as error:
        raise misfit(error) from None
    rest = memoryview(data)[head:]
    for at, each in enumerate(body.inputs):
        if "binary_data_size" in each.parameters:
            size = each.parameters["binary_data_size"]
            if not isinstance(size, int) or not 0 <= size <= len(rest):
                raise _wrong(at, "parameters.binary_data_size", "So many bytes do not follow the JSON.")
            each.data, rest = _from_binary(at, each, bytes(rest[:size])), rest[size:]
    if len(rest):
        raise RequestError(400, "Bad Request", f"{len(rest)} bytes of the body belong to no input.")
    return body


def users_of(body: InferRequest) -> list[Any] | None:
    """What the input of users says, one for each row; None without it."""
    for at, each in enumerate(body.inputs):
        if each.name == USER_INPUT:
            if each.datatype != "BYTES":
                raise _wrong(at, "datatype", "Users are BYTES.")
            return _flat(at, each)
    return None


def rows_of(body: InferRequest, metadata: Metadata, most: int) -> list[list[Any]]:
    """The rows that `body` asks about, not yet judged: values in the order of the model's features.

    They come in one tensor of shape (n, features), or in one for each feature, by its name, of n values.

    Raises:
        RequestError: 422 for other inputs, or other numbers of values.
    """
    inputs = {at: each for at, each in enumerate(body.inputs) if each.name != USER_INPUT}
    names = metadata.names
    if len(inputs) == 1:
        ((at, whole),) = inputs.items()
        values = _flat(at, whole)
        width = whole.shape[-1]
        fits = width in (len(names), columns_of_champion(metadata))
        if fits and (width > 1 or whole.name not in names):
            _require_few(len(values) // width, most)
            return [values[begin : begin + width] for begin in range(0, len(values), width)]
    if isinstance(metadata, RequestForm):
        inputs = {at: each for at, each in inputs.items() if each.name not in metadata.ignored}
    if faults := list(_misnamed(inputs, metadata)):
        raise invalid(faults)
    columns = {each.name: _flat(at, each) for at, each in inputs.items()}
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise invalid([Fault(field="inputs", detail="All features should have as many values.")])
    count = lengths.pop() if lengths else 0
    _require_few(count, most)
    gap = [None] * count
    return [list(row) for row in zip(*(columns.get(name, gap) for name in names), strict=True)]


def _misnamed(inputs: dict[int, InputTensor], metadata: Metadata) -> Iterator[Fault]:
    names = metadata.names
    given = [each.name for each in inputs.values()]
    for at, each in inputs.items():
        if each.name not in names:
            detail = f"Neither a feature nor one tensor of {len(names)} features a row."
            yield Fault(field=f"inputs[{at}].name", detail=detail)
        elif given.count(each.name) > 1:
            yield Fault(field=f"inputs[{at}].name", detail="This input is there twice.")
    for name in names:
        if name not in given and name not in metadata.gaps:
            yield Fault(field=f"inputs.{name}", detail="This feature is missing.")


def _require_few(rows: int, most: int) -> None:
    if not 1 <= rows <= most:
        raise invalid([Fault(field="inputs", detail=f"There are {rows} rows; there should be 1 to {most}.")])


def _flat(at: int, tensor: InputTensor) -> list[Any]:
    """The values of a tensor, as many as its shape says."""
    values = tensor.data
    for _ in tensor.shape[1:]:
        if not values or not isinstance(values[0], list):
            break
        if not all(isinstance(each, list) for each in values):
            raise _wrong(at, "data", "Values are flat, or nested as the shape is.")
        values = [value for each in values for value in each]
    if len(values) != math.prod(tensor.shape):
        raise _wrong(at, "data", f"There are {len(values)} values, not as many as {tensor.shape} has.")
    if tensor.datatype == "BOOL":
        return [int(each) if isinstance(each, bool) else each for each in values]
    return values


def _from_binary(at: int, tensor: InputTensor, data: bytes) -> list[Any]:
    if tensor.datatype == "BYTES":
        return list(_texts(at, data))
    kind = np.dtype(TYPES[tensor.datatype])
    if len(data) % kind.itemsize:
        raise _wrong(at, "parameters.binary_data_size", f"Values of {tensor.datatype} do not end there.")
    values: list[Any] = np.frombuffer(data, dtype=kind).tolist()
    # Tensors have no null: a float that is no number is a gap.
    return [None if each != each else each for each in values] if kind.kind == "f" else values  # noqa: PLR0124


def _texts(at: int, data: bytes) -> Iterator[str]:
    """Texts in binary: the length of each in four bytes, then UTF-8."""
    begin = 0
    while begin < len(data):
        end = begin + 4 + int.from_bytes(data[begin : begin + 4], "little")
        try:
            text = data[begin + 4 : end].decode()
        except UnicodeDecodeError:
            raise _wrong(at, "data", "Binary BYTES are in UTF-8.") from None
        if end > len(data):
            raise _wrong(at, "data", "Binary BYTES are a length in four bytes and so many bytes, each.")
        yield text
        begin = end


def _wrong(at: int, field: str, detail: str) -> RequestError:
    return invalid([Fault(field=f"inputs[{at}].{field}", detail=detail)])
