"""`./canario off`: the shortest way to stop a challenger. One order to Unleash, and one look at the flag.

Standard library only, because imports are what takes time. `flags.canary.share.turn_off` is the same order.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib import error, parse, request

from launcher.commands import NAME
from launcher.place import NOT_READY, NotReady, environment
from stack.paths import REPOSITORY

TIMEOUT_SECONDS = 5.0
TRIES = 2
WRONG_USAGE, FLAG_NEEDS_A_PERSON = 2, 4  # as of `python -m flags`
HELP = f"""\
Usage: {NAME} off [ROLLOUT or FLAG]... [--all]

Turn the flag off in Unleash: every user gets the champion, within 2 s. Doing it twice does no harm, and
automation does not turn it on again. Without a name it is the flag of the only rollout.

Exit codes: 0 off; 2 several rollouts, and none was named; 3 Unleash does not answer or refuses; 4 no such
flag, or it is still on. Without Unleash: {NAME} models challenger --none --reason "Unleash is down"
"""


class StillOn(Exception):  # noqa: N818 - says what is the matter
    """The flag could not be turned off; the text says why and what to do, `exit_code` as in HELP."""

    def __init__(self, text: str, exit_code: int = NOT_READY) -> None:
        super().__init__(text)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Target:
    """A flag in one environment of Unleash, and the file of a token of its own, if it has one."""

    flag: str
    project: str
    environment: str
    token_file: str = ""
    rollout: str = ""


def main(arguments: Sequence[str]) -> int:
    """Turn off what `arguments` name; the exit code."""
    if {"-h", "--help"}.intersection(arguments):
        print(HELP)
        return 0
    names = [one for one in arguments if one != "--all"]
    if any(one.startswith("-") for one in names):
        print(HELP, file=sys.stderr)
        return WRONG_USAGE
    worst = 0
    try:
        variables = environment()
        chosen = list(targets(names, variables, every="--all" in arguments))
    except (NotReady, StillOn) as fault:
        print(f"error: {fault}", file=sys.stderr)
        return fault.exit_code
    for target in chosen:
        try:
            print(turn_off(target, variables))
        except StillOn as fault:
            print(f"error: {fault}", file=sys.stderr)
            worst = max(worst, fault.exit_code)
    return worst


def targets(names: Sequence[str], variables: Mapping[str, str], *, every: bool = False) -> Iterator[Target]:
    """The flags that are meant. A file that cannot be read keeps nobody from naming a flag.

    Raises StillOn: there are several, and none is named.
    """
    known = {one.rollout: one for one in rollouts(variables)}
    by_flag = {one.flag: one for one in known.values()}
    if every and known:
        yield from known.values()
        return
    if not names and len(known) > 1:
        told = ", ".join(f"{one.rollout} (flag {one.flag})" for one in known.values())
        raise StillOn(f"there are several rollouts: {told}. Name one, or say --all", WRONG_USAGE)
    for name in names or [*known] or [""]:
        yield known.get(name) or by_flag.get(name) or _target({"name": name} if name else {}, variables)


def rollouts(variables: Mapping[str, str]) -> Iterator[Target]:
    """Those of CANARIO_ROLLOUTS; none where this Python reads no YAML, or where a file does not fit."""
    try:
        import yaml  # noqa: PLC0415 - not in every Python that can turn a flag off
    except ImportError:
        return
    files = rollout_files(variables.get("CANARIO_ROLLOUTS"))
    for file in files:
        try:
            said = yaml.safe_load(file.read_text(encoding="utf-8"))
            flag, tokens = dict(said["flag"]), dict(said.get("tokens") or {})
            if len(files) > 1:  # the variables are said of the only one
                yield _target(flag, {}, file.parent.name, str(tokens.get("flags", "")))
            else:
                chosen = variables.get("CANARIO_CANARY_FLAG")
                flag = {**flag, "name": chosen} if chosen else flag
                yield _target(flag, variables, file.parent.name, str(tokens.get("flags", "")))
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as fault:
            print(f"note: {file} is left out: {fault}", file=sys.stderr)


def rollout_files(folder: str | None) -> list[Path]:
    """The files of a folder of rollouts, by default that of the repository."""
    return sorted(Path(folder or REPOSITORY / "rollouts").glob("*/rollout.yaml"))


def _target(
    flag: Mapping[str, Any], variables: Mapping[str, str], rollout: str = "", token: str = ""
) -> Target:
    said = {**flag}
    for key in ("project", "environment"):
        if value := variables.get(f"CANARIO_UNLEASH_{key.upper()}"):
            said[key] = value
    name = said.get("name") or variables.get("CANARIO_CANARY_FLAG") or "canary"
    return Target(
        str(name),
        str(said.get("project", "default")),
        str(said.get("environment", "production")),
        token,
        rollout,
    )


def turn_off(target: Target, variables: Mapping[str, str]) -> str:
    """Give the order, and see that it is carried out; what to tell. Raises StillOn."""
    started = time.monotonic()
    project, flag = parse.quote(target.project, safe=""), parse.quote(target.flag, safe="")
    place = f"/api/admin/projects/{project}/features/{flag}"
    unleash = Unleash(variables["CANARIO_UNLEASH_URL"].rstrip("/"), _token(target, variables))
    unleash.call("POST", f"{place}/environments/{parse.quote(target.environment, safe='')}/off")
    feature = unleash.call("GET", place)
    states = {one.get("name"): one for one in feature.get("environments", [])}
    if states.get(target.environment, {}).get("enabled") is not False:
        raise StillOn(
            f"Unleash took the order to turn {target.flag} off in {target.environment}, and still says it is"
            f" on: turn it off at {unleash.url}/projects/{project}/features/{flag}",
            FLAG_NEEDS_A_PERSON,
        )
    return (
        f"{target.flag} in {target.environment} is off, after {time.monotonic() - started:.2f} s:"
        " every user gets the champion within 2 s.\n"
        f"See it: {NAME} status. Why: {NAME} check, {NAME} explain. Back on: {NAME} on {target.flag}"
    )


@dataclass(frozen=True)
class Unleash:
    """The admin API of one Unleash."""

    url: str
    token: str

    def call(self, method: str, path: str) -> Any:
        """The answer's JSON, None where it is empty. Raises StillOn."""
        asked = request.Request(self.url + path, method=method, headers={"Authorization": self.token})  # noqa: S310
        for left in reversed(range(TRIES)):
            try:
                with self._opener().open(asked, timeout=TIMEOUT_SECONDS) as answer:
                    body = answer.read()
                return json.loads(body) if body else None
            except error.HTTPError as fault:
                if fault.code < HTTPStatus.INTERNAL_SERVER_ERROR or not left:
                    raise self._refusal(fault) from None
            except (OSError, ValueError) as fault:  # URLError and timeouts are OSErrors
                if not left:
                    raise StillOn(
                        f"Unleash at {self.url} does not answer ({getattr(fault, 'reason', fault)})."
                        f" Does it run? `{NAME} status`. To stop the challenger without it:"
                        f' `{NAME} models challenger --none --reason "Unleash is down"`'
                    ) from None
        raise AssertionError("the last try returns or raises")

    def _opener(self) -> request.OpenerDirector:
        bundle = os.environ.get("REQUESTS_CA_BUNDLE") or None
        handlers: list[request.BaseHandler] = [_NoRedirect()]
        if self.url.startswith("https:"):
            handlers.append(request.HTTPSHandler(context=ssl.create_default_context(cafile=bundle)))
        if parse.urlsplit(self.url).hostname in ("127.0.0.1", "localhost", "::1"):
            handlers.append(request.ProxyHandler({}))
        return request.build_opener(*handlers)

    def _refusal(self, fault: error.HTTPError) -> StillOn:
        if fault.code == HTTPStatus.UNAUTHORIZED:
            return StillOn(
                f"Unleash refuses the token (401): `{NAME} up` makes a new one, or use its page {self.url}"
            )
        if fault.code == HTTPStatus.NOT_FOUND:
            return StillOn(
                f"Unleash at {self.url} has no such flag, project or environment: `{NAME} show` lists"
                " the flags",
                FLAG_NEEDS_A_PERSON,
            )
        return StillOn(f"Unleash answers {fault.code}: turn the flag off on its page, {self.url}")


class _NoRedirect(request.HTTPRedirectHandler):
    """A token goes to no other address than the one that was named."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _token(target: Target, variables: Mapping[str, str]) -> str:
    file = target.token_file or variables.get("CANARIO_UNLEASH_ADMIN_TOKEN_FILE", "")
    token = "" if target.token_file else variables.get("CANARIO_UNLEASH_ADMIN_TOKEN", "")
    if not token:
        try:
            token = Path(file).read_text(encoding="utf-8") if file else ""
        except OSError as fault:
            raise StillOn(f"the token cannot be read: {fault}") from None
    if not token.strip():
        raise StillOn("there is no token: set CANARIO_UNLEASH_ADMIN_TOKEN_FILE, or use Unleash's page")
    return token.strip()
