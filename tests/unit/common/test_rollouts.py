"""Rollouts are files: read, chosen and refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from common.arms import OURS
from common.config import ConfigError
from common.rollouts import FOLDER, RolloutFile, choose, environment_of, only, read_all

SHOP = """\
name: {name}
flag: {{name: {flag}, project: shop}}
arms:
  selector: {{job: shop}}
  label: variant
  champion: control
  challenger: v2
signals:
  calls: shop_requests_total
"""

Write = Callable[..., dict[str, str]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes rollouts by their names, and gives the environment that names their folder."""

    def write(**files: str) -> dict[str, str]:
        for name, text in files.items():
            folder = tmp_path / name.replace("_", "-")
            folder.mkdir(exist_ok=True)
            (folder / "rollout.yaml").write_text(text, encoding="utf-8")
        return {"CANARIO_ROLLOUTS": str(tmp_path)}

    return write


def shop(name: str, flag: str = "", more: str = "") -> str:
    return SHOP.format(name=name, flag=flag or name) + more


def versioned(name: str, more: str = "") -> str:
    return shop(name, more=more).replace("signals:", "signals:\n  versions: {metric: shop_build_info}")


def test_the_shipped_one_is_the_service_that_the_variables_mean() -> None:
    chosen = choose(RolloutFile, "rollback", None, {})
    assert chosen.path.parent.parent == FOLDER
    arms = chosen.arms("canary", "production", 'job="service"')
    assert arms == chosen.file.where()
    assert (arms.label, arms.champion, arms.challenger, arms.signals) == (
        "model",
        "champion",
        "challenger",
        OURS,
    )


def test_one_alone_is_overruled_by_variables() -> None:
    said = {"CANARIO_CANARY_FLAG": "mine", "CANARIO_SELECTOR": 'job="other"'}
    found = choose(RolloutFile, "rollback", None, said).environment
    assert (found["CANARIO_CANARY_FLAG"], found["CANARIO_SELECTOR"]) == ("mine", 'job="other"')
    assert found["CANARIO_SHADOW_FLAG"] == "shadow"


def test_the_models_folder_of_another_service_is_not_that_of_one_without_versions(write: Write) -> None:
    ours = {"CANARIO_MODELS": "/of/ours", "CANARIO_PROMETHEUS_URL": "http://prometheus"}
    found = choose(RolloutFile, "rollout", None, write(a=shop("a")) | ours).environment
    assert "CANARIO_MODELS" not in found
    assert found["CANARIO_PROMETHEUS_URL"] == "http://prometheus"
    found = choose(RolloutFile, "rollout", None, write(a=versioned("a")) | ours).environment
    assert found["CANARIO_MODELS"] == "/of/ours"


def test_a_models_folder_without_versions_is_refused(write: Write) -> None:
    with pytest.raises(ConfigError, match="models: which version it names could never be seen"):
        choose(RolloutFile, "rollout", None, write(a=shop("a", more="models: /models\n")))


def test_several_are_not(write: Write) -> None:
    environment = write(a=shop("a"), b=shop("b")) | {"CANARIO_CANARY_FLAG": "mine"}
    with pytest.raises(ConfigError, match="CANARIO_CANARY_FLAG: there are several rollouts"):
        choose(RolloutFile, "rollback", "a", environment)


def test_those_that_are_meant() -> None:
    found = {"a": 1, "b": 2}
    assert only(found, None) == found
    assert only(found, "b") == {"b": 2}
    with pytest.raises(ConfigError, match=r"^there is no rollout 'c' with routes; there are a, b$"):
        only(found, "c", which=" with routes")


def test_of_several_one_is_named(write: Write) -> None:
    environment = write(a=shop("a"), b=shop("b")) | {"CANARIO_MODELS": "/of/ours"}
    with pytest.raises(ConfigError, match="name one by --rollout, of a, b"):
        choose(RolloutFile, "flags", None, environment)
    with pytest.raises(ConfigError, match=r"there is no rollout 'c' in .*; there are a, b"):
        choose(RolloutFile, "flags", "c", environment)
    chosen = choose(RolloutFile, "flags", None, environment | {"CANARIO_ROLLOUT": "b"})
    assert chosen.environment["CANARIO_CANARY_FLAG"] == "b"
    assert chosen.environment["CANARIO_UNLEASH_PROJECT"] == "shop"
    assert "CANARIO_MODELS" not in chosen.environment  # those of another service


