"""Unleash's admin API for flags in this process, with the habits that were seen on the real 7.6.5 and 8.2.0.

Used to bring about what a real server does not do on demand: a person who is faster, an answer that is lost.
The same operations run against real servers in tests/integration.
"""

import copy
import itertools
import json
from collections.abc import Callable
from typing import Any

from tests.unit.flags.server import Answer, Call, Server

USERS = {"user:flags": "canario-flags", "user:rollout": "canario-rollout", "user:person": "ada"}
FEATURES = "/api/admin/projects/default/features"
SEGMENTS = "/api/admin/segments"
CONTEXT = "/api/admin/context"
TAG_TYPES = "/api/admin/tag-types"


def error(status: int, message: str) -> Answer:
    """A refusal in Unleash's form."""
    return Answer({"name": "Error", "message": message, "details": [{"message": message}]}, status)


def gradual(percent: object = 0, **fields: Any) -> dict[str, Any]:
    """A gradual rollout; `parameters` are merged."""
    parameters = {"rollout": str(percent), "stickiness": "userId", "groupId": "canary"}
    parameters |= fields.pop("parameters", {})
    return {
        "name": "flexibleRollout",
        "disabled": False,
        "constraints": [],
        "segments": [],
        "variants": [],
    } | {
        "parameters": parameters,
        **fields,
    }


