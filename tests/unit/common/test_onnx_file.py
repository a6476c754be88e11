"""External data is found wherever ONNX has a place for it, and nothing else is taken for it."""

from collections.abc import Callable, Iterator
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from common.onnx_file import (
    DATA_LOCATION,
    EXTERNAL_DATA,
    LOCATION_KEY,
    WAY,
    OnnxFileError,
    require_self_contained,
)


def elsewhere() -> TensorProto:
    """A tensor whose bytes are those of a file."""
    tensor = TensorProto(name="t", data_type=TensorProto.UINT8, dims=[8], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", ".canario/secrets/token"), ("length", "8")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return tensor


def inside() -> TensorProto:
    return helper.make_tensor("location", TensorProto.FLOAT, [1], [1.0])


def graph(tensor: TensorProto) -> Any:
    return helper.make_graph([], "g", [], [], [tensor])


def attribute(name: str, tensor: TensorProto) -> Any:
    made = onnx.AttributeProto(name="a")
    if name in ("t", "tensors"):
        made.type = onnx.AttributeProto.TENSOR if name == "t" else onnx.AttributeProto.TENSORS
        made.t.CopyFrom(tensor) if name == "t" else made.tensors.append(tensor)
    elif name in ("g", "graphs"):
        made.g.CopyFrom(graph(tensor)) if name == "g" else made.graphs.append(graph(tensor))
    else:
        sparse = onnx.SparseTensorProto(dims=[8], values=inside(), indices=tensor)
        made.sparse_tensor.CopyFrom(sparse) if name == "sparse_tensor" else made.sparse_tensors.append(sparse)
    return made


def model(**parts: Any) -> Any:
    return onnx.ModelProto(ir_version=8, **parts)


def of_node(name: str) -> Callable[[TensorProto], Any]:
    def made(tensor: TensorProto) -> Any:
        node = onnx.NodeProto(op_type="If", attribute=[attribute(name, tensor)])
        return model(graph=helper.make_graph([node], "g", [], []))

    return made


def in_function(tensor: TensorProto) -> Any:
    node = onnx.NodeProto(op_type="Constant", attribute=[attribute("t", tensor)])
    return model(functions=[onnx.FunctionProto(name="f", node=[node])])


def in_default(tensor: TensorProto) -> Any:
    return model(functions=[onnx.FunctionProto(name="f", attribute_proto=[attribute("t", tensor)])])


def in_sparse(tensor: TensorProto) -> Any:
    sparse = onnx.SparseTensorProto(dims=[8], values=tensor, indices=inside())
    return model(graph=onnx.GraphProto(sparse_initializer=[sparse]))


PLACES: dict[str, Callable[[TensorProto], Any]] = {
    "initializer": lambda tensor: model(graph=graph(tensor)),
    "sparse initializer": in_sparse,
    "function": in_function,
    "default of a function": in_default,
    "training": lambda tensor: model(training_info=[onnx.TrainingInfoProto(algorithm=graph(tensor))]),
    **{each: of_node(each) for each in ("t", "tensors", "g", "graphs", "sparse_tensor", "sparse_tensors")},
}


@pytest.mark.parametrize("place", PLACES)
def test_external_data_is_refused_wherever_it_is(place: str) -> None:
    with pytest.raises(OnnxFileError, match="external data"):
        require_self_contained(PLACES[place](elsewhere()).SerializeToString())
    require_self_contained(PLACES[place](inside()).SerializeToString())


def test_what_a_later_field_overrules_counts_too() -> None:
    """Parsers merge the parts of a message; a place is looked up in any of them."""
    first = model(graph=graph(elsewhere())).SerializeToString()
    second = model(graph=graph(inside())).SerializeToString()
    with pytest.raises(OnnxFileError, match="external data"):
        require_self_contained(first + second)
    either = elsewhere()
    either.ClearField("data_location")
    with pytest.raises(OnnxFileError, match="external data"):
        require_self_contained(model(graph=graph(either)).SerializeToString())


@pytest.mark.parametrize(
    "content", [b"location", b"\x3b\x3clocation", b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfflocation"]
)
def test_what_cannot_be_read_is_refused(content: bytes) -> None:
    with pytest.raises(OnnxFileError, match="no ONNX file"):
        require_self_contained(content)


def test_the_way_to_a_tensor_is_that_of_the_format() -> None:
    def messages(descriptor: Any, seen: set[str]) -> Iterator[Any]:
        if descriptor.name not in seen:
            seen.add(descriptor.name)
            yield descriptor
            for field in descriptor.fields:
                if field.message_type is not None:
                    yield from messages(field.message_type, seen)

    def leads(descriptor: Any) -> bool:
        return any(each.name == "TensorProto" for each in messages(descriptor, set()))

    found = {
        each.name: {
            field.number: field.message_type.name
            for field in each.fields
            if field.message_type is not None and leads(field.message_type)
        }
        for each in messages(onnx.ModelProto.DESCRIPTOR, set())
        if leads(each)
    }
    assert found == WAY
    fields = TensorProto.DESCRIPTOR.fields_by_name
    assert (fields["external_data"].number, fields["data_location"].number) == (EXTERNAL_DATA, DATA_LOCATION)
    assert onnx.external_data_helper.ExternalDataInfo(elsewhere()).location
    assert elsewhere().external_data[0].key.encode() == LOCATION_KEY
