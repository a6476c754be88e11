"""What Unleash lost of a person's change, read from its event log, as tables."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flags.canary.events import UPDATED
from flags.canary.overwritten import Write, lost, notes, still_lost
from flags.unleash.fields import fields, member
from flags.unleash.models import Event
from tests.unit.flags.fake_unleash import gradual

BEGAN = datetime(2026, 11, 23, 6, tzinfo=UTC)
PERSON, CLI, JOB = "ada", "canario-flags", "canario-rollout"
COUNTRY = {"contextName": "country", "operator": "IN", "values": ["NO"]}
SAVED = {**COUNTRY, "inverted": False, "caseInsensitive": False, "value": None}  # as the UI spells it
NORWAY = member("constraints", COUNTRY)
WROTE = {"/parameters/rollout": "25"}
Line = tuple[str, dict[str, Any] | None, dict[str, Any] | None]


def state(percent: object = 5, **fields: Any) -> dict[str, Any]:
    return gradual(percent, id="s1", **fields)


def log(*lines: Line, apart: float = 1.0) -> tuple[Event, ...]:
    """Who, what it was before, what it is then; `apart` seconds from line to line."""
    kinds = {(True, True): UPDATED, (False, True): "feature-strategy-add"}
    return tuple(
        Event(
            id=number,
            type=kinds.get((before is not None, after is not None), "feature-strategy-remove"),
            created_by=who,
            created_at=BEGAN + timedelta(seconds=apart * number),
            data=after,
            pre_data=before,
        )
        for number, (who, before, after) in enumerate([(CLI, None, state()), *lines])
    )


narrowed = state(constraints=[SAVED])
# A person narrows the rollout while a program raises it from 5% to 25%. The program's line tells what it was
# before by a look at another moment than that at which it read what it wrote.
SEEN = (PERSON, state(), narrowed), (JOB, narrowed, state(25))
UNSEEN = (PERSON, state(), narrowed), (JOB, state(), state(25))


@pytest.mark.parametrize(
    ("lines", "fields", "conflict"),
    [
        pytest.param([(JOB, state(), state(25))], {}, False, id="nobody else"),
        pytest.param(SEEN, {NORWAY: True}, False, id="a constraint"),
        pytest.param(UNSEEN, {NORWAY: True}, False, id="a constraint of which it never knew"),
        pytest.param(
            [(PERSON, state(), narrowed), (JOB, narrowed, state(25, constraints=[COUNTRY]))],
            {},
            False,
            id="kept, spelled otherwise",
        ),
        pytest.param(
            [
                (PERSON, state(constraints=[COUNTRY]), state()),
                (JOB, state(), state(25, constraints=[COUNTRY])),
            ],
            {NORWAY: None},
            False,
            id="a constraint taken off",
        ),
        pytest.param(
            [(PERSON, state(), state(disabled=True)), (JOB, state(), state(25))],
            {"/disabled": True},
            False,
            id="disabled",
        ),
        pytest.param(
            [(PERSON, state(), state(title="EU", variants=[{"name": "a"}])), (JOB, state(), state(25))],
            {"/title": "EU", "/variants": [{"name": "a"}]},
            False,
            id="two fields",
        ),
        pytest.param(
            [
                (PERSON, state(segments=[3]), state(segments=[4])),
                (JOB, state(segments=[3]), state(25, segments=[3])),
            ],
            {"/segments/3": None, "/segments/4": True},
            False,
            id="segments",
        ),
        pytest.param(
            [(CLI, state(), state(segments=[7])), (JOB, state(), state(25))],
            {"/segments/7": True},
            False,
            id="a lease of another program",
        ),
        pytest.param(
            [(PERSON, state(), state(5, parameters={"stickiness": "x"})), (JOB, state(), state(25))],
            {"/parameters/stickiness": "x"},
            False,
            id="another parameter",
        ),
        pytest.param(
            [
                (PERSON, state(), narrowed),
                (PERSON, narrowed, state(disabled=True)),
                (JOB, state(), state(25)),
            ],
            {"/disabled": True},
            False,
            id="two changes, the last one counts",
        ),
        pytest.param(
            [(JOB, state(), state(25)), (PERSON, state(25), narrowed)], {}, False, id="a person is last"
        ),
        pytest.param([*SEEN, (PERSON, state(25), state(25))], {}, False, id="a person saved it since"),
        pytest.param([*SEEN, (PERSON, state(25), None)], {}, False, id="a person removed it since"),
        pytest.param(
            [*SEEN, (JOB, state(25), state(25, constraints=[COUNTRY]))], {}, False, id="put back already"
        ),
        pytest.param(
            [(PERSON, state(), state(3)), (JOB, state(), state(25))],
            {"/parameters/rollout": "3"},
            True,
            id="the share itself, lowered",
        ),
        pytest.param(
            [(PERSON, state(), state(60)), (JOB, state(60), state(25))],
            {"/parameters/rollout": "60"},
            True,
            id="the share itself, raised",
        ),
        pytest.param(
            [(PERSON, state(), state(3, disabled=True)), (JOB, state(), state(25))],
            {"/disabled": True, "/parameters/rollout": "3"},
            True,
            id="both",
        ),
        pytest.param(
            [(PERSON, state(), state(25)), (JOB, state(), state(25))], {}, False, id="the same by both"
        ),
        pytest.param(
            [(JOB, state(), state(25)), (JOB, state(), state(25))], {}, False, id="two runs of the job"
        ),
        pytest.param(
            [(JOB, state(), state(25)), (CLI, state(25), state(1))], {}, False, id="another order after it"
        ),
    ],
)
def test_what_a_write_undid(lines: list[Line], fields: dict[str, Any], conflict: bool) -> None:
    loss = lost(log(*lines), Write("s1", WROTE, {"/parameters/rollout": "5"}))
    assert (dict(loss.fields) if loss else {}) == fields
    if loss:
        assert (loss.strategy, loss.conflict) == ("s1", conflict)


def test_without_a_value_that_was_seen_the_last_write_wins() -> None:
    events = log((PERSON, state(), state(3)), (JOB, state(3), state(25)))
    assert lost(events, Write("s1", WROTE)) is None
    assert lost(events, Write("other", WROTE)) is None


def test_long_ago_is_no_accident() -> None:
    assert lost(log(*SEEN, apart=60), Write("s1", WROTE)) is None


def test_two_who_add_a_condition_each_both_have_it() -> None:
    sweden = {**COUNTRY, "values": ["SE"]}
    events = log((PERSON, state(), narrowed), (CLI, state(), state(constraints=[sweden])))
    loss = lost(events, Write("s1", {member("constraints", sweden): True}))
    assert loss
    assert loss.patch == ({"op": "add", "path": "/constraints", "value": [sweden, SAVED]},)


def test_only_lines_after_the_last_look_are_the_writes_own() -> None:
    events = log((JOB, state(), state(25)), (JOB, state(25), state(50)), (JOB, state(50), state(25)))
    back = Write("s1", WROTE, {"/parameters/rollout": "50"}, since=2)
    assert lost(events, back) is None, "the first 25% rested on 5%, and was another write"
    lease = Write("s1", {"/segments/7": True}, since=1)
    events = log(
        (JOB, state(), state(25)),
        (CLI, state(25), state(25, segments=[7])),
        (JOB, state(25, segments=[7]), state(5, segments=[7])),
    )
    assert lost(events, lease) is None, "what another program orders is not this one's fault"


def test_an_order_that_led_to_the_same_state_by_another_field_is_not_the_writes_own() -> None:
    """`set 0`, a constraint by hand, `set 100`, `exclude NO` and `include NO`, all within half a minute."""
    denmark = {"contextName": "country", "operator": "NOT_IN", "values": ["DK"]}
    both = {**denmark, "values": ["DK", "NO"]}
    none, some = state(0, constraints=[denmark]), state(100, constraints=[denmark])
    fewer = state(100, constraints=[both])
    lines = log(
        (CLI, state(100), state(0)),
        (PERSON, state(0), none),
        (CLI, none, some),
        (CLI, some, fewer),
        (CLI, fewer, some),
    )
    back = {member("constraints", denmark): True, member("constraints", both): None}
    assert lost(lines, Write("s1", back, answer=fields(some))) is None


def test_the_answer_says_which_lines_are_the_writes_own() -> None:
    first = Write("s1", WROTE, answer=fields(state(25)))
    twice = log((PERSON, state(), narrowed), (JOB, state(), state(25)), (CLI, state(), state(25)))
    assert lost(twice, first), "whichever of two that did the same: one at least must look"
    unlike = replace(first, answer=fields(state(25, title="as no line tells it")))
    assert lost(twice[:3], unlike), "then the field says it"
    assert lost(twice[:3], Write("s1", {"/title": "x"}, answer=fields(state(title="x")))) is None


def test_the_patch_puts_it_back_as_it_was_saved() -> None:
    theirs = state(constraints=[SAVED], segments=[4], parameters={"stickiness": "x"})
    theirs["parameters"].pop("groupId")
    events = log(
        (PERSON, state(segments=[3, 9]), theirs | {"segments": [9, 4]}),
        (JOB, state(), state(25, segments=[3, 9])),
    )
    loss = lost(events, Write("s1", WROTE))
    assert loss
    assert loss.patch == (
        {"op": "remove", "path": "/parameters/groupId"},
        {"op": "add", "path": "/parameters/stickiness", "value": "x"},
        {"op": "add", "path": "/constraints", "value": [SAVED]},
        {"op": "add", "path": "/segments", "value": [9, 4]},
    )
    untitled = log((PERSON, state(title="EU"), state()), (JOB, state(title="EU"), state(25, title="EU")))
    loss = lost(untitled, Write("s1", WROTE))
    assert loss
    assert loss.patch == ({"op": "add", "path": "/title", "value": ""},)


PUT_BACK = (JOB, state(25), state(25, constraints=[COUNTRY]))


@pytest.mark.parametrize(
    ("lines", "told", "left"),
    [
        pytest.param([(JOB, state(), state(25))], {}, False, id="nobody else"),
        pytest.param(
            SEEN, {2: "it undid what ada had just done: constraint country IN NO added"}, True, id="lost"
        ),
        pytest.param(
            [*SEEN, PUT_BACK],
            {
                2: "it undid what ada had just done: constraint country IN NO added",
                3: "put back: ada had set it",
            },
            False,
            id="put back",
        ),
        pytest.param(
            [*SEEN, (PERSON, state(25), state(25))],
            {2: "it undid what ada had just done: constraint country IN NO added"},
            False,
            id="seen by a person since",
        ),
        pytest.param(
            [(PERSON, state(), state(60)), (JOB, state(60), state(5))],
            {},
            False,
            id="a share may be an order",
        ),
        pytest.param(
            [(PERSON, state(), state(3)), (JOB, state(3), state(25)), (JOB, state(25), state(3))],
            {3: "put back: ada had set it"},
            False,
            id="a share put back",
        ),
        pytest.param(
            [
                (PERSON, state(), narrowed),
                (JOB, narrowed, state(25, constraints=[COUNTRY])),
                (JOB, state(25), narrowed),
            ],
            {},
            False,
            id="a raise taken back",
        ),
        pytest.param(
            [(PERSON, state(segments=[7]), state()), (CLI, state(), state(segments=[7]))],
            {},
            False,
            id="a lease is put on by order",
        ),
        pytest.param(
            [(PERSON, state(), narrowed), (CLI, narrowed, state(25))],
            {2: "it undid what ada had just done: constraint country IN NO added"},
            False,
            id="left to the program that did it",
        ),
    ],
)
def test_what_the_log_tells_of_it(lines: list[Line], told: dict[int, str], left: bool) -> None:
    events = log(*lines)
    assert notes(events) == told
    loss = still_lost(events, JOB)
    assert (loss is not None) == left
    if loss:
        assert dict(loss.fields) == {NORWAY: True}
