"""The example of a service that is not ours: it stands alone, and its files fit what reads them."""

import ast
import re
import sys

from common.names import Metric
from common.rollouts import FILE, RolloutFile, choose
from docs.rooms import imported
from drills.shop import FLAG, FOLDER, ROLLOUTS
from flags.desired.file import load_desired
from flags.rollout.settings import PlannedFile, planned
from rollback.rollouts import GuardedFile, policy_of
from stack.paths import REPOSITORY

ITS_OWN = {"fastapi", "prometheus_client", "UnleashClient"}
ENVIRONMENT = {"CANARIO_ROLLOUTS": str(ROLLOUTS), "CANARIO_UNLEASH_URL": "http://unleash"}


def test_the_service_imports_nothing_of_ours() -> None:
    known = {name.partition(".")[0] for name in imported(FOLDER / "shop.py")}
    assert known - sys.stdlib_module_names == ITS_OWN


def test_it_needs_what_the_tests_have() -> None:
    needed = set((FOLDER / "requirements.txt").read_text().split())
    have = "".join((REPOSITORY / name).read_text() for name in ("requirements.txt", "requirements-dev.txt"))
    assert needed == {line for line in needed if re.search(rf"^{re.escape(line)}\s", have, re.MULTILINE)}
    assert len(needed) == len(ITS_OWN) + 1


def test_its_series_are_those_that_its_rollout_names() -> None:
    tree = ast.parse((FOLDER / "shop.py").read_text())
    made = {
        call.args[0].value + ("_total" if call.func.id == "Counter" else "")
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id in {"Counter", "Histogram"}
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    }
    signals = choose(RolloutFile, "rollback", None, ENVIRONMENT).file.signals
    named = {signals.of(name).name for name in ("calls", "errors", "latency", "answers", "outcomes")}
    assert named == made
    assert not named & {*Metric}


def test_its_rollout_is_judged_and_planned_by_the_templates() -> None:
    policy = policy_of(choose(GuardedFile, "rollback", None, ENVIRONMENT))
    assert policy.missing == ()
    plan = planned(
        choose(PlannedFile, "flags", None, ENVIRONMENT | {"CANARIO_UNLEASH_ADMIN_TOKEN": "user:x"})
    )
    assert [stage.name for stage in plan.plan.stages] == ["1%", "5%", "25%", "100%"]
    assert plan.arms.flag == FLAG
    assert {each.name for each in policy.guardrails} >= set(plan.plan.must_judge)


def test_its_flag_has_a_lease() -> None:
    (flag,) = load_desired(FOLDER / "flags.yaml").flags
    assert (flag.name, flag.leased, flag.initial.percent) == (FLAG, True, 0)
    assert (ROLLOUTS / "ranker" / FILE).is_file()
