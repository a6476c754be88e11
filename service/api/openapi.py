"""The OpenAPI document and its page, made by spectree from the models that the routes declare.

Spectree only documents: bodies are validated by `service.api.request`, whose errors are problem documents.
"""

from collections.abc import Callable
from functools import lru_cache
from inspect import unwrap
from typing import Annotated, Any

from flask import Flask, redirect
from flask.typing import ResponseReturnValue
from pydantic import Discriminator, Field, JsonValue, Tag, TypeAdapter, WithJsonSchema, create_model
from spectree import Response, SecurityScheme, SecuritySchemeData, SpecTree
from spectree.model_adapter.protocol import SchemaMode
from spectree.model_adapter.pydantic_adapter import PydanticModelAdapter
from spectree.models import SecureType

from service.api.predict_schema import Either, Number, PredictRequest, Text, without_default
from service.api.problems import CONTENT_TYPE, Problem
from service.api.request import Body, list_or_dict
from service.models.artifact import Metadata
from service.models.interface import Interface, RequestForm, columns_of_champion

PROBLEMS = {
    400: "The body is no valid JSON.",
    401: "The bearer token is missing or wrong.",
    403: "The admin routes are off.",
    404: "There is no such model, or Unleash has no such flag.",
    409: "The flag is in a state that cannot be changed from here.",
    413: "The body is too large.",
    415: "The body is not application/json, or packed by something else than gzip.",
    422: "Fields do not fit; `errors` names them.",
    429: "Too many calls or wrong tokens in the last minute; Retry-After says when to try again.",
    502: "Unleash answered something unexpected.",
    503: "Unleash, or a champion elsewhere, does not answer, or too many ask at once; see Retry-After.",
}
ADMIN: dict[str, list[str]] = {
    "admin": []
}  # what an operation's `security` says when it needs the bearer token


class _EachModelOnce(PydanticModelAdapter):
    """Makes the schema of a model once. Spectree asks for it at each route and status, and changes a copy."""

    def json_schema(
        self, model: type[Any], *, ref_template: str, mode: SchemaMode = "validation"
    ) -> dict[str, Any]:
        """See PydanticModelAdapter."""
        each: Any = model  # a class can be hashed, whatever mypy thinks
        return _made_schema(each, ref_template, mode)


@lru_cache(maxsize=128)
def _made_schema(model: type[Any], ref_template: str, mode: SchemaMode) -> dict[str, Any]:
    return PydanticModelAdapter().json_schema(model, ref_template=ref_template, mode=mode)


def new_spec() -> SpecTree:
    """A document without routes; those decorated with its `validate` are in it."""
    adapter: Any = _EachModelOnce()
    return SpecTree(
        "flask",
        title="Canario",
        description="Predictions from a champion model, or a challenger for those whom the flag chooses.",
        version="1",
        path="docs",
        naming_strategy=lambda model: model.__name__,
        nested_naming_strategy=lambda _parent, child: child,  # names with dots stop makers of clients
        mode="strict",
        annotations=False,
        model_adapter=adapter,
        security_schemes=[
            SecurityScheme(name="admin", data=SecuritySchemeData(type=SecureType.HTTP, scheme="bearer"))
        ],
    )


def responses(success: type, *problems: int, status: int = 200, problem: type[Problem] = Problem) -> Response:
    """The documented responses of a route: `status` with `success`, and these problems."""
    return Response(
        **{f"HTTP_{status}": success}, **{f"HTTP_{each}": (problem, PROBLEMS[each]) for each in problems}
    )


def serve(spec: SpecTree, app: Flask, model_name: str, current: Callable[[], type[PredictRequest]]) -> None:
    """Serve the document at /openapi.json and its page at /docs; call it when all routes are registered.

    Args:
        model_name: what `{name}` is in paths.
        current: the schema of requests to the models that serve now.
    """
    spec.register(app)
    with app.app_context():
        _use_problem_content_type(spec.spec)
        _name_the_model(spec.spec, model_name)
    # The document is made: what is wrapped around the busy routes for its sake would only cost time now.
    for busy in ("predict.predict", "infer.infer", "invocations.invocations", "feedback.give_feedback"):
        app.view_functions[busy] = unwrap(app.view_functions[busy])
    _keep_current(spec.spec, app, current)
    app.add_url_rule("/docs", view_func=_to_page, endpoint="docs")
    app.add_url_rule("/openapi.json", view_func=_to_document, endpoint="openapi")


def _keep_current(document: dict[str, Any], app: Flask, current: Callable[[], type[PredictRequest]]) -> None:
    """Models that come while the service runs may take other features: the document has those of now."""
    (endpoint,) = {rule.endpoint for rule in app.url_map.iter_rules() if rule.rule == "/docs/openapi.json"}
    answer = app.view_functions[endpoint]

    def of_now(*args: Any, **named: Any) -> Any:
        document["components"]["schemas"]["PredictRequest"] = current().model_json_schema()
        return answer(*args, **named)

    app.view_functions[endpoint] = of_now


