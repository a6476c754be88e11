"""The plan's file: what is refused, and that the one that is shipped is well."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.config import ConfigError
from flags.rollout.schema import DEFAULT_FILE, RolloutPlan, load_plan
from rollback.guardrails.file import load_policy

STAGES: list[dict[str, Any]] = [{"shadow": 100, "least": "7d"}, {"share": 5, "least": "1h"}, {"share": 100}]


def test_the_shipped_plan_is_that_of_the_runbook() -> None:
    plan = load_plan()
    assert [stage.name for stage in plan.stages] == ["shadow", "1%", "5%", "25%", "100%"]
    assert [stage.lasts for stage in plan.stages] == [timedelta(hours=h) for h in (168, 24, 24, 48, 24)]
    assert (plan.begin, plan.promote) == ("by_hand", "by_itself")


def test_the_shipped_plan_asks_only_for_guardrails_that_there_are() -> None:
    names = {guardrail.name for guardrail in load_policy().guardrails}
    assert set(load_plan().must_judge) <= names


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"stages": []}, "no stage has a share"),
        ({"stages": STAGES[:1]}, "no stage has a share"),
        ({"stages": [{"share": 5}, {"share": 5}]}, "shares must grow"),
        ({"stages": [{"share": 25}, {"share": 5}]}, "shares must grow"),
        ({"stages": [{"share": 5}, {"shadow": 100}]}, "a shadow stage first"),
        ({"stages": [{"shadow": 50}, {"shadow": 100}, {"share": 5}]}, "shares must grow"),
        ({"stages": [{"least": "1h"}]}, "give either share or shadow"),
        ({"stages": [{"share": 5, "shadow": 5}]}, "give either share or shadow"),
        ({"stages": [{"share": 5, "samples": 5}]}, "samples: for a stage with shadow"),
        ({"stages": [{"shadow": 5, "requests": 5}, {"share": 5}]}, "requests: for a stage with share"),
        ({"stages": [{"share": 100, "score_shift": 0.1}]}, "score_shift: at 100% there is no champion"),
        ({"stages": [{"share": 101}]}, "less than or equal to 100"),
        ({"stages": [{"share": 0}]}, "greater than or equal to 1"),
        ({"stages": [{"share": 5, "least": "1 week"}]}, "is no duration"),
        ({"stages": [{"share": 5, "least": 3600}]}, "is no duration"),
        ({"stages": [{"share": 5, "speed": 3}]}, "Extra inputs"),
        ({"stages": [{"share": 50}], "promote": "by_itself"}, "needs a last stage of 100%"),
        ({"promote": "never"}, "by_itself"),
        ({"must_judge": ["errors", "errors"]}, "stands here twice: errors"),
    ],
)
def test_what_is_refused(tmp_path: Path, changes: dict[str, Any], fault: str) -> None:
    file = tmp_path / "rollout.yaml"
    file.write_text(yaml.safe_dump({"stages": STAGES} | changes), encoding="utf-8")
    with pytest.raises(ConfigError, match=fault) as caught:
        load_plan(file)
    assert str(file) in str(caught.value)


def test_a_faster_world_has_shorter_stages_and_fewer_requests() -> None:
    plan = load_plan()
    quick = plan.faster(1000)
    assert quick.stages[0].least == timedelta(days=7) / 1000
    assert (quick.stages[0].samples, quick.stages[1].requests, quick.stages[3].requests) == (10, 2, 50)
    assert quick.stages[0].agreement == plan.stages[0].agreement
    assert quick.guard_silent_for == plan.guard_silent_for
    assert plan.faster(1) is plan


def test_a_stage_may_have_no_time() -> None:
    plan = RolloutPlan.model_validate({"stages": [{"share": 100}], "promote": "by_hand"})
    assert plan.faster(10).stages[0].lasts == timedelta()
    assert plan.shadow is None


def test_the_file_is_where_people_look_for_it() -> None:
    assert DEFAULT_FILE.name == "rollout.yaml"
    assert DEFAULT_FILE.parent.name == "flags"
