"""Bodies as they are sent: packed, too large by a byte, with names that no table should show."""

import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.unit.service.conftest import ROW

Start = Callable[..., FlaskClient]
GOOD = json.dumps({"user_id": "u-1", "features": ROW}).encode()
LIMIT = 65_536


def packed(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)  # the same at each start


TOO_LARGE = packed(b" " * (LIMIT + 1))


def post(client: FlaskClient, data: bytes, encoding: str = "gzip", path: str = "/predict") -> TestResponse:
    headers = {"Content-Encoding": encoding}
    return client.post(path, data=data, content_type="application/json", headers=headers)


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (packed(GOOD), "gzip"),
        (packed(GOOD), " GZIP "),
        (packed(GOOD), "x-gzip"),
        (packed(GOOD[:20]) + packed(b"") + packed(GOOD[20:]), "gzip"),
        (packed(GOOD.ljust(LIMIT)), "gzip"),
        (GOOD, "identity"),
        (GOOD, ""),
    ],
)
def test_a_packed_body_is_read(client: FlaskClient, data: bytes, encoding: str) -> None:
    assert post(client, data, encoding).status_code == 200


@pytest.mark.parametrize("path", ["/predict", "/feedback"])
@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate", "gzip, gzip", "nonsense"])
def test_another_packing_is_refused_with_what_is_read(client: FlaskClient, encoding: str, path: str) -> None:
    response = post(client, GOOD, encoding, path)
    assert (response.status_code, response.headers["Accept-Encoding"]) == (415, "gzip")
    assert "gzip" in response.get_json()["detail"]


@pytest.mark.parametrize("data", [b"", GOOD, packed(GOOD)[:-1], packed(GOOD) + b"x", zlib.compress(GOOD)])
def test_what_is_no_gzip_is_refused(client: FlaskClient, data: bytes) -> None:
    response = post(client, data)
    assert response.status_code == 400
    assert "gzip" in response.get_json()["detail"]


@pytest.mark.parametrize(
    "data",
    [
        TOO_LARGE,
        packed(b" " * LIMIT) + packed(b" "),
        packed(b"\0" * 50_000_000),  # 48 kB
        packed(b"") * 3_000 + TOO_LARGE,
    ],
)
def test_what_would_be_too_large_is_not_unpacked(start: Start, data: bytes) -> None:
    client = start()
    assert len(data) < LIMIT
    tracemalloc.start()
    try:
        assert post(client, data).status_code == 413
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_the_largest_body_is_read_and_one_byte_more_refused(client: FlaskClient) -> None:
    assert post(client, GOOD.ljust(LIMIT), "").status_code == 200
    assert post(client, GOOD.ljust(LIMIT + 1), "").status_code == 413


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31m", "\x9b31m", "a\x7f", "a\u202eb", "a\u2066", "a\u2028"])
def test_names_of_properties_have_no_control_characters(client: FlaskClient, name: str) -> None:
    response = client.post("/predict", json={"user_id": "u-1", "features": ROW, "context": {name: "x"}})
    assert response.status_code == 422
    (fault,) = response.get_json()["errors"]
    assert fault["field"] == f"context.{name}"


@pytest.mark.parametrize("name", ["country", "land, Größe 1", "国", "a b", "\u200d"])
def test_other_names_are_taken(client: FlaskClient, name: str) -> None:
    body = {"user_id": "u-1", "features": ROW, "context": {name: "any \n\x1b[31m \u202e value"}}
    assert client.post("/predict", json=body).status_code == 200
