"""/v2, the Open Inference Protocol: the same predictions for clients of KServe, Triton and MLServer."""

import time
from collections.abc import Sequence
from typing import Any

import orjson
from flask import Blueprint, Response, g, request
from pydantic import TypeAdapter, ValidationError
from spectree import SpecTree

from common.names import Model
from service.api.infer_schema import (
    Datatype,
    InferRequest,
    InferResponse,
    Live,
    ModelMetadata,
    ModelReady,
    OutputTensor,
    Ready,
    Server,
    TensorMetadata,
    output,
)
from service.api.openapi import responses, schema_of, with_example
from service.api.predict_schema import UserId
from service.api.problems import Fault, InferProblem, RequestError, invalid, misfit
from service.api.request import to_parsed, user_of_header
from service.api.tensors import USER_INPUT, read_infer, rows_of, users_of
from service.models.artifact import Metadata
from service.models.onnx_model import Answer
from service.parts import Parts
from service.predict import Predicted, Predictor, row_ids

INPUT = "features"
_CONTEXT = "context."
_USERS: TypeAdapter[list[str]] = TypeAdapter(list[UserId])


def blueprint(parts: Parts, spec: SpecTree) -> Blueprint:
    """The routes on `parts`."""
    routes = Blueprint("infer", __name__)
    settings, reloader = parts.settings, parts.reloader
    at_start = reloader.lineup.models.interface.metadata
    predictor = Predictor(parts)

    @routes.get("/v2")
    @spec.validate(resp=responses(Server), tags=["open inference"], skip_validation=True)
    def server() -> Server:
        """Read what answers."""
        return Server()

    @routes.get("/v2/health/live")
    @spec.validate(resp=responses(Live), tags=["open inference"], skip_validation=True)
    def live() -> Live:
        """Is the process alive?"""
        return Live()

    @routes.get("/v2/health/ready")
    @spec.validate(resp=responses(Ready), tags=["open inference"], skip_validation=True)
    def ready() -> Ready:
        """Can it answer predictions?"""
        return Ready()

    @routes.get("/v2/models/<name>")
    @spec.validate(
        resp=responses(ModelMetadata, 404, problem=InferProblem),
        tags=["open inference"],
        skip_validation=True,
    )
    def model_metadata(name: str) -> ModelMetadata:
        """Read which inputs it takes, and which versions answer."""
        _require_name(name, settings.model_name)
        models = reloader.lineup.models
        served, ours = models.metadata.values(), models.interface.metadata
        return ModelMetadata(
            name=name,
            versions=list(dict.fromkeys(map(version, served))),
            inputs=inputs_of(ours),
            outputs=[
                TensorMetadata(name=each.name, datatype=each.datatype, shape=[-1, *each.shape[1:]])
                for each in _examples(ours)
            ],
        )

    @routes.get("/v2/models/<name>/ready")
    @spec.validate(
        resp=responses(ModelReady, 404, problem=InferProblem), tags=["open inference"], skip_validation=True
    )
    def model_ready(name: str) -> ModelReady:
        """Can it answer predictions?"""
        _require_name(name, settings.model_name)
        return ModelReady(name=name)

    @routes.post("/v2/models/<name>/infer")
    @spec.validate(
        json=with_example(InferRequest, _example(at_start)),
        resp=responses(InferResponse, 400, 404, 413, 415, 422, 503, problem=InferProblem),
        tags=["open inference"],
        skip_validation=True,
    )
    def infer(name: str) -> Response:
        """Predict by tensors.

        The user is `parameters.user_id`, the header Canario-User, or, for each row another, an input
        `user_id`. The flag decides for each user, as for /predict.
        """
        _require_name(name, settings.model_name)
        body = read_infer(request)
        lineup = reloader.lineup
        form = lineup.models.interface
        ours, schema = form.metadata, schema_of(form, settings.max_rows)
        rows = rows_of(body, ours, settings.max_rows)
        users = _users(body, len(rows))
        context = {
            key.removeprefix(_CONTEXT): value
            for key, value in body.parameters.items()
            if key.startswith(_CONTEXT)
        }
        parsed = to_parsed({"user_id": users[0], "rows": rows, "context": context}, schema, ours)
        ids = row_ids(len(rows))
        until = time.monotonic() + settings.guest_deadline_seconds  # for all users of the request
        said: list[tuple[Predicted, list[int]]] = []
        places: dict[str, list[int]] = {}
        for number, each in enumerate(users):
            places.setdefault(each, []).append(number)
        for user, at in places.items():
            of_user = parsed.rows if len(at) == len(rows) else parsed.rows[at]
            of = [ids[number] for number in at]
            predicted = predictor.predict(lineup, user, of_user, parsed.context, of, until)
            said.append((predicted, at))
        outputs = _outputs(said, len(rows))
        answer = InferResponse(
            model_name=name,
            model_version=", ".join(dict.fromkeys(version(each.metadata) for each, _ in said)),
            id=body.id or g.request_id,
            parameters=_parameters(said[0][0]) if len(said) == 1 else {},
            outputs=_wanted(outputs, body),
        )
        return Response(orjson.dumps(answer.model_dump()), content_type="application/json")

    return routes


