"""Rollouts with their guardrails: what is judged of a service that is not ours."""

from pathlib import Path

import pytest

from common.arms import Arms, Signals
from common.config import ConfigError
from common.durations import parse_duration
from common.rollouts import choose
from rollback.guardrails.file import load_policy
from rollback.guardrails.kinds.counters import CounterRatio
from rollback.guardrails.kinds.tails import TailRatio
from rollback.guardrails.kinds.template import render
from rollback.guardrails.kinds.threshold import Threshold
from rollback.rollouts import PROGRAM, TEMPLATES, Guarded, GuardedFile, every, policy_of

SHOP = """\
name: {name}
flag: {{name: {name}-v2}}
arms: {{selector: {{job: shop}}, label: variant, champion: control, challenger: v2}}
signals:
  calls: shop_requests_total
  errors: shop_requests_total{{status=~"5.."}}
  latency: {{metric: shop_seconds, unit: milliseconds}}
"""
VARIABLES = {
    "CANARIO_UNLEASH_URL": "http://unleash:4242",
    "CANARIO_UNLEASH_ADMIN_TOKEN": "user:x",
    "CANARIO_PROMETHEUS_URL": "http://prometheus:9090",
    "CANARIO_DECISIONS_DIR": "/decisions",
}


def folder_of(tmp_path: Path, **files: str) -> dict[str, str]:
    for name, text in files.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "rollout.yaml").write_text(text, encoding="utf-8")
    return {**VARIABLES, "CANARIO_ROLLOUTS": str(tmp_path)}


def one(tmp_path: Path, text: str) -> Guarded | ConfigError:
    (found,) = dict(every(environment=folder_of(tmp_path, shop=text))).values()
    return found


def test_guardrails_get_the_series_of_the_service(tmp_path: Path) -> None:
    found = one(tmp_path, SHOP.format(name="shop") + "guardrails: http-service\n")
    assert isinstance(found, Guarded)
    errors, tail, gross = found.policy.guardrails
    assert isinstance(errors, CounterRatio)
    assert (str(errors.bad), str(errors.total)) == (
        'shop_requests_total{status=~"5.."}',
        "shop_requests_total",
    )
    assert isinstance(tail, TailRatio)
    assert (tail.histogram, tail.unit) == ("shop_seconds", "milliseconds")
    assert isinstance(gross, Threshold)
    assert render(gross.sample, parse_duration("2m"), found.arms) == (
        'sum(increase(shop_requests_total{job="shop", variant="v2"}[2m]))'
    )
    assert [(each.name, why) for each, why in found.policy.missing] == [
        ("outcomes", "not available: the rollout names no signal `outcomes`")
    ]


@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_every_template_fits_whoever_has_calls(template: str) -> None:
    calls = Signals.model_validate({"calls": "x_total", "errors": "y_total"})
    assert "errors" in {each.name for each in load_policy(TEMPLATES[template], calls).guardrails}


def test_ours_is_what_it_was() -> None:
    """The default policy names the metrics of Canario's service, as alerts and docs do."""
    found = load_policy()
    assert not found.missing
    rendered = [
        render(each.value, each.window, Arms("canary", "production"))
        for each in found.guardrails
        if isinstance(each, Threshold)
    ]
    assert rendered[1] == (
        'sum(increase(prediction_errors_total{job="service", model="challenger"}[2m]))'
        ' / sum(increase(model_calls_total{job="service", model="challenger"}[2m]))'
    )


def test_a_rollout_whose_signals_judge_nothing_is_refused(tmp_path: Path) -> None:
    text = SHOP.format(name="shop") + (
        "guardrails:\n"
        "  scrape_interval: 5s\n"
        "  guardrails:\n"
        "    - {kind: sequential, name: sales, description: What it is for., action: rollback,\n"
        "       bad: '{outcomes}', total: '{calls}', share_of_alpha: 1, worse: fewer}\n"
    )
    found = one(tmp_path, text)
    assert isinstance(found, ConfigError)
    assert "none of its guardrails has what it needs" in str(found)
    assert "sales: not available: the rollout names no signal `outcomes`" in str(found)


def test_inline_guardrails_are_validated_with_their_line(tmp_path: Path) -> None:
    text = (
        SHOP.format(name="shop")
        + "guardrails:\n  scrape_interval: 5s\n  guardrails:\n    - {kind: treshold}\n"
    )
    found = one(tmp_path, text)
    assert isinstance(found, ConfigError)
    assert (
        "rollout.yaml:11: guardrails.guardrails[0].kind: Input should be 'sequential' or 'threshold'"
        in str(found)
    )


def test_a_slower_scrape_is_said_once(tmp_path: Path) -> None:
    text = SHOP.format(name="shop").replace("challenger: v2", "challenger: v2, scrape_interval: 30s")
    found = one(tmp_path, text + "guardrails: http-service\n")
    assert isinstance(found, Guarded)
    assert found.policy.scrape_interval == found.policy.step == parse_duration("30s")
    (tmp_path / "shop" / "rollout.yaml").write_text(text.replace("30s", "2m") + "guardrails: http-service\n")
    (refused,) = dict(every(environment={**VARIABLES, "CANARIO_ROLLOUTS": str(tmp_path)})).values()
    assert "arms.scrape_interval: 2m does not fit the guardrails" in str(refused)


def test_several_have_decisions_of_their_own(tmp_path: Path) -> None:
    environment = folder_of(tmp_path, a=SHOP.format(name="a"), b=SHOP.format(name="b"))
    folders = [
        one.settings.decisions_dir
        for one in dict(every(environment=environment)).values()
        if isinstance(one, Guarded)
    ]
    assert folders == [Path("/decisions/a"), Path("/decisions/b")]


def test_simulations_judge_a_strangers_rollout_too(tmp_path: Path) -> None:
    environment = folder_of(tmp_path, shop=SHOP.format(name="shop") + "guardrails: http-service\n")
    chosen = choose(GuardedFile, PROGRAM, None, environment)
    assert (
        policy_of(chosen, signals=chosen.file.signals.canonical()).guardrails[0].series[0].name
        == "model_calls_total"
    )
