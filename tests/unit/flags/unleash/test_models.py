"""Reading Unleash's answers."""

import pytest
from pydantic import ValidationError

from flags.unleash.models import Constraint, Event, Feature, NewToken, Permission, Strategy

SEEN_ON_8_2 = {
    "environments": [
        {"name": "development", "lastSeenAt": None, "enabled": False, "yes": 0, "no": 0, "strategies": []},
        {
            "name": "production",
            "enabled": True,
            "type": "production",
            "sortOrder": 3,
            "strategies": [
                {
                    "name": "flexibleRollout",
                    "constraints": [{"values": ["NO"], "operator": "IN", "contextName": "country"}],
                    "variants": [],
                    "parameters": {"groupId": "canary", "rollout": "5", "stickiness": "userId"},
                    "segments": [1],
                    "sortOrder": 0,
                    "id": "01M83FFF4GQ511MT8V0S4WZ1HH",
                    "title": None,
                    "disabled": False,
                }
            ],
        },
    ],
    "name": "canary",
    "favorite": False,
    "impressionData": False,
    "description": None,
    "project": "default",
    "createdBy": {"id": 9, "name": "ada"},
    "type": "release",
    "archived": False,
}


def test_a_flag_of_a_real_server() -> None:
    feature = Feature.model_validate(SEEN_ON_8_2)
    strategy = feature.environments[1].strategies[0]
    assert (strategy.percent, strategy.segments, strategy.disabled) == (5, (1,), False)
    assert str(strategy.constraints[0]) == "country IN NO"


@pytest.mark.parametrize(
    ("rollout", "percent"),
    [
        ("0", 0),
        ("5", 5),
        ("100", 100),
        (7, 7),
        ("007", 7),
        ("101", None),
        ("150", None),
        ("-3", None),
        ("5.5", None),
        ("abc", None),
        ("", None),
        (" 5", None),
        ("\u0665", None),
        (None, None),
    ],
)
def test_a_share_is_a_whole_number_from_0_to_100_or_none(rollout: object, percent: int | None) -> None:
    assert Strategy(id="s", name="flexibleRollout", parameters={"rollout": rollout}).percent == percent


@pytest.mark.parametrize(
    ("constraint", "text"),
    [
        ({"values": ["NO", "SE"], "operator": "IN", "contextName": "country"}, "country IN NO, SE"),
        (
            {"values": ["pro"], "operator": "STR_CONTAINS", "contextName": "plan", "inverted": True},
            "not plan STR_CONTAINS pro",
        ),
        (
            {"value": "2027-01-01", "operator": "DATE_BEFORE", "contextName": "currentTime", "values": []},
            "currentTime DATE_BEFORE 2027-01-01",
        ),
        ({"operator": "IN", "contextName": "country"}, "country IN"),
    ],
)
def test_a_constraint_for_people(constraint: dict[str, object], text: str) -> None:
    assert str(Constraint.model_validate(constraint)) == text


@pytest.mark.parametrize(
    ("granted", "covers"),
    [
        ({"permission": "P", "project": "default", "environment": "production"}, True),
        ({"permission": "P", "project": "default"}, True),
        ({"permission": "P", "project": "*", "environment": ""}, True),
        ({"permission": "ADMIN"}, True),
        ({"permission": "Q"}, False),
        ({"permission": "P", "project": "other"}, False),
        ({"permission": "P", "project": "default", "environment": "development"}, False),
    ],
)
def test_what_a_permission_covers(granted: dict[str, str], covers: bool) -> None:
    assert Permission.model_validate(granted).covers("P", "default", "production") is covers


def test_a_time_without_a_zone_is_refused() -> None:
    event = {"id": 1, "type": "t", "createdBy": "ada", "createdAt": "2026-11-23T05:51:48.742"}
    with pytest.raises(ValidationError):
        Event.model_validate(event)
    assert (
        Event.model_validate({**event, "createdAt": "2026-11-23T05:51:48Z"}).created_at.utcoffset()
        is not None
    )


def test_a_new_token_does_not_show_its_secret() -> None:
    token = NewToken.model_validate(
        {
            "id": 1,
            "description": "d",
            "expiresAt": "2027-11-23T05:51:48Z",
            "createdAt": "2026-11-23T05:51:48Z",
            "secret": "user:abc",
        }
    )
    assert token.secret == "user:abc"
    assert "user:abc" not in repr(token) + str(token)
