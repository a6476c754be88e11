"""A step carried out: what is written, and what becomes of it when somebody is a moment faster."""

from datetime import timedelta
from typing import cast

import pytest

from common.arms import Arms
from common.release import Note
from flags.canary.marks import quarantine
from flags.promotion.promote import Promoter
from flags.rollout.controller import advance, look_and_decide
from flags.rollout.decide import StepKind
from flags.rollout.readings import Readings
from flags.rollout.schema import RolloutPlan
from flags.rollout.situation import DeployedModels, Rollout, Situation
from flags.unleash.admin import UnleashAdmin
from flags.unleash.errors import ChangedMeanwhile, Quarantined
from flags.unleash.http import Timeouts
from tests.unit.flags.fake_unleash import FakeUnleash, gradual

PLAN = RolloutPlan.model_validate(
    {"begin": "by_itself", "promote": "by_itself", "stages": [{"share": 5}, {"share": 25}, {"share": 100}]}
)
QUICK = Timeouts(connect=0.5, read=0.5, backoff=0.01)


class Reading(Rollout):
    """A rollout whose Prometheus is content."""

    def measure(self, seen: Situation) -> Readings:
        return Readings(
            version="2 abc", last_pass=seen.now + timedelta(seconds=1), judged=10**9, judged_version="2 abc"
        )


@pytest.fixture
def rollout(unleash: FakeUnleash) -> Rollout:
    return Reading(
        PLAN, UnleashAdmin(unleash.url, "user:flags", timeouts=QUICK), Arms("canary", "production"), "shadow"
    )


def writes(unleash: FakeUnleash) -> list[str]:
    return [f"{call.method} {call.path.rpartition('/')[2]}" for call in unleash.calls if call.method != "GET"]


def test_a_step_writes_one_field(unleash: FakeUnleash, rollout: Rollout) -> None:
    unleash.add("canary", gradual(0, id="s"))
    found = advance(rollout)
    assert found.done == "not begun -> 5%: 5% of the users get the challenger"
    assert writes(unleash) == ["PATCH s"]
    assert unleash.rollout() == "5"


def test_a_flag_that_is_off_gets_its_share_before_it_is_on(unleash: FakeUnleash, rollout: Rollout) -> None:
    unleash.add("canary", gradual(25, id="s"), enabled=False)
    advance(rollout)
    assert writes(unleash) == ["PATCH s", "POST on"]
    assert unleash.rollout() == "5"


def test_waiting_and_refusing_write_nothing(unleash: FakeUnleash, rollout: Rollout) -> None:
    unleash.add("canary")
    assert advance(rollout).step.kind is StepKind.REFUSE
    unleash.add("canary", gradual(5))
    blind = Rollout(PLAN, rollout.admin, Arms("canary", "production"), "shadow")
    found = advance(blind)
    assert found.step.kind is StepKind.WAIT
    assert "CANARIO_PROMETHEUS_URL" in found.step.sentence
    assert writes(unleash) == []


def test_a_share_that_changes_at_the_last_moment_is_not_overwritten(
    unleash: FakeUnleash, rollout: Rollout
) -> None:
    unleash.add("canary", gradual(5, id="s"))

    def lower() -> None:
        unleash.here()["strategies"][0]["parameters"]["rollout"] = "1"

    unleash.just_before("PATCH", "/s", lower)
    with pytest.raises(ChangedMeanwhile):
        advance(rollout)
    assert unleash.rollout() == "1"


def test_a_flag_that_goes_off_at_the_last_moment_keeps_its_share(
    unleash: FakeUnleash, rollout: Rollout
) -> None:
    unleash.add("canary", gradual(5, id="s"))

    def off() -> None:
        unleash.here()["enabled"] = False
        unleash.log("feature-environment-disabled", "canary", "ada", "production")

    unleash.just_before("PATCH", "/s", off)
    with pytest.raises(ChangedMeanwhile, match="ada changed canary in the moment"):
        advance(rollout)
    assert (unleash.rollout(), unleash.here()["enabled"]) == ("5", False)
    assert look_and_decide(rollout).step.kind is StepKind.REFUSE


def test_models_that_change_at_the_last_moment_get_nothing(
    unleash: FakeUnleash, rollout: Rollout, monkeypatch: pytest.MonkeyPatch
) -> None:
    unleash.add("canary", gradual(5, id="s"))
    found = iter(["2 abc", "3 def"])
    monkeypatch.setattr(
        Rollout, "deployed", lambda _self: DeployedModels(known=True, challenger=next(found, "3 def"))
    )
    with pytest.raises(ChangedMeanwhile, match="somebody changed the models"):
        advance(rollout)
    assert writes(unleash) == []


def test_a_strategy_that_is_disabled_at_the_last_moment_keeps_its_share(
    unleash: FakeUnleash, rollout: Rollout
) -> None:
    unleash.add("canary", gradual(5, id="s"))
    unleash.save()

    def disable() -> None:
        unleash.save(disabled=True)
        unleash.here()["enabled"] = False
        unleash.log("feature-environment-disabled", "canary", "ada", "production")

    unleash.just_before("PATCH", "/s", disable)
    with pytest.raises(ChangedMeanwhile, match="ada changed canary in the moment"):
        advance(rollout)
    assert (unleash.rollout(), unleash.here()["enabled"]) == ("5", False)
    step = look_and_decide(rollout).step
    assert step.kind is StepKind.REFUSE
    assert "by ada at" in step.sentence


