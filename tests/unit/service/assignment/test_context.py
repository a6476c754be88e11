"""One value in a context is one text, however it is written: for constraints, for the log, for reports."""

import json
import math
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from service.api.predict_schema import GREATEST
from service.api.request import as_text
from tests.unit.service.conftest import ROW, flag, rollout

# What JavaScript says of it: node -e 'console.log(String(3.0))'
WRITTEN = [
    ("3", "3"),
    ("3.0", "3"),
    ("3e0", "3"),
    ("-3.00", "-3"),
    ("0", "0"),
    ("-0", "0"),
    ("-0.0", "0"),
    ("1e2", "100"),
    ("100.0", "100"),
    ("0.1", "0.1"),
    ("1.50", "1.5"),
    ("1e16", "10000000000000000"),
    ("1e20", "100000000000000000000"),
    ("1.2345678901234568e20", "123456789012345680000"),
    ("1e21", "1e+21"),
    ("1.5e22", "1.5e+22"),
    ("0.000001", "0.000001"),
    ("1e-7", "1e-7"),
    ("0.00000123", "0.00000123"),
    ("9007199254740993", "9007199254740993"),
    ("true", "true"),
    ("false", "false"),
    ('"3.0"', "3.0"),
    ('"True"', "True"),
]


@pytest.mark.parametrize(("written", "text"), WRITTEN)
def test_a_value_is_written_as_unleash_writes_it(written: str, text: str) -> None:
    assert as_text(json.loads(written)) == text


@given(st.floats(-GREATEST, GREATEST))
def test_a_text_is_the_number_and_no_other(number: float) -> None:
    assert float(as_text(number)) == number
    assert as_text(float(as_text(number))) == as_text(number)


@given(st.integers(-(2**53), 2**53))
def test_an_integer_and_its_float_are_one(number: int) -> None:
    assert as_text(number) == as_text(float(number))
    assert math.isclose(float(as_text(number)), number)


@pytest.mark.parametrize("written", ["3", "3.0", "3e0", "0.3e1", '"3"'])
def test_users_who_are_excluded_by_a_number_have_the_champion(
    start: Callable[..., FlaskClient], written: str
) -> None:
    out = {"contextName": "tier", "operator": "NOT_IN", "values": ["3"], "inverted": False}
    client = start(flag(rollout(100, [out])))
    body = json.dumps({"user_id": "u", "features": ROW, "context": {"tier": "@"}}).replace('"@"', written)
    answer = client.post("/predict", data=body, content_type="application/json")
    assert answer.get_json()["assigned"] == "champion"
