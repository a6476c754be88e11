"""Unleash's users and tokens in this process, with the habits that were seen on the real 7.6.5 and 8.2.0."""

import itertools
import re
from datetime import UTC, datetime
from typing import Any

from tests.unit.flags.fake_unleash import error
from tests.unit.flags.server import Answer, Call, Server

ROLES = [{"id": 1, "name": "Admin"}, {"id": 2, "name": "Editor"}, {"id": 3, "name": "Viewer"}]
EDITOR = [
    {"permission": name, "project": "default", "environment": environment}
    for name in ("CREATE_FEATURE_STRATEGY", "UPDATE_FEATURE_STRATEGY", "UPDATE_FEATURE_ENVIRONMENT")
    for environment in ("development", "production")
] + [{"permission": name, "project": "default"} for name in ("CREATE_FEATURE", "UPDATE_FEATURE")]
EDITOR += [
    {"permission": name}
    for name in ("CREATE_SEGMENT", "UPDATE_SEGMENT", "CREATE_TAG_TYPE", "CREATE_CONTEXT_FIELD")
]
PERMISSIONS = {1: [{"permission": "ADMIN"}], 2: EDITOR, 3: []}
LOGINS_A_MINUTE = 10


class FakeAccounts:
    """A server with an administrator `admin`, password `secret`."""

    def __init__(self, server: Server) -> None:
        self.users: dict[str, dict[str, Any]] = {}
        self.passwords = {"admin": "secret"}
        self.tokens: list[dict[str, Any]] = []
        self.logins: list[str] = []
        self.calls = server.calls
        self.url = server.url
        self._numbers = itertools.count(1)
        self._sessions: dict[str, str] = {}
        self.add("admin", 1)
        server.answer = self.answer

    def add(self, username: str, role: int) -> dict[str, Any]:
        """A user."""
        self.users[username] = {"id": next(self._numbers), "username": username, "rootRole": role}
        return self.users[username]

    def add_token(
        self, username: str, description: str, ends: str = "2027-11-23T00:00:00Z", seen: str | None = None
    ) -> str:
        """A token of this user; returns its secret."""
        number = next(self._numbers)
        secret = f"user:{number:04}secret"
        self.tokens.append(
            {
                "id": number,
                "userId": self.users[username]["id"],
                "description": description,
                "createdAt": f"2026-01-01T00:00:{number % 60:02}Z",
                "expiresAt": ends,
                "seenAt": seen,
                "secret": secret,
            }
        )
        return secret

    def descriptions(self, username: str) -> list[str]:
        """Descriptions of the user's tokens."""
        return [one["description"] for one in self.tokens if one["userId"] == self.users[username]["id"]]

    def answer(self, call: Call) -> Answer:
        """What Unleash would say."""
        if call.path == "/auth/simple/login":
            return self._log_in(call.body["username"], call.body["password"])
        user = self._user(call)
        if user is None:
            return error(401, "You must log in to use Unleash.")
        if call.path.startswith("/api/admin/user-admin"):
            if user["rootRole"] != 1:
                return error(403, "You don't have the required permissions.")
            return self._administer(call)
        if call.path == "/api/admin/user":
            return Answer({"user": user, "permissions": PERMISSIONS[user["rootRole"]]})
        return self._own_tokens(call, user)

    def _user(self, call: Call) -> dict[str, Any] | None:
        token = call.headers.get("Authorization")
        for one in self.tokens:
            if one["secret"] == token and datetime.fromisoformat(one["expiresAt"]) > datetime.now(UTC):
                return next((user for user in self.users.values() if user["id"] == one["userId"]), None)
        session = re.search(r"unleash-session=(\w+)", call.headers.get("Cookie", ""))
        return self.users.get(self._sessions.get(session[1], "")) if session else None

    def _log_in(self, username: str, password: str) -> Answer:
        self.logins.append(username)
        if len(self.logins) > LOGINS_A_MINUTE:
            return Answer("Too many requests, please try again later.", 429, {"Retry-After": "57"})
        if self.passwords.get(username) != password:
            return error(401, "The combination of password and username you provided is invalid.")
        session = f"session{next(self._numbers)}"
        self._sessions[session] = username
        return Answer(self.users[username], headers={"Set-Cookie": f"unleash-session={session}; Path=/"})

    def _administer(self, call: Call) -> Answer:
        if call.method == "GET":
            return Answer({"users": list(self.users.values()), "rootRoles": ROLES})
        password = call.body.get("password")
        if password and (fault := password_fault(password)):
            return error(400, fault)
        if call.method == "POST" and call.path.endswith("/user-admin"):
            user = self.add(call.body["username"], call.body["rootRole"])
            self.passwords[user["username"]] = call.body["password"]
            return Answer(user, 201)
        number = int(call.path.split("/")[4])
        user = next(one for one in self.users.values() if one["id"] == number)
        if call.method == "PUT":  # a password in it would be ignored
            user["rootRole"] = call.body["rootRole"]
            return Answer(user)
        self.passwords[user["username"]] = call.body["password"]
        return Answer()

    def _own_tokens(self, call: Call, user: dict[str, Any]) -> Answer:
        own = [one for one in self.tokens if one["userId"] == user["id"]]
        if call.method == "GET":
            hidden = [{name: value for name, value in one.items() if name != "secret"} for one in own]
            return Answer({"pats": hidden})
        if call.method == "DELETE":
            number = int(call.path.rsplit("/", 1)[1])
            if number not in [one["id"] for one in own]:
                return error(404, "No PAT found.")
            self.tokens = [one for one in self.tokens if one["id"] != number]
            return Answer()
        if len(own) >= 10:
            return error(403, "Too many PATs (10) already exist for this user.")
        if call.body["description"] in [one["description"] for one in own]:
            return error(409, "PAT description already exists.")
        self.add_token(user["username"], call.body["description"], call.body["expiresAt"])
        return Answer(self.tokens[-1], 201)


def password_fault(password: str) -> str:
    """The first rule of Unleash that the password breaks, "" for none."""
    rules = {
        "The password must be at least 10 characters long": r".{10}",
        "The password must contain at least one lowercase letter": "[a-z]",
        "The password must contain at least one uppercase letter": "[A-Z]",
        "The password must contain at least one number": "[0-9]",
        "The password must contain at least one special character": "[^A-Za-z0-9 ]",
    }
    for fault, pattern in rules.items():
        if not re.search(pattern, password):
            return fault
    return "sequences of three" if re.search(r"(.)\1\1", password) else ""
