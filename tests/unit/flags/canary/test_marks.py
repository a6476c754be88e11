"""Marks: blocked versions: their names, the refusal, and that no fault opens the door."""

import json
from pathlib import Path

import pytest

from common.config import ConfigError
from flags.canary.aftermath import UNKNOWN
from flags.canary.marks import (
    LIFT,
    QUARANTINE,
    ROLLED_BACK,
    TYPES,
    deployed,
    label,
    lift,
    quarantine,
    quarantined,
    refusal,
)
from flags.canary.share import read_state, set_share, turn_off, turn_on
from flags.desired.file import DesiredFlag, Initial
from flags.desired.plan import plan, read_current
from flags.desired.steps import ApplyOptions, carry_out
from flags.unleash.admin import UnleashAdmin
from flags.unleash.errors import Quarantined, Rejected, ServerFault
from tests.unit.flags.fake_unleash import FakeUnleash, error, gradual

BAD, GOOD = "1.4.0 0a1b2c3d4e5f", "1.5.0 ffffffffffff"


@pytest.mark.parametrize(
    ("version", "sha256", "name"),
    [
        ("1.4.0", "0a1b2c3d4e5f6789", BAD),
        (" 1.4\n0 ", "0a", "1.4 0 0a"),
        ("9" * 80, "ab" * 32, "9" * 37 + " abababababab"),
    ],
)
def test_a_label_fits_a_tag(version: str, sha256: str, name: str) -> None:
    assert label(version, sha256) == name
    assert len(name) <= 50


@pytest.mark.parametrize(
    ("marked", "version", "refused"),
    [
        ([], None, False),
        ([], BAD, False),
        ([BAD], BAD, True),
        ([BAD], GOOD, False),
        ([BAD, GOOD], GOOD, True),
        ([BAD], None, True),
    ],
)
def test_a_refusal(marked: list[str], version: str | None, refused: bool) -> None:
    found = refusal("canary", marked, version)
    assert (found is not None) == refused
    assert ("not known here" in str(found)) == (refused and version is None)


@pytest.mark.parametrize("version", [None, GOOD])
def test_where_nobody_knows_which_was_rolled_back_another_version_does_not_help(version: str | None) -> None:
    told = str(refusal("canary", [UNKNOWN], version))
    assert "which could be any, so that none is given to users. Try it again:" in told
    assert "./canario lift canary" in told
    assert "Deploy another" not in told


def test_the_deployed_version_is_read_from_the_models_card(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"CANARIO_CHALLENGER: .*model\.json cannot be read"):
        deployed(tmp_path)
    told = {"name": "churn", "version": "1.4.0", "sha256": "0a1b2c3d4e5f67"}
    (tmp_path / "model.json").write_text(json.dumps(told))
    assert deployed(tmp_path) == BAD


def test_the_reason_is_kept_before_anything_is_raised(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(5))
    quarantine(admin, "canary", BAD)
    unleash.fail("PUT", "/tags", *[error(500, "no database")] * 3)
    with pytest.raises(ServerFault):
        set_share(admin, "canary", 25, version=BAD, override="tried")
    assert unleash.rollout() == "5"
    with pytest.raises(ValueError, match="reason"):
        set_share(admin, "canary", 25, version=BAD, override=" ")
    assert unleash.rollout() == "5"
    assert set_share(admin, "canary", 25, version=BAD, override="tried").percent == 25


def test_marks_that_cannot_be_read_stop_a_raise_and_no_rollback(
    unleash: FakeUnleash, admin: UnleashAdmin, caplog: pytest.LogCaptureFixture
) -> None:
    unleash.add("canary", gradual(5))
    unleash.fail("GET", "/tags", *[error(500, "no tags")] * 3)
    with pytest.raises(ServerFault):
        set_share(admin, "canary", 25)
    assert unleash.rollout() == "5"
    unleash.fail("GET", "/tags", *[error(500, "no tags")] * 3)
    assert not turn_off(admin, "canary").enabled
    assert "the tags of Unleash cannot be read" in caplog.text


def test_what_is_no_raise_is_never_refused(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(25))
    quarantine(admin, "canary", BAD)
    for percent in (25, 5, 0):
        assert set_share(admin, "canary", percent, version=BAD).percent == percent
    turn_off(admin, "canary")
    assert set_share(admin, "canary", 0, version=BAD).percent == 0
    assert turn_on(admin, "canary", version=BAD).enabled  # at 0% nobody gets it
    with pytest.raises(Quarantined):
        set_share(admin, "canary", 1, version=BAD)
    unleash.here()["strategies"][0]["parameters"]["rollout"] = "abc"
    with pytest.raises(Quarantined):
        set_share(admin, "canary", 1, version=BAD)


@pytest.mark.parametrize(
    ("options", "rollout", "switched"),
    [
        (ApplyOptions(version=BAD), "5", False),
        (ApplyOptions(), "5", False),
        (ApplyOptions(version=GOOD), "25", True),
        (ApplyOptions(version=BAD, override="tried"), "25", True),
    ],
)
def test_apply_forces_no_version_in_quarantine(
    unleash: FakeUnleash, admin: UnleashAdmin, options: ApplyOptions, rollout: str, switched: bool
) -> None:
    unleash.add("canary", gradual(5, parameters={"stickiness": "random"}), enabled=False)
    quarantine(admin, "canary", BAD)
    wanted = DesiredFlag(name="canary", description="new", initial=Initial(enabled=True, percent=25))
    (only,) = plan([wanted], read_current(admin, ["canary"]), force_share=True, options=options)
    for step in only.steps:
        carry_out(admin, step, options)
    assert (unleash.rollout(), unleash.here()["enabled"]) == (rollout, switched)
    assert ("was rolled back" in str(only.conflict)) == (not switched)
    assert unleash.flags["canary"]["description"] == "new"  # the rest is done
    assert unleash.here()["strategies"][0]["parameters"]["stickiness"] == "userId"


def test_the_page_tells_why_the_last_one_was_rolled_back(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(5))
    quarantine(admin, "canary", BAD, "errors: 0.5 (limit 0.02)")
    quarantine(admin, "canary", GOOD, "p99: 1.6 (limit 1.2)" + "." * 90)
    assert {(tag["type"], tag["value"]) for tag in unleash.tags["canary"]} == {
        (QUARANTINE, BAD),
        (QUARANTINE, GOOD),
        (ROLLED_BACK, "p99: 1.6 (limit 1.2)" + "." * 30),
    }
    assert lift(admin, "canary", "mended") == {BAD, GOOD}
    assert unleash.tags["canary"] == [{"type": LIFT, "value": "mended"}]


def test_types_of_marks_that_another_process_made_first_will_do(
    unleash: FakeUnleash, admin: UnleashAdmin
) -> None:
    unleash.add("canary", gradual(5))
    unleash.just_before("POST", "/tag-types", lambda: unleash.tag_types.update(TYPES))
    quarantine(admin, "canary", BAD)
    assert unleash.writes() == [("POST", "tag-types"), ("PUT", "tags")]
    unleash.tag_types.clear()
    unleash.fail("POST", "/tag-types", error(400, "no"))
    with pytest.raises(Rejected):
        quarantine(admin, "canary", GOOD)


def test_a_mark_is_made_once_and_shown(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.add("canary", gradual(5))
    for _ in range(2):
        quarantine(admin, "canary", BAD)
    assert quarantined(admin, "canary") == {BAD}
    assert [event["type"] for event in unleash.events].count("feature-tagged") == 1
    assert read_state(admin, "canary").as_json()["quarantined"] == [BAD]
    assert quarantined(admin, "other") == frozenset()