def _use_problem_content_type(document: dict[str, Any]) -> None:
    """Spectree knows JSON only; errors are application/problem+json."""
    for path in document["paths"].values():
        for operation in path.values():
            for status, response in operation.get("responses", {}).items():
                if int(status) >= 400 and "application/json" in response.get("content", {}):
                    response["content"][CONTENT_TYPE] = response["content"].pop("application/json")


def _name_the_model(document: dict[str, Any], model_name: str) -> None:
    for path in document["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", ()):
                if (parameter["in"], parameter["name"]) == ("path", "name"):
                    parameter |= {"description": "CANARIO_MODEL_NAME", "example": model_name}


def _to_page() -> ResponseReturnValue:
    return redirect("/docs/swagger/")


def _to_document() -> ResponseReturnValue:
    return redirect("/docs/openapi.json")


def with_example(model: type[Body], example: dict[str, Any], **more: Any) -> type[Body]:
    """`model` as it is documented: of the same name, with an example that the served model answers."""
    made: type[Body] = create_model(model.__name__, __base__=model, __doc__=model.__doc__)
    made.model_config["json_schema_extra"] = {"examples": [example], **more}
    return made


@lru_cache(maxsize=8)
def schema_of(interface: Interface, most_rows: int) -> type[PredictRequest]:
    """The schema of requests to the models that serve together, made once for them."""
    return request_for(interface.metadata, most_rows)


def request_for(metadata: Metadata, most_rows: int) -> type[PredictRequest]:
    """The schema of requests to the model of `metadata`: its own features, by type and name."""
    if isinstance(metadata, RequestForm) and metadata.ignored:  # which may be of any type
        features = _features(Either | None, "numbers and strings")
    elif not metadata.has_strings:
        features = _features(Number | None, "numbers")
    elif all(each.type == "string" for each in metadata.features):
        features = _features(Text | None, "strings")
    else:
        features = _features(Either | None, "numbers and strings")
    each: Any = Annotated[features, WithJsonSchema(_features_schema(metadata))]
    example: dict[str, JsonValue] = {
        "user_id": "u-1",
        "features": {each.name: each.example for each in metadata.features},
        "context": {"country": "NO"},
    }
    made: type[PredictRequest] = create_model(
        "PredictRequest",
        __base__=PredictRequest,
        __doc__=PredictRequest.__doc__,
        features=(each, _described("features")),
        rows=(Annotated[list[each], Field(min_length=1, max_length=most_rows)], _described("rows")),
    )
    made.model_config["json_schema_extra"] = {
        "examples": [example],
        "oneOf": [{"required": ["features"]}, {"required": ["rows"]}],
    }
    return made


def _described(field: str) -> Any:
    """The field of a request, which is left out where it is not given."""
    told = PredictRequest.model_fields[field].description
    return Field(default=[], description=told, json_schema_extra=without_default)


def _features_schema(metadata: Metadata) -> dict[str, Any]:
    """What a client must send, exactly; how it is told where it does not is `to_values`'s business."""
    of_type = {"number": TypeAdapter(Number).json_schema(), "string": TypeAdapter(Text).json_schema()}
    each = [
        {"anyOf": [of_type[feature.type], {"type": "null"}]} if feature.gaps else of_type[feature.type]
        for feature in metadata.features
    ]
    one = each[0] if len({(feature.type, feature.gaps) for feature in metadata.features}) == 1 else None
    in_order = {"items": one} if one else {"prefixItems": each, "items": False}
    by_name = dict(zip(metadata.names, each, strict=True))
    if isinstance(metadata, RequestForm):
        by_name |= {
            name: by_name[name] | {"description": f"Taken by the {by} only."}
            for name, by in metadata.taken_by.items()
        }
        by_name |= {name: {"description": "Taken by no model any more."} for name in sorted(metadata.ignored)}
    required = [name for name in metadata.names if name not in metadata.gaps]
    least = columns_of_champion(metadata)
    return {
        "anyOf": [
            {"type": "array", **in_order, "minItems": least, "maxItems": len(each)},
            {
                "type": "object",
                "properties": by_name,
                "required": required,
                "additionalProperties": False,
            },
        ]
    }


def _features(value: Any, told: str) -> Any:
    return Annotated[
        Annotated[list[value], Field(max_length=10_000), Tag("in order")]
        | Annotated[dict[str, value], Field(max_length=10_000), Tag("by name")],
        Discriminator(
            list_or_dict,
            custom_error_type="features_kind",
            custom_error_message=f"Input should be a list of {told} or an object of {told} by name",
        ),
    ]
