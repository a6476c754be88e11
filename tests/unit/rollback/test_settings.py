import pytest

from common.config import ConfigError, load_settings
from rollback.settings import RollbackSettings
from tests.unit.rollback.environment import ENVIRONMENT


def test_defaults_and_an_address_with_a_password() -> None:
    settings = load_settings(RollbackSettings, ENVIRONMENT)
    assert settings.prometheus_url.get_secret_value() == "http://reader:hunter2@prometheus.local:9090/prefix"
    assert (settings.unleash_project, settings.unleash_environment) == ("default", "production")
    assert settings.canary_flag == "canary"
    assert "hunter2" not in repr(settings)
    assert "user:abc" not in repr(settings)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("prometheus:9090", "is no address"),
        ("ftp://hunter2@prometheus", "is no address"),
        ("http://", "is no address"),
        ("http://prometheus:9090/api/v1", "ends in /api/v1"),
        ("http://prometheus:9090/?hunter2", "ends in ?"),
    ],
)
def test_an_address_that_cannot_work_is_refused_without_telling_it(url: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(RollbackSettings, ENVIRONMENT | {"CANARIO_PROMETHEUS_URL": url})
    assert str(caught.value).startswith("CANARIO_PROMETHEUS_URL: ")
    assert fault in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_what_is_missing_is_named_all_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(RollbackSettings, {})
    assert sorted(line.split(":")[0] for line in str(caught.value).splitlines()) == [
        "CANARIO_PROMETHEUS_URL",
        "CANARIO_UNLEASH_ADMIN_TOKEN",
        "CANARIO_UNLEASH_URL",
    ]