def test_a_flag_that_is_archived_at_the_last_moment_keeps_its_share(
    unleash: FakeUnleash, rollout: Rollout
) -> None:
    unleash.add("canary", gradual(5, id="s"))

    def hide() -> None:
        unleash.archive["canary"] = unleash.flags.pop("canary")

    def archive() -> None:  # Unleash patches strategies of archived flags all the same
        unleash.log("feature-archived", "canary", "ada")
        unleash.just_before("GET", "/search/events", hide)

    unleash.just_before("PATCH", "/s", archive)
    with pytest.raises(ChangedMeanwhile, match="ada changed canary in the moment"):
        advance(rollout)
    (strategy,) = unleash.archive["canary"]["environments"][1]["strategies"]
    assert strategy["parameters"]["rollout"] == "5"


def test_a_constraint_that_is_overwritten_is_put_back_and_the_raise_taken_back(
    unleash: FakeUnleash, rollout: Rollout
) -> None:
    unleash.add("canary", gradual(5, id="s"))
    country = {"contextName": "country", "operator": "IN", "values": ["NO"]}
    unleash.overwrite("/s", lambda: unleash.save(constraints=[country]))
    with pytest.raises(ChangedMeanwhile, match=r"ada changed canary .* \(constraint country IN NO added\)"):
        advance(rollout)
    assert unleash.here()["strategies"][0]["constraints"] == [country]
    assert unleash.rollout() == "5"
    words = [one.words for one in look_and_decide(rollout).seen.changes]
    assert words[-3:] == [
        "share 5% -> 25% (it undid what ada had just done: constraint country IN NO added)",
        "constraint country IN NO added (put back: ada had set it)",
        "share 25% -> 5%",
    ]


def test_what_a_step_undid_that_was_ended_is_put_back_by_the_next(unleash: FakeUnleash) -> None:
    job = Reading(
        PLAN,
        UnleashAdmin(unleash.url, "user:rollout", timeouts=QUICK),
        Arms("canary", "production"),
        "shadow",
    )
    unleash.add("canary", gradual(5, id="s"))
    country = {"contextName": "country", "operator": "IN", "values": ["NO"]}
    unleash.overwrite("/s", lambda: unleash.save(constraints=[country]))
    job.admin.change_parameter("canary", "s", "rollout", "25")
    assert str(advance(job).done).startswith("what ada had set was put back")
    assert unleash.here()["strategies"][0]["constraints"] == [country]
    assert advance(job).done == "25% -> 100%: 100% of the users get the challenger"


def test_a_version_in_quarantine_is_raised_for_a_reason_only(unleash: FakeUnleash, rollout: Rollout) -> None:
    unleash.add("canary", gradual(5, id="s"))
    quarantine(rollout.admin, "canary", "2 abc")
    assert advance(rollout).step.kind is StepKind.REFUSE
    assert advance(rollout, override="the cause was found").done
    assert unleash.rollout() == "25"


def test_a_mark_that_comes_at_the_last_moment_counts(unleash: FakeUnleash, rollout: Rollout) -> None:
    unleash.add("canary", gradual(5, id="s"))
    seen = rollout.look()
    quarantine(rollout.admin, "canary", "2 abc")

    class Late(Reading):
        def look(self) -> Situation:
            return seen

    with pytest.raises(Quarantined):
        advance(Late(PLAN, rollout.admin, Arms("canary", "production"), "shadow"))
    assert unleash.rollout() == "5"


def test_a_promotion_needs_to_know_where(unleash: FakeUnleash, rollout: Rollout) -> None:
    unleash.add("canary", gradual(100, id="s"))
    found = advance(rollout)
    assert found.step.kind is StepKind.FINISHED
    assert "CANARIO_SERVICE_URL" in found.step.sentence


def test_a_promotion_is_that_of_the_command(unleash: FakeUnleash, rollout: Rollout) -> None:
    unleash.add("canary", gradual(100, id="s"))
    asked: list[Note] = []

    class Promotes:
        def promote(self, note: Note) -> object:
            asked.append(note)
            raise ChangedMeanwhile("enough")

    with pytest.raises(ChangedMeanwhile, match="enough"):
        advance(rollout, lambda: cast(Promoter, Promotes()))
    assert asked == [Note("canario-rollout", "the challenger has come through the whole plan")]


def test_a_log_that_never_agrees_with_the_flag_is_told(
    unleash: FakeUnleash, rollout: Rollout, monkeypatch: pytest.MonkeyPatch
) -> None:
    unleash.add("canary", gradual(5))
    monkeypatch.setattr("flags.rollout.situation.history_until", lambda *_: ())
    with pytest.raises(ChangedMeanwhile, match="again and again"):
        rollout.look()