def test_each_program_may_have_a_token_of_its_own(write: Write, tmp_path: Path) -> None:
    tokens = f"tokens: {{rollback: {tmp_path}/shop.token}}\n"
    environment = write(a=shop("a", more=tokens), b=shop("b")) | {"CANARIO_UNLEASH_ADMIN_TOKEN": "user:all"}
    mine = choose(RolloutFile, "rollback", "a", environment).environment
    assert mine["CANARIO_UNLEASH_ADMIN_TOKEN_FILE"] == f"{tmp_path}/shop.token"
    assert "CANARIO_UNLEASH_ADMIN_TOKEN" not in mine
    assert (
        choose(RolloutFile, "board", "a", environment).environment["CANARIO_UNLEASH_ADMIN_TOKEN"]
        == "user:all"
    )
    assert "user:all" not in repr(choose(RolloutFile, "board", "a", environment))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (shop("other"), "rollout.yaml: name: is other, and the folder is a: they must be the same"),
        (shop("a").replace("job: shop", "variant: v2, le: x"), "rollout.yaml:4: arms.selector: the label le"),
        (shop("a").replace("calls:", "cals:"), "rollout.yaml:9: signals.cals: Extra inputs"),
        (shop("a") + "  latency: 1 2\n", "rollout.yaml:10: signals.latency"),
        (shop("a") + "tokens: {job: x}\n", "tokens: job: is no program; there are flags, rollback"),
    ],
)
def test_what_does_not_fit_is_told_with_its_line(write: Write, text: str, told: str) -> None:
    (found,) = dict(read_all(RolloutFile, "rollback", write(a=text))).values()
    assert isinstance(found, ConfigError)
    assert told in str(found)


def test_a_file_that_does_not_fit_stops_only_its_own(write: Write) -> None:
    found = dict(read_all(RolloutFile, "rollback", write(a=shop("a"), b="name: b")))
    assert isinstance(found["b"], ConfigError)
    assert not isinstance(found["a"], ConfigError)


def test_no_rollout_names_the_flag_of_another(write: Write) -> None:
    environment = write(a=shop("a", "same"), b=shop("b", "same"), c=shop("c"))
    found = dict(read_all(RolloutFile, "rollback", environment))
    assert "same in production is the flag of b too" in str(found["a"])
    assert "same in production is the flag of a too" in str(found["b"])
    assert not isinstance(found["c"], ConfigError)


def test_a_folder_without_any_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"CANARIO_ROLLOUTS: .* has no NAME/rollout\.yaml"):
        choose(RolloutFile, "flags", None, {"CANARIO_ROLLOUTS": str(tmp_path)})


def test_a_variable_in_a_file_is_what_the_environment_says(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELS_OF_SHOP", "/models/shop")
    environment = write(a=versioned("a", more="models: $MODELS_OF_SHOP\n"))
    assert choose(RolloutFile, "flags", "a", environment).file.models == "/models/shop"


def test_a_command_about_a_flag_acts_where_its_rollout_says(write: Write) -> None:
    environment = write(a=shop("a"), b=shop("b"), broken="name: 1") | {"CANARIO_MODELS": "/of/ours"}
    found = environment_of("b", "flags", environment)
    assert found["CANARIO_UNLEASH_PROJECT"] == "shop"
    assert "CANARIO_MODELS" not in found
    assert environment_of("nobodys", "flags", environment) == environment


def test_a_flag_is_turned_off_whatever_the_files_say(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "gone"):
        environment = {"CANARIO_ROLLOUTS": str(folder), "CANARIO_UNLEASH_PROJECT": "x"}
        assert environment_of("canary", "flags", environment) == environment


@pytest.mark.parametrize("stickiness", ["random", "default", ""])
def test_a_share_that_is_drawn_anew_at_each_call_is_refused(write: Write, stickiness: str) -> None:
    text = shop("a").replace("project: shop", f"project: shop, stickiness: '{stickiness}'")
    (found,) = dict(read_all(RolloutFile, "rollback", write(a=text))).values()
    assert "flag.stickiness: a user must stay with a model" in str(found)


def test_files_are_named_from_where_the_rollouts_file_lies(write: Write, tmp_path: Path) -> None:
    environment = write(a=shop("a", more="tokens: {rollback: ../shop.token}\nnotify: addresses\n"))
    found = choose(RolloutFile, "rollback", "a", environment).environment
    assert Path(found["CANARIO_UNLEASH_ADMIN_TOKEN_FILE"]).resolve() == tmp_path / "shop.token"
    assert found["CANARIO_NOTIFY_URLS_FILE"] == str(tmp_path / "a" / "addresses")
