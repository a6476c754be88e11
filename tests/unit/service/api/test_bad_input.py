"""Whatever comes in: a row, a prediction or a problem document, and never anything else."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from common.config import ConfigError, load_yaml
from service.api.openapi import request_for
from service.api.problems import RequestError
from service.api.request import to_values
from service.models.artifact import ClassLabel, Feature, Metadata
from service.models.onnx_model import array_of
from tests.thorough import part

Start = Callable[..., FlaskClient]
QUICK = settings(
    max_examples=part(150),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
MIXED = Metadata(
    format=2,
    name="mixed",
    version="1",
    task="classification",
    features=[
        Feature(name="age", type="number", example=1),
        Feature(name="plan", type="string", example="free"),
    ],
    classes=[ClassLabel(label=0, name="no"), ClassLabel(label=1, name="yes")],
    sha256="0" * 64,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=70), inner, max_size=4),
    max_leaves=12,
)
VALUES = st.floats() | st.integers() | st.text(max_size=5) | st.booleans() | st.none() | JSON


def post(client: FlaskClient, data: bytes, **headers: str) -> int:
    """The status; an error must be a problem document."""
    response = client.post("/predict", data=data, content_type="application/json", headers=headers)
    if response.status_code != 200:
        assert 400 <= response.status_code < 500, response.text
        assert response.content_type == "application/problem+json"
        assert response.get_json()["status"] == response.status_code
    return response.status_code


@QUICK
@given(data=st.binary(max_size=200))
def test_bytes(client: FlaskClient, data: bytes) -> None:
    assert post(client, data) in (400, 422)


@QUICK
@given(body=JSON)
def test_json_of_any_kind(client: FlaskClient, body: Any) -> None:
    assert post(client, json.dumps(body).encode("utf-8", "surrogatepass")) in (400, 422)


@QUICK
@given(user=JSON, features=st.lists(VALUES, max_size=32) | JSON, context=st.dictionaries(st.text(), VALUES))
def test_requests_of_nearly_the_right_form(
    client: FlaskClient, user: Any, features: Any, context: dict[str, Any]
) -> None:
    body = {"user_id": user, "features": features, "context": context}
    post(client, json.dumps(body).encode("utf-8", "surrogatepass"))


@QUICK
@given(
    headers=st.dictionaries(
        st.sampled_from(
            ["Content-Length", "Content-Encoding", "Accept", "X-Request-Id", "Authorization", "Range"]
        ),
        st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40),
    )
)
def test_headers_of_any_kind(client: FlaskClient, headers: dict[str, str]) -> None:
    environ = {f"HTTP_{name.upper().replace('-', '_')}": text for name, text in headers.items()}
    response = client.post("/predict", data=b"{}", content_type="application/json", environ_overrides=environ)
    packed = headers.get("Content-Encoding", "").strip().lower() not in ("", "identity")
    assert response.status_code == (415 if packed else 422)
    admin = client.get("/admin/canary", environ_overrides=environ, buffered=True)
    assert admin.status_code in (403, 429)


DEEP = [
    b"[" * 20_000,
    b"[" * 20_000 + b"]" * 20_000,
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    b'{"user_id": "u", "features": ' + b"[" * 150 + b"]" * 150 + b"}",
    b'{"user_id": "u", "features": [1], "context": {"a": ' + b'{"a":' * 150 + b"1" + b"}" * 151 + b"}",
]
LARGE = [
    b'{"user_id": "u", "features": [' + b"9" * 60_000 + b"]}",
    b'{"user_id": "u", "features": [1' + b"0" * 4299 + b"]}",
    b'{"user_id": "u", "features": [1e999999]}',
    b'{"user_id": "u", "features": [], "context": {"a": ' + b"9" * 4300 + b"}}",
    b'{"user_id": "u", "features": [], "context": {"a": -9223372036854775809}}',
    b'{"user_id": "u", "features": [' + b"1," * 30_000 + b"1]}",
    b'{"user_id": "u", "features": {' + b",".join(b'"%d":1' % n for n in range(6_000)) + b"}}",
    b'{"user_id": "u", "features": [], "context": {' + b",".join(b'"%d":1' % n for n in range(33)) + b"}}",
    b'{"user_id": "u", "features": [], "context": {"' + b"k" * 65 + b'": 1}}',
    b'{"user_id": "' + b"u" * 60_000 + b'", "features": []}',
    b'{"user_id": "\\ud800", "features": []}',
    b'{"user_id": "u", "features": [NaN]}',
    b'{"user_id": "u", "user_id": "v", "features": []}',
]


@pytest.mark.parametrize("data", DEEP + LARGE)
def test_what_is_deep_or_large_is_refused(client: FlaskClient, data: bytes) -> None:
    assert len(data) < 65_536
    assert post(client, data) in (400, 422)


def test_a_problem_stays_small_however_much_is_wrong(client: FlaskClient) -> None:
    wrong = json.dumps({"user_id": "u", "features": {f"{n:05}": "x" for n in range(4_000)}})
    response = client.post("/predict", data=wrong, content_type="application/json")
    assert response.status_code == 422
    assert len(response.data) < 4_000


@pytest.mark.parametrize("value", [{"b": 1}, "x" * 257, None])
def test_a_value_that_may_be_of_several_types_is_one_fault(client: FlaskClient, value: Any) -> None:
    body = {"user_id": "u", "features": [0.5] * 30, "context": {"a": value}}
    problem = client.post("/predict", json=body).get_json()
    assert problem["detail"] == "1 field does not fit: context.a."
    assert [each["field"] for each in problem["errors"]] == ["context.a"]


def test_a_body_that_is_chunked_has_the_same_limit(client: FlaskClient) -> None:
    response = client.post(
        "/predict",
        content_type="application/json",
        environ_overrides={
            "wsgi.input": _Endless(),
            "wsgi.input_terminated": True,
            "HTTP_TRANSFER_ENCODING": "chunked",
        },
    )
    assert response.status_code == 413


def test_chunks_that_are_none_are_the_clients_fault(client: FlaskClient) -> None:
    response = client.post(
        "/predict",
        content_type="application/json",
        environ_overrides={
            "wsgi.input": _Broken(),
            "wsgi.input_terminated": True,
            "HTTP_TRANSFER_ENCODING": "chunked",
        },
    )
    assert response.status_code == 400
    assert response.get_json()["detail"].startswith("The body cannot be read")


class _InvalidChunkError(Exception):
    """Like gunicorn's, which is no OSError."""


