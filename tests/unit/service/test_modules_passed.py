"""Who follows a request opens few modules."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from tests.unit.passed import modules_passed
from tests.unit.service.conftest import ROW, flag, rollout

Start = Callable[..., FlaskClient]


@pytest.mark.parametrize(("share", "model", "most"), [(0, "champion", 9), (100, "challenger", 12)])
def test_a_request_passes_few_modules(start: Start, share: int, model: str, most: int) -> None:
    client = start(flag(rollout(share)))
    client.post("/predict", json={"user_id": "u", "features": ROW})  # what is made once is made
    with modules_passed() as found:
        answer = client.post("/predict", json={"user_id": "u", "features": ROW}).get_json()
    assert answer["model"] == model
    assert len(found) <= most, sorted(found)