class FakeUnleash:
    """One project with two environments."""

    def __init__(self, server: Server) -> None:
        self.flags: dict[str, dict[str, Any]] = {}
        self.archive: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.faults: list[tuple[str, str, list[Answer]]] = []
        self.interruptions: list[tuple[str, str, Callable[[], None]]] = []
        self.races: list[tuple[str, str, Callable[[], None]]] = []
        self.calls = server.calls
        self.url = server.url
        self.segments: list[dict[str, Any]] = []
        self.tags: dict[str, list[dict[str, Any]]] = {}
        self.tag_types: set[str] = set()
        self.context = {"userId", "country"}
        self._numbers = itertools.count(1)
        server.answer = self.answer

    def fail(self, method: str, part: str, *answers: Answer) -> None:
        """Give these answers, once each, to calls whose path holds `part`; nothing else happens then."""
        self.faults.append((method, part, list(answers)))

    def just_before(self, method: str, part: str, action: Callable[[], None]) -> None:
        """Somebody is faster: `action` runs once, when the first such call has come in."""
        self.interruptions.append((method, part, action))

    def overwrite(self, part: str, action: Callable[[], None]) -> None:
        """As `just_before` of a PATCH, which begins from what was so before `action`: that is lost."""
        self.races.append(("PATCH", part, action))

    def save(self, flag: str = "canary", user: str = "ada", **changes: Any) -> None:
        """Somebody saves the form of the only strategy; `parameters` are merged."""
        (strategy,) = self.here(flag)["strategies"]
        before = copy.deepcopy(strategy)
        parameters = strategy["parameters"] | changes.pop("parameters", {})
        strategy.update(copy.deepcopy(changes | {"parameters": parameters}))
        self.log("feature-strategy-update", flag, user, "production", data=strategy, preData=before)

    def add(self, flag: str = "canary", *strategies: dict[str, Any], enabled: bool = True) -> None:
        """A flag as a person would have made it in the UI."""
        kept = [{**one, "id": one.get("id", f"s{next(self._numbers)}")} for one in strategies]
        self.flags[flag] = {
            "name": flag,
            "type": "release",
            "description": "d",
            "archived": False,
            "environments": [
                {"name": "development", "enabled": False, "strategies": []},
                {"name": "production", "enabled": enabled, "strategies": kept},
            ],
        }
        self.log("feature-created", flag, "ada")
        if enabled:
            self.log("feature-environment-enabled", flag, "ada", "production")

    def here(self, flag: str = "canary") -> dict[str, Any]:
        """The flag in production, to look at or to change behind a client's back."""
        found: dict[str, Any] = self.flags[flag]["environments"][1]
        return found

    def rollout(self, flag: str = "canary") -> str:
        """The share of the only strategy."""
        (strategy,) = self.here(flag)["strategies"]
        return str(strategy["parameters"]["rollout"])

    def writes(self) -> list[tuple[str, str]]:
        """All calls that were not reads: method and the end of the path."""
        return [(one.method, one.path.rsplit("/", 1)[1]) for one in self.calls if one.method != "GET"]

    def log(
        self, kind: str, flag: str | None, user: str, environment: str | None = None, **data: Any
    ) -> None:
        """Append to the event log. `data` are `data` and `preData`."""
        number = len(self.events) + 1
        self.events.append(
            {
                "id": number,
                "type": kind,
                "createdBy": user,
                "createdAt": f"2026-11-23T06:{number // 60 % 60:02}:{number % 60:02}.000Z",
                "featureName": flag,
                "project": "default",
                "environment": environment,
                "data": copy.deepcopy(data.get("data")),
                "preData": copy.deepcopy(data.get("preData")),
            }
        )

    def answer(self, call: Call) -> Answer:
        """What Unleash would say."""
        for fault in self.faults:
            method, part, answers = fault
            if method == call.method and part in call.path and answers:
                return answers.pop(0)
        for waiting in list(self.interruptions):
            method, part, action = waiting
            if method == call.method and part in call.path:
                self.interruptions.remove(waiting)
                action()
        for race in [one for one in self.races if call.method == one[0] and one[1] in call.path]:
            self.races.remove(race)
            seen = copy.deepcopy(self.flags)
            race[2]()
            for flag, old in seen.items():
                for here, before in zip(self.flags[flag]["environments"], old["environments"], strict=True):
                    here["strategies"] = before["strategies"]
        user = USERS.get(call.headers.get("Authorization", ""))
        if user is None:
            return error(401, "You must log in to use Unleash.")
        if call.path == "/api/admin/search/events":
            return self._search(call.query)
        if call.path.startswith(SEGMENTS):
            return self._segment(call, call.path[len(SEGMENTS) :].strip("/"), user)
        if call.path == CONTEXT and call.method == "GET":
            return Answer([{"name": one} for one in sorted(self.context)])
        if call.path == CONTEXT:
            taken = call.body["name"] in self.context
            self.context.add(call.body["name"])
            return error(409, "A context field with that name already exist") if taken else Answer({}, 201)
        if call.path == TAG_TYPES and call.method == "GET":
            return Answer({"tagTypes": [{"name": one} for one in sorted(self.tag_types)]})
        if call.path == TAG_TYPES:
            taken = call.body["name"] in self.tag_types
            self.tag_types.add(call.body["name"])
            return error(409, "There already exists a tag-type with the name") if taken else Answer({}, 201)
        if call.path.endswith("/tags"):
            return self._tags(call, call.path.split("/")[-2], user)
        if not call.path.startswith(FEATURES):
            return error(404, f"The path you were looking for ({call.path}) is not available.")
        return self._feature(call, [part for part in call.path[len(FEATURES) :].split("/") if part], user)

    def _search(self, query: dict[str, str]) -> Answer:
        wanted = {
            name: value.partition(":")[2].split(",")
            for name, value in query.items()
            if name not in ("limit", "query")
        }
        fields = {"feature": "featureName"}
        found = [
            event
            for event in reversed(self.events)
            if all(event[fields.get(name, name)] in values for name, values in wanted.items())
            and query.get("query", "") in json.dumps(event)
        ]
        return Answer({"events": found[: int(query["limit"])], "total": len(found)})

    def _segment(self, call: Call, number: str, user: str) -> Answer:
        if call.method == "GET":
            return Answer({"segments": self.segments})
        if call.method == "POST":
            if any(one["name"] == call.body["name"] for one in self.segments):
                return error(409, "Segment name already exists")
            self.segments.append({**call.body, "id": next(self._numbers)})
            self.log("segment-created", None, user, data=self.segments[-1])
            return Answer(self.segments[-1], 201)
        found = next((one for one in self.segments if str(one["id"]) == number), None)
        if found is None:
            return error(404, f"No segment exists with ID {number}")
        if call.method == "PUT":
            before = copy.deepcopy(found)
            found.update(call.body)
            self.log("segment-updated", None, user, data=found, preData=before)
            return Answer(status=204)
        everything = [one for flag in self.flags for one in self.here(flag)["strategies"]]
        if any(found["id"] in one["segments"] for one in everything):
            return Answer(status=409)
        self.segments.remove(found)
        self.log("segment-deleted", None, user, preData=found)
        return Answer(status=204)

    def _tags(self, call: Call, flag: str, user: str) -> Answer:
        if flag not in self.flags:
            return error(404, f"Could not find feature with name {flag}")
        tags = self.tags.setdefault(flag, [])
        if call.method == "PUT":
            for tag in call.body["removedTags"]:
                tags[:] = [one for one in tags if one != tag]
                self.log("feature-untagged", flag, user, preData=tag)
            for tag in call.body["addedTags"]:
                tags[:] = [*(one for one in tags if one != tag), tag]
                self.log("feature-tagged", flag, user, data=tag)
        return Answer({"tags": tags})

    def _link(self, call: Call, found: dict[str, Any], link: str) -> Answer:
        links = found.setdefault("links", [])
        if call.method == "PUT":
            next(one for one in links if one["id"] == link).update(call.body)
        else:
            links.append({**call.body, "id": f"l{next(self._numbers)}"})
        return Answer(status=204)

    def _feature(self, call: Call, parts: list[str], user: str) -> Answer:
        if not parts:
            return self._create(call.body, user)
        flag = parts[0]
        found = self.flags.get(flag) or (self.archive.get(flag) if call.method == "PATCH" else None)
        if found is None and flag in self.archive and call.method == "POST":
            return error(400, "Cannot perform this operation on archived features")
        if found is None:
            return error(404, f'There\'s no feature named "{flag}" in project "default".')
        if call.method == "GET":
            return Answer(found)
        if len(parts) == 1:
            return self._patch(found, call.body)
        if parts[1] == "link":
            return self._link(call, found, parts[-1])
        here = next((one for one in found["environments"] if one["name"] == parts[2]), None)
        if here is None:
            return error(403, "You don't have the required permissions to perform this operation.")
        return self._environment(call, flag, here, parts[3:], user)

    def _create(self, body: dict[str, Any], user: str) -> Answer:
        if body["name"] in self.flags | self.archive:
            return error(409, "A flag with that name already exists")
        self.add(body["name"], enabled=False)
        self.flags[body["name"]] |= {"type": body["type"], "description": body["description"]}
        self.events[-1]["createdBy"] = user
        return Answer(body, 201)

    def _environment(
        self, call: Call, flag: str, here: dict[str, Any], parts: list[str], user: str
    ) -> Answer:
        strategies = here["strategies"]
        if parts in (["on"], ["off"]):
            on = parts == ["on"]
            if on and all(one["disabled"] for one in strategies):
                everybody = gradual(100, parameters={"stickiness": "default", "groupId": flag})
                added = self._add_strategy(here, everybody)
                self.log("feature-strategy-add", flag, user, here["name"], data=added)
            if here["enabled"] != on:
                here["enabled"] = on
                self.log(f"feature-environment-{'enabled' if on else 'disabled'}", flag, user, here["name"])
            return Answer()
        if parts == ["strategies"]:
            added = self._add_strategy(here, {"disabled": False, "segments": [], **call.body})
            self.log("feature-strategy-add", flag, user, here["name"], data=added)
            return Answer(added)
        strategy = next((one for one in strategies if one["id"] == parts[1]), None)
        if strategy is None:
            return error(404, f"Could not find strategy with id: {parts[1]}")
        before = copy.deepcopy(strategy)
        answer = self._patch(strategy, call.body)
        if answer.status == 200:
            self.log("feature-strategy-update", flag, user, here["name"], data=strategy, preData=before)
        return answer

    def _add_strategy(self, here: dict[str, Any], strategy: dict[str, Any]) -> dict[str, Any]:
        kept = {**strategy, "id": f"s{next(self._numbers)}"}
        here["strategies"].append(kept)
        return kept

    def _patch(self, target: dict[str, Any], patch: list[dict[str, Any]]) -> Answer:
        for operation in patch:
            *way, last = operation["path"].strip("/").split("/")
            inner = target
            for step in way:
                inner = inner[step]
            if isinstance(inner, list):
                if operation["op"] == "add":
                    inner[:] = [*(one for one in inner if one != operation["value"]), operation["value"]]
                elif operation["op"] == "remove":
                    inner.pop(int(last))
                elif inner[int(last) : int(last) + 1] != [operation["value"]]:
                    return error(500, f"Test operation failed\nname: TEST_OPERATION_FAILED\ntree: {target}")
                continue
            if operation["op"] == "test" and inner.get(last) != operation["value"]:
                return error(500, f"Test operation failed\nname: TEST_OPERATION_FAILED\ntree: {target}")
            if operation["op"] in ("replace", "add"):
                inner[last] = operation["value"]
            elif operation["op"] == "remove":
                inner.pop(last, None)
        return Answer(target)
