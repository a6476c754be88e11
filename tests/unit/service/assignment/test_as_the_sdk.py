"""Who gets the challenger is what Unleash's SDK says: the short cut for all users is never another reading.

A plain client of the SDK is the measure. States are those of Unleash's own specification of clients, and
generated ones, with shares, groups and constraints in forms that no Unleash writes.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as how
from hypothesis import strategies as st
from UnleashClient.cache import BaseCache
from UnleashClient.clients import UnleashClient
from UnleashClient.constants import FEATURES_URL
from UnleashClient.utils import InstanceAllowType

from common.names import Model
from service.assignment.assigner import Assigner
from service.assignment.assignment import Reason
from service.assignment.sdk import FlagCache
from service.settings import Settings
from tests.thorough import part
from tests.unit.service.conftest import NOBODY, TOKEN, flag, rollout

SPECIFICATION = json.loads(Path(__file__).with_name("client-specification.json").read_text(encoding="utf-8"))
Context = dict[str, Any]


class Given(BaseCache):
    """A cache of the SDK that holds one state, whatever it is."""

    def __init__(self, state: str) -> None:
        self._values: dict[str, Any] = {FEATURES_URL: state}
        self.bootstrapped = True

    def set(self, key: str, value: Any) -> None:
        self._values[key] = value

    def mset(self, data: dict[str, Any]) -> None:
        self._values.update(data)

    def get(self, key: str, default: Any = None) -> Any:
        return self._values.get(key, default)

    def exists(self, key: str) -> bool:
        return key in self._values

    def destroy(self) -> None:
        pass


def sdk(state: str) -> UnleashClient:
    """The SDK as it comes, with `state`."""
    return UnleashClient(
        NOBODY, "canario", cache=Given(state), multiple_instance_mode=InstanceAllowType.SILENTLY_ALLOW
    )


def ours(settings: Settings, state: str, **flags: str) -> Assigner:
    """An assigner that finds `state` on disk."""
    settings = settings.model_copy(update=flags)
    path = FlagCache(settings.state_dir, settings.unleash_url, TOKEN, lambda _: None).path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(state, encoding="utf-8")
    return Assigner(settings)


def answers(assigner: Assigner, user: str, context: Context) -> dict[str, bool]:
    """Whether `user` gets the challenger, and whether it sees a copy, by flag."""
    return {
        "canary": assigner.assign(user, context).model is Model.CHALLENGER,
        "shadow": assigner.shadowed(user, context),
    }


def spec_tests() -> Iterator[Any]:
    for each in SPECIFICATION["specifications"]:
        if "tests" in each:
            yield pytest.param(each["state"], each["tests"], id=each["name"])


@pytest.mark.parametrize(("state", "tests"), [*spec_tests()])
def test_unleashs_own_specification(
    settings: Settings, state: Mapping[str, Any], tests: list[dict[str, Any]]
) -> None:
    text = json.dumps(state)
    plain, known = sdk(text), {each["name"]: each for each in state["features"]}
    for name in {each["toggleName"] for each in tests}:
        assigner = ours(settings, text, canary_flag=name, shadow_flag=name)
        assert assigner.knows_flags
        for test in tests:
            context = dict(test["context"])
            user = context.pop("userId", "")
            context |= context.pop("properties", {})
            if test["toggleName"] != name or context.keys() & {"environment", "appName", "currentTime"}:
                continue
            said = plain.is_enabled(name, {**context, "userId": user})
            if user:
                assert said is test["expectedResult"], test["description"]
            # Whoever leaves a flag without a strategy has chosen no share.
            wanted = said and bool(known[name].get("strategies"))
            assert answers(assigner, user, context) == {"canary": wanted, "shadow": wanted}, test


STRANGE_SHARES = [
    " 100",
    "100 ",
    "1_00",
    "\uff11\uff10\uff10",
    "+100",
    "0100",
    "100.0",
    "1e2",
    "\u0663",
    "100\n",
    "-100",
    "1O0",
]
STRANGE_SHARES += ["-0", "00", "+0", "0_0", "", "abc", "101", "0x64", "99.9", "NaN"]


STRANGE: list[dict[str, Any]] = [
    *({"rollout": share} for share in [*STRANGE_SHARES, 100, 100.0, True, None, ["100"]]),
    *({"groupId": group} for group in ["a b", 'a"b', "a\\", "\u00fc", "", None, 7]),
    *({"stickiness": field} for field in ["default", "sessionId", "country", "", "userid", None]),
]


@pytest.mark.parametrize("strange", STRANGE, ids=repr)
def test_parameters_in_a_strange_form_are_the_sdks_to_read(
    settings: Settings, strange: dict[str, Any]
) -> None:
    strategy = rollout(100)
    strategy["parameters"] |= strange
    state = json.dumps({"version": 2, "features": [flag(strategy), flag(strategy, name="shadow")]})
    assigner, plain = ours(settings, state), sdk(state)
    assert assigner._for_all["canary"] is not True
    for user in map(str, range(50)):
        said = plain.is_enabled("canary", {"userId": user})
        assert answers(assigner, user, {}) == {"canary": said, "shadow": said}


def parameters(names: Mapping[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional=dict(names))


usual_shares = st.sampled_from(["0", "100", "50", "1", "99"])
shares = (
    usual_shares | st.sampled_from(STRANGE_SHARES) | st.integers(-3, 103) | st.none() | st.text(max_size=4)
)
constraints = st.fixed_dictionaries(
    {
        "contextName": st.sampled_from(["country", "tier", "userId", "missing"]),
        "operator": st.sampled_from(
            ["IN", "NOT_IN", "NUM_GT", "STR_STARTS_WITH", "DATE_AFTER", "SEMVER_EQ", "X"]
        ),
    },
    optional={
        "values": st.lists(st.sampled_from(["NO", "3", "u1", ""]), max_size=2),
        "value": st.sampled_from(["3", "x", "", "2020-01-01T00:00:00Z", "1.2.3"]),
        "inverted": st.booleans(),
        "caseInsensitive": st.booleans(),
    },
)
plain_rollouts = st.builds(
    lambda share: rollout(100) | {"parameters": rollout(share)["parameters"]}, st.integers(0, 100)
)
rollouts = st.fixed_dictionaries(
    {
        "name": st.just("flexibleRollout"),
        "parameters": parameters(
            {
                "rollout": shares,
                "stickiness": st.sampled_from(["userId", "userId", "default", "sessionId", "country", ""]),
                "groupId": st.sampled_from(["canary", "canary", "a b", 'a"b', "a\\", "ü", ""]),
            }
        ),
    },
    optional={
        "constraints": st.none() | st.lists(constraints, max_size=2),
        "segments": st.none() | st.lists(st.sampled_from([1, 9]), max_size=1),
        "disabled": st.booleans(),
        "variants": st.just([{"name": "v", "weight": 1000, "stickiness": "userId"}]),
    },
)
others = st.sampled_from(
    [
        {"name": "default"},
        {"name": "default", "parameters": {"rollout": "0"}},
        {"name": "userWithId", "parameters": {"userIds": "u1,u2"}},
        {"name": "gradualRolloutUserId", "parameters": {"percentage": "100", "groupId": "canary"}},
        {"name": "flexibleRollout"},
        {"name": "flexiblerollout", "parameters": {"rollout": "100", "stickiness": "userId"}},
        {"name": "unknown", "parameters": {"rollout": "0"}},
    ]
)
parents = st.fixed_dictionaries(
    {"feature": st.sampled_from(["parent", "missing"])},
    optional={"enabled": st.booleans(), "variants": st.lists(st.sampled_from(["v", "w"]), max_size=1)},
)


def flags(name: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "name": st.just(name),
            "enabled": st.sampled_from([True, True, True, False]),
            "strategies": st.lists(plain_rollouts | rollouts | others, max_size=3),
        },
        optional={
            "dependencies": st.none() | st.lists(parents, max_size=1),
            "variants": st.just([{"name": "v", "weight": 1000, "weightType": "variable"}]),
            "impressionData": st.booleans(),
        },
    )


states = st.builds(
    lambda *features: json.dumps(
        {
            "version": 2,
            "features": [feature for feature in features if feature],
            "segments": [
                {"id": 1, "constraints": [{"contextName": "country", "operator": "IN", "values": ["NO"]}]}
            ],
        }
    ),
    flags("canary"),
    st.none() | flags("shadow"),
    st.none() | flags("parent"),
    st.sampled_from(
        [None, None, None, flag(rollout(100)), flag(rollout(0), enabled=False)]
    ),  # the name twice
)
CONTEXTS: list[Context] = [{}, {"country": "NO"}, {"country": "SE", "tier": "3", "sessionId": "s1"}]


@example(json.dumps({"version": 2, "features": [flag(rollout(100), {"name": "default", "parameters": 7})]}))
@given(states)
@how(
    max_examples=part(600),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_generated_states(settings: Settings, state: str) -> None:
    assigner, plain = ours(settings, state), sdk(state)
    known = {each["name"]: each for each in json.loads(state)["features"]}
    for context in CONTEXTS:
        for user in ("u1", "u2", "u17"):
            for name, got in answers(assigner, user, context).items():
                said = plain.is_enabled(name, {**context, "userId": user})
                assert said or not got, f"{name} gives {user} what the SDK does not"
                # Stricter on purpose: a flag without a strategy; a state that the SDK takes and fails at.
                if said and not got:
                    assert not assigner.knows_flags or not known[name].get("strategies")


def test_no_state_is_known_before_the_engine_has_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = json.dumps({"version": 2, "features": [flag(rollout(100))]})
    assigner = Assigner(settings)
    assigner._cache.set(FEATURES_URL, state)
    assert not assigner.knows_flags
    assigner._follow_state()
    assert not assigner.knows_flags
    assert assigner.assign("u", {}) == (Model.CHAMPION, Reason.UNLEASH_UNKNOWN)
    assigner._client._store.load_from_cache()
    assigner._follow_state()
    assert assigner.assign("u", {}) == (Model.CHALLENGER, Reason.FLAG_ON)


def test_what_a_new_state_gives_nobody_is_taken_back_before_the_sdk_evaluates_it(settings: Settings) -> None:
    usual = [flag(rollout(100)), flag(rollout(100), name="shadow")]
    assigner = ours(settings, json.dumps({"version": 2, "features": usual}))
    assert answers(assigner, "u", {}) == {"canary": True, "shadow": True}
    assigner._cache.set(FEATURES_URL, json.dumps({"version": 2, "features": [flag(), flag(name="shadow")]}))
    assert answers(assigner, "u", {}) == {"canary": False, "shadow": False}
    assert assigner.assign("u", {}).reason is Reason.FLAG_WITHOUT_STRATEGY
