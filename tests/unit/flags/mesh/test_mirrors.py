"""How many requests a rule copies, as Istio, the Gateway API and Envoy say it."""

from typing import Any

import pytest
from pydantic import ValidationError

from flags.mesh import mirrors
from flags.mesh.routes import EnvoyPart, HttpRoutePart, RoutedFile, VirtualServicePart

SERVICE: dict[str, Any] = {"namespace": "shop", "name": "r", "champion": "v1", "challenger": "v2"}
ISTIO = VirtualServicePart.model_validate({"kind": "VirtualService", "mirror": "v2", **SERVICE})
GATEWAY = HttpRoutePart.model_validate({"kind": "HTTPRoute", "mirror": "v2", **SERVICE})
ENVOY = EnvoyPart.model_validate(
    {"kind": "envoy", "file": "/r.json", "champion": "v1", "challenger": "v2", "mirror": "v2"}
)
MIRROR = {"mirror": {"host": "v2.shop.svc.cluster.local"}}
TO_V2 = {"backendRef": {"name": "v2", "port": 80}}


@pytest.mark.parametrize(
    ("rule", "percent"),
    [
        ({}, 0),
        (MIRROR, 100),
        ({**MIRROR, "mirrorPercent": 7}, 7),
        ({**MIRROR, "mirrorPercent": 7, "mirrorPercentage": {"value": 0.5}}, 0.5),
        ({**MIRROR, "mirrorPercentage": {}}, 0),
        ({"mirrors": [{"destination": {"host": "audit"}}, {"destination": {"host": "v2"}}]}, 100),
        ({"mirrors": [{"destination": {"host": "audit"}}]}, 0),
    ],
)
def test_of_istio(rule: dict[str, Any], percent: float) -> None:
    found = mirrors.of_virtual_service(ISTIO, rule, {"destination": {"host": "v2"}})
    assert found is not None
    assert (found.percent, found.taken_by) == (percent, "")
    found.put(30)
    again = mirrors.of_virtual_service(ISTIO, rule, {"destination": {"host": "v2"}})
    assert again is not None
    assert again.percent == 30


@pytest.mark.parametrize(
    ("said", "percent"),
    [({}, 100), ({"percent": 7}, 7), ({"fraction": {"numerator": 1, "denominator": 200}}, 0.5)],
)
def test_of_the_gateway_api(said: dict[str, Any], percent: float) -> None:
    rule = {"filters": [{"type": "RequestMirror", "requestMirror": {**TO_V2, **said}}]}
    found = mirrors.of_http_route(GATEWAY, rule, {"name": "v2", "port": 80})
    assert found is not None
    assert found.percent == percent
    found.put(30)
    assert rule["filters"] == [{"type": "RequestMirror", "requestMirror": {**TO_V2, "percent": 30}}]


@pytest.mark.parametrize(
    ("policy", "percent"),
    [
        ({}, 100),
        ({"runtime_fraction": {"default_value": {}}}, 0),  # as Envoy writes 0 of 100
        ({"runtime_fraction": {"default_value": {"numerator": 7}}}, 7),
        ({"runtime_fraction": {"default_value": {"numerator": 5, "denominator": "TEN_THOUSAND"}}}, 0.05),
    ],
)
def test_of_envoy(policy: dict[str, Any], percent: float) -> None:
    audit = {"cluster": "audit"}
    action = {"request_mirror_policies": [audit, {"cluster": "v2", **policy}]}
    found = mirrors.of_envoy(ENVOY, action)
    assert found is not None
    assert found.percent == percent
    found.put(30)
    again = mirrors.of_envoy(ENVOY, action)
    assert again is not None
    assert again.percent == 30
    assert action["request_mirror_policies"][0] == audit


def test_who_copies_requests_names_the_flag_that_says_how_many() -> None:
    file: dict[str, Any] = {
        "name": "r",
        "arms": {"selector": {"job": "r"}},
        "signals": {"calls": "r_total"},
        "routes": [{"kind": "VirtualService", "mirror": "v2", **SERVICE}],
    }
    RoutedFile.model_validate({**file, "flag": {"name": "r", "shadow": "r-shadow"}})
    with pytest.raises(ValidationError, match=r"name it as flag\.shadow"):
        RoutedFile.model_validate({**file, "flag": {"name": "r"}})
