"""Refuses an ONNX file that reads others: its external data may lie in any file, a secret too."""

from typing import Final

from common.errors import CanarioError

# Of each message of onnx.proto, the fields through which one comes to a tensor.
WAY: Final[dict[str, dict[int, str]]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        **{5: "TensorProto", 6: "GraphProto", 10: "TensorProto", 11: "GraphProto"},
        **{22: "SparseTensorProto", 23: "SparseTensorProto"},
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TensorProto": {},
}
EXTERNAL_DATA, DATA_LOCATION = 13, 14  # fields of TensorProto
LOCATION_KEY = b"location"  # what an entry of external_data that names a file is called
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class OnnxFileError(CanarioError):
    """The bytes are no ONNX file, or one that is not whole in itself."""


def require_self_contained(onnx: bytes) -> None:
    """Refuse a model of which some part lies in another file.

    It is stricter than any parser: what an optional field says counts also where a later one overrules it.

    Raises:
        OnnxFileError: it names another file, or cannot be read as an ONNX file.
    """
    # The key must stand somewhere, as it is. Of a large model the search takes milliseconds, a walk seconds.
    if LOCATION_KEY not in onnx:
        return
    data = memoryview(onnx)
    todo = [("ModelProto", 0, len(data))]
    while todo:
        message, at, end = todo.pop()
        while at < end:
            key, at = _varint(data, at, end)
            field, wire = key >> 3, key & 7
            begin, at = _value(data, at, end, wire)
            if message == "TensorProto" and (
                field == EXTERNAL_DATA or (field == DATA_LOCATION and _varint(data, begin, end)[0])
            ):
                raise OnnxFileError(
                    "the model has external data: a part of it lies in another file, which could be any; "
                    "save it with all its data inside (onnx.save_model with save_as_external_data=False)"
                )
            if wire == _BYTES and field in WAY[message]:
                todo.append((WAY[message][field], begin, at))


def _value(data: memoryview, at: int, end: int, wire: int) -> tuple[int, int]:
    """Where the value of a field begins and ends."""
    length = 0
    if wire == _VARINT:
        return at, _varint(data, at, end)[1]
    if wire == _BYTES:
        length, at = _varint(data, at, end)
    elif wire in (_FIXED64, _FIXED32):
        length = 8 if wire == _FIXED64 else 4
    else:
        raise OnnxFileError("it is no ONNX file")
    if at + length > end:
        raise OnnxFileError("it is no ONNX file, or not all of one")
    return at, at + length


def _varint(data: memoryview, at: int, end: int) -> tuple[int, int]:
    """The number at `at`, and where what follows it begins."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    raise OnnxFileError("it is no ONNX file, or not all of one")