class _Broken:
    """A body that gunicorn cannot read."""

    def read(self, size: int = -1) -> bytes:
        raise _InvalidChunkError


class _Endless:
    """A body without an end, as a chunked one may be."""

    def read(self, size: int = -1) -> bytes:
        assert size >= 0, "reads without a limit"
        return b" " * size


@QUICK
@given(features=st.lists(VALUES, max_size=3) | st.dictionaries(st.sampled_from(["age", "plan", "x"]), VALUES))
def test_what_the_schema_lets_through_is_a_row_or_a_refusal(features: Any) -> None:
    try:
        request = request_for(MIXED, 10).model_validate({"user_id": "u", "features": features})
        row = array_of([to_values(request.features, MIXED)], MIXED)
    except (ValidationError, RequestError):
        return
    assert row.shape == (1, 2)
    age, plan = row[0]
    assert isinstance(age, float)
    assert np.isfinite(np.float32(age))
    assert isinstance(plan, str)


@QUICK
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_a_file_of_any_text_is_refused_with_a_sentence(tmp_path: Path, text: str) -> None:
    file = tmp_path / "model.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"model\.json"):
        load_yaml(file, Metadata)


@QUICK
@given(data=st.binary(max_size=200))
def test_a_file_of_any_bytes_is_refused_with_a_sentence(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "model.json"
    file.write_bytes(data)
    with pytest.raises(ConfigError, match=r"model\.json"):
        load_yaml(file, Metadata)


@QUICK
@given(fields=st.fixed_dictionaries({}, optional={name: JSON for name in (*Metadata.model_fields, "more")}))
def test_metadata_of_any_kind_is_refused_with_a_sentence(tmp_path: Path, fields: dict[str, Any]) -> None:
    good = json.loads(MIXED.model_dump_json(exclude_defaults=True))
    file = tmp_path / "model.json"
    file.write_text(json.dumps(good | fields), encoding="utf-8")
    with contextlib.suppress(ConfigError):  # the one error that it may raise; some fields fit
        load_yaml(file, Metadata)


@pytest.mark.parametrize(
    "text", ["[" * 5_000, "a: " + "{a: " * 3_000, "- " * 2_000, "&a [*a]", "? {}\n: 1", "? [a]\n: 1"]
)
def test_a_file_that_is_deep_or_recursive_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "model.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"model\.json"):
        load_yaml(file, Metadata)