def version(metadata: Metadata) -> str:
    """The model as a version of the service's one."""
    return f"{metadata.name}:{metadata.version}"


def inputs_of(metadata: Metadata) -> list[TensorMetadata]:
    """What the model takes: one tensor where all features have one type, else one for each."""
    kinds: dict[str, Datatype] = {"number": "FP64", "string": "BYTES"}
    if metadata.is_of_one_type:
        shape = [-1, len(metadata.features)]
        return [TensorMetadata(name=INPUT, datatype=kinds[metadata.features[0].type], shape=shape)]
    return [
        TensorMetadata(name=each.name, datatype=kinds[each.type], shape=[-1, 1]) for each in metadata.features
    ]


def _example(metadata: Metadata) -> dict[str, Any]:
    """A request about one row."""
    values = [each.example for each in metadata.features]
    inputs = [
        each.model_dump() | {"shape": [1, len(data)], "data": data}
        for each, data in zip(
            inputs_of(metadata),
            [values] if metadata.is_of_one_type else [[value] for value in values],
            strict=True,
        )
    ]
    return {"parameters": {"user_id": "u-1", "context.country": "NO"}, "inputs": inputs}


def _require_name(name: str, ours: str) -> None:
    if name != ours:
        detail = f"The model is {ours} here (CANARIO_MODEL_NAME), and the flag decides which version answers."
        raise RequestError(404, "Not Found", detail)


def _users(body: InferRequest, rows: int) -> list[str]:
    """The user of each row."""
    of_rows = users_of(body)
    if of_rows is None:
        one = body.parameters.get("user_id", user_of_header(request))
        if one is None:
            detail = "Say whom it is for: parameters.user_id, the header Canario-User, or an input user_id."
            raise invalid([Fault(field="parameters.user_id", detail=detail)])
        return [one] * rows  # judged with the rest
    if len(of_rows) != rows:
        detail = f"There should be one for each of {rows} rows."
        raise invalid([Fault(field=f"inputs.{USER_INPUT}", detail=detail)])
    try:
        return _USERS.validate_python(of_rows)
    except ValidationError as error:
        raise misfit(error, under=f"inputs.{USER_INPUT}") from None


def _parameters(said: Predicted) -> dict[str, str]:
    return {"model": said.model, "assigned": said.assigned, "reason": said.reason}


def _outputs(said: list[tuple[Predicted, list[int]]], rows: int) -> list[OutputTensor]:
    """The answers of all users, in the order of the rows."""
    columns: dict[str, list[Any]] = {}
    for predicted, at in said:
        for number, answer, request_id in zip(at, predicted.answers, predicted.ids, strict=True):
            told = {
                "prediction": answer.label,
                "class_name": answer.class_name,
                "probability": answer.probability,
                "probabilities": answer.probabilities,
                **_of_outputs(predicted.metadata, (answer, *answer.more)),
                "request_id": request_id,
                "model": str(predicted.model),
                "version": version(predicted.metadata),
            }
            for name, value in told.items():
                if value is not None:
                    columns.setdefault(name, [None] * rows)[number] = value
    return [output(name, column) for name, column in columns.items()]


def _examples(metadata: Metadata) -> list[OutputTensor]:
    """Outputs as of one row."""
    first, *_ = answers = [
        Answer(asked.classes[0].label, asked.classes[0].name, 0.5, [0.5] * len(asked.classes))
        if asked.classes
        else Answer(0.5)
        for asked in metadata.questions
    ]
    told: dict[str, Any] = {
        "prediction": first.label,
        "class_name": first.class_name,
        "probability": first.probability,
        "probabilities": first.probabilities,
        **_of_outputs(metadata, answers),
        "request_id": "",
        "model": str(Model.CHAMPION),
        "version": version(metadata),
    }
    return [output(name, [value]) for name, value in told.items() if value is not None]


def _of_outputs(metadata: Metadata, answers: Sequence[Answer]) -> dict[str, Any]:
    """Of several outputs the tensors of each: its name is that of labels or values."""
    told: dict[str, Any] = {}
    for name, each in zip(metadata.output_names, answers, strict=False):
        told |= {
            name: each.label,
            f"{name}.class_name": each.class_name,
            f"{name}.probability": each.probability,
            f"{name}.probabilities": each.probabilities,
        }
    return told


def _wanted(outputs: list[OutputTensor], body: InferRequest) -> list[OutputTensor]:
    if not body.outputs:
        return outputs
    by_name = {each.name: each for each in outputs}
    detail = f"There is no such output; there are {', '.join(by_name)}."
    unknown = [
        Fault(field=f"outputs[{at}].name", detail=detail)
        for at, each in enumerate(body.outputs)
        if each.name not in by_name
    ]
    if unknown:
        raise invalid(unknown)
    return [by_name[each.name] for each in body.outputs]
