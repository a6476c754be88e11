"""API servers: a small one in this process, and a real one for a whole run. Tests of weights have both."""

from collections.abc import Iterator

import pytest

from flags.mesh.kubernetes import ENDPOINT_SLICES_BETA
from tests.kubernetes.fake_api import ADMIN, FakeApi, serving
from tests.kubernetes.real_api import ADMIN_TOKEN, RealApi
from tests.kubernetes.scene import Cluster, cleared, filled


@pytest.fixture(scope="session")
def real_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealApi]:
    """With RBAC and CRDs, and nothing else in it."""
    api = RealApi(tmp_path_factory.mktemp("real-api"))
    try:
        api.start()
        yield api
    finally:
        api.stop()


@pytest.fixture
def fake() -> FakeApi:
    """The API in this process, empty."""
    return FakeApi()


@pytest.fixture(params=["in-process", pytest.param("real", marks=pytest.mark.kubernetes)])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """With the service, its pods and its routes."""
    if request.param == "in-process":
        with serving(request.getfixturevalue("fake")) as url:
            made = Cluster(url, ADMIN)
            filled(made)
            yield made
        return
    real: RealApi = request.getfixturevalue("real_api")
    made = Cluster(real.url, ADMIN_TOKEN, real.ca, slices=ENDPOINT_SLICES_BETA)
    cleared(made)
    filled(made)
    yield made
