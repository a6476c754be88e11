"""What requests and answers of the Open Inference Protocol are, for the OpenAPI document too.

https://github.com/kserve/open-inference-protocol, and Triton's extension for binary data in requests.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.api.predict_schema import without_default

Datatype = Literal[
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "FP32",
    "FP64",
    "BYTES",
]
Size = Annotated[int, Field(ge=0, le=2**31)]
Parameters = dict[str, Any]


class InputTensor(BaseModel):
    """One input of a request."""

    model_config = ConfigDict(strict=True)

    name: str
    shape: Annotated[list[Size], Field(min_length=1, max_length=8)]
    datatype: Datatype
    parameters: Parameters = Field(default={}, json_schema_extra=without_default)
    data: list[Any] = Field(
        default=[],
        description="Values row by row, flat or nested; left out where they follow in binary.",
        json_schema_extra=without_default,
    )


class RequestedOutput(BaseModel):
    """An output that the client wants."""

    name: str
    parameters: Parameters = Field(default={}, json_schema_extra=without_default)


class InferRequest(BaseModel):
    """What `/v2/models/NAME/infer` takes."""

    id: str = Field(default="", json_schema_extra=without_default)
    parameters: Parameters = Field(
        default={},
        description="`user_id`, and `context.NAME` for each property of the context.",
        json_schema_extra=without_default,
    )
    inputs: Annotated[list[InputTensor], Field(min_length=1)]
    outputs: list[RequestedOutput] = Field(
        default=[], description="Those that are wanted; empty: all.", json_schema_extra=without_default
    )


class OutputTensor(BaseModel):
    """One output of an answer."""

    name: str
    shape: list[int]
    datatype: Datatype
    data: list[int | float | str]


class Server(BaseModel):
    """What answers."""

    name: str = "canario"
    version: str = "2"
    extensions: list[str] = ["binary_tensor_data"]


class Live(BaseModel):
    """The process is alive."""

    live: bool = True


class Ready(BaseModel):
    """The service answers."""

    ready: bool = True


class ModelReady(Ready):
    """The model answers."""

    name: str


class TensorMetadata(BaseModel):
    """An input or output; -1 is as many as rows are asked about."""

    name: str
    datatype: Datatype
    shape: list[int]


class ModelMetadata(BaseModel):
    """What the model takes and says."""

    name: str
    versions: list[str] = Field(description="NAME:VERSION of the champion, and of the challenger.")
    platform: str = "canario"
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class InferResponse(BaseModel):
    """The answers."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    model_version: str = Field(description="NAME:VERSION of who answered; both where it was both.")
    id: str
    parameters: dict[str, str] = Field(description="model, assigned and reason, as of /predict; of one user.")
    outputs: list[OutputTensor]


def output(name: str, values: Sequence[int | float | str | list[float]]) -> OutputTensor:
    """An output with a value for each row, or as many for each."""
    shape, data = [len(values)], list[Any](values)
    if isinstance(values[0], list):
        shape, data = [len(values), len(values[0])], [each for row in data for each in row]
    kinds = {type(each) for each in data}
    datatype: Datatype = "BYTES" if str in kinds else "FP64" if float in kinds else "INT64"
    if datatype == "BYTES":
        data = [str(each) for each in data]
    return OutputTensor(name=name, shape=shape, datatype=datatype, data=data)
