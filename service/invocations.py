"""POST /invocations and GET /ping: the same predictions for clients of an MLflow scoring server."""

from typing import Annotated, Any

import orjson
from flask import Blueprint, Response, g, request
from pydantic import BaseModel, ConfigDict, Field
from spectree import SpecTree

from service.api.openapi import responses, schema_of, with_example
from service.api.predict_schema import ContextKey, ContextValue, UserId, without_default
from service.api.problems import Fault, invalid
from service.api.request import read_body, to_parsed, user_of_header
from service.api.status import Health
from service.models.artifact import Metadata
from service.models.onnx_model import Answer
from service.parts import Parts
from service.predict import Answered, Predictor, row_ids

FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")
Row = list[Any] | dict[str, Any]


class Params(BaseModel):
    """Whom it is for."""

    model_config = ConfigDict(strict=True)

    user_id: UserId = Field(
        default="", description="Or by the header Canario-User.", json_schema_extra=without_default
    )
    context: Annotated[dict[ContextKey, ContextValue], Field(max_length=32)] = Field(
        default={}, description="As of /predict.", json_schema_extra=without_default
    )


class Split(BaseModel):
    """A table as pandas' to_dict(orient="split") writes it."""

    columns: list[str] = Field(
        default=[],
        description="Names of the features, in any order; without: their order.",
        json_schema_extra=without_default,
    )
    data: list[list[Any]]


class InvocationsRequest(BaseModel):
    """Rows in one of the forms of MLflow, and whom they are for."""

    dataframe_split: Split = Field(default=Split(data=[]), json_schema_extra=without_default)
    dataframe_records: list[dict[str, Any]] = Field(
        default=[], description="An object of features by name a row.", json_schema_extra=without_default
    )
    instances: list[Row] = Field(
        default=[], description="Rows by name or in order.", json_schema_extra=without_default
    )
    inputs: list[Row] | dict[str, list[Any]] = Field(
        default=[],
        description="The same, or the values of each feature by its name.",
        json_schema_extra=without_default,
    )
    params: Params = Field(default=Params(), json_schema_extra=without_default)


class InvocationsResponse(Answered):
    """The answers."""

    predictions: list[int | str | float | list[int | str | float]] = Field(
        description="Label of the class that the model chose, or a regressor's value, a row; of a model of "
        "several outputs a list of them, as an MLflow scoring server answers."
    )
    request_ids: list[str] = Field(description="Of each row, for feedback.")
    probabilities: list[float | list[float | None] | None] = Field(
        description="Probability of the class that was chosen, a row; of several outputs a list."
    )
    outputs: list[str] = Field(
        default=[],
        description="Names of several outputs, in the order of those lists; the first is the primary one.",
        json_schema_extra=without_default,
    )


def blueprint(parts: Parts, spec: SpecTree) -> Blueprint:
    """The routes on `parts`."""
    routes = Blueprint("invocations", __name__)
    reloader, most = parts.reloader, parts.settings.max_rows
    at_start = reloader.lineup.models.interface.metadata
    predictor = Predictor(parts)

    @routes.get("/ping")
    @spec.validate(resp=responses(Health), tags=["mlflow"], skip_validation=True)
    def ping() -> Health:
        """Is the process alive?"""
        return Health()

    @routes.post("/invocations")
    @spec.validate(
        json=with_example(
            InvocationsRequest, _example(at_start), oneOf=[{"required": [each]} for each in FORMATS]
        ),
        resp=responses(InvocationsResponse, 400, 413, 415, 422, 503),
        tags=["mlflow"],
        skip_validation=True,
    )
    def invocations() -> Response:
        """Predict for a user, in the format of an MLflow scoring server.

        The user is `params.user_id` or the header Canario-User. The flag decides as for /predict.
        """
        body = read_body(request, InvocationsRequest)
        asked = {"user_id": _user(body), "rows": _rows(body), "context": body.params.context}
        lineup = reloader.lineup
        form = lineup.models.interface
        user_id, rows, context, *_ = to_parsed(asked, schema_of(form, most), form.metadata)
        said = predictor.predict(lineup, user_id, rows, context, row_ids(len(rows)))
        names = said.metadata.output_names
        answer = {
            "predictions": _columns_of(said.answers, names, "label"),
            "request_id": g.request_id,
            **said.who(),
            "request_ids": said.ids,
            "probabilities": _columns_of(said.answers, names, "probability"),
            **({"outputs": names} if names else {}),
        }
        return Response(orjson.dumps(answer), content_type="application/json")

    return routes


def _columns_of(answers: list[Answer], outputs: list[str], field: str) -> list[Any]:
    """A field of each answer; of several outputs a list of them."""
    if not outputs:
        return [getattr(each, field) for each in answers]
    return [[getattr(one, field) for one in (each, *each.more)] for each in answers]


def _example(metadata: Metadata) -> dict[str, Any]:
    row = {each.name: each.example for each in metadata.features}
    return {"dataframe_records": [row], "params": {"user_id": "u-1", "context": {"country": "NO"}}}


def _user(body: InvocationsRequest) -> str:
    user = body.params.user_id or user_of_header(request)
    if user is None:
        detail = "Say whom it is for: params.user_id, or the header Canario-User."
        raise invalid([Fault(field="params.user_id", detail=detail)])
    return user


def _rows(body: InvocationsRequest) -> list[Row]:
    """The rows of whichever form there is, not yet judged."""
    given = [each for each in FORMATS if each in body.model_fields_set]
    if len(given) != 1:
        raise invalid([Fault(field="body", detail=f"Give one of {', '.join(FORMATS)}.")])
    if given == ["dataframe_split"]:
        return _split(body.dataframe_split)
    if isinstance(body.inputs, dict) and given == ["inputs"]:
        return _columns(body.inputs)
    rows: list[Row] = list(getattr(body, given[0]))
    return rows


def _split(table: Split) -> list[Row]:
    if not table.columns:
        return list(table.data)
    for at, row in enumerate(table.data):
        if len(row) != len(table.columns):
            detail = f"There are {len(row)} values for {len(table.columns)} columns."
            raise invalid([Fault(field=f"dataframe_split.data[{at}]", detail=detail)])
    if len(set(table.columns)) < len(table.columns):
        raise invalid([Fault(field="dataframe_split.columns", detail="A column is there twice.")])
    return [dict(zip(table.columns, row, strict=True)) for row in table.data]


def _columns(columns: dict[str, list[Any]]) -> list[Row]:
    if len({len(values) for values in columns.values()}) != 1:
        raise invalid([Fault(field="inputs", detail="All features should have as many values.")])
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
