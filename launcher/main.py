"""Passes a word of `./canario` on to the program that has it, with what that program needs."""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import NoReturn

from launcher import completion, off
from launcher.commands import COMMANDS, NAME, STOP_NOW, Command, listing
from launcher.place import NOT_READY, NotReady, environment, has, is_of_this_machine, is_up, on_path, python

WRONG_USAGE = 2
MAKE_VARIABLE = "="  # in `./canario up TRAFFIC=0`, as with make


def main(arguments: Sequence[str]) -> int:
    """Run what `arguments` say; the exit code, where this process is not replaced by the program's."""
    words = list(arguments)
    if words[:1] == ["--home"] and len(words) > 1:
        os.environ["CANARIO_HOME"] = os.path.abspath(words[1])  # noqa: PTH100 - as it was typed
        words = words[2:]
    try:
        if completion.VARIABLE in os.environ:
            return _complete()
        return _run(words)
    except NotReady as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def _run(words: list[str]) -> int:
    if not words or words[0] in ("help", "--help", "-h"):
        if len(words) < 2:
            print(listing())
            return 0
        words = [*words[1:], "--help"]
    name, rest = words[0], words[1:]
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"; did you mean `{NAME} {near[0]}`?" if near else ""
        print(f"error: there is no command `{name}`{hint}\n{STOP_NOW}\nAll: {NAME} help", file=sys.stderr)
        return WRONG_USAGE
    own = {"off": off.main, "status": _status, "shell": _shell, "exec": _exec, "completion": _completion}
    if name in own:
        return own[name](rest)
    return _pass_on(name, COMMANDS[name], rest)


def _pass_on(name: str, command: Command, rest: list[str]) -> NoReturn:
    """Become the program of a command. Raises NotReady."""
    asks = not {"--help", "-h"}.intersection(rest)
    if not has(command.program):
        raise NotReady(f"`{NAME} {name}` is not in this image: run it from a clone of Canario.")
    if command.needs == "machine":  # the stack brings its own Python, and knows its own addresses
        rest = _variables(rest)
        if command.after_up and asks and not is_up():
            if code := subprocess.call([sys.executable, "-m", "stack", "up"], env=on_path(os.environ)):
                sys.exit(code)
        elif command.program == "drills" and asks:
            subprocess.check_call([sys.executable, "-m", "stack", "install"], env=on_path(os.environ))
    variables = environment() if command.needs == "stack" and asks else _known()
    if "CANARIO_CANARY_PERCENT" in os.environ and is_of_this_machine(variables):
        # A service without Unleash beside the stack's: it would be an error that both are said.
        variables = {name: text for name, text in variables.items() if "CANARIO_UNLEASH_" not in name}
    interpreter = os.environ.get("PYTHON") or sys.executable if command.program == "stack" else python()
    prog = NAME if command.words or command.program == "stack" else f"{NAME} {name}"
    _become([interpreter, "-m", command.program, *command.words, *rest], {**variables, "_CANARIO_PROG": prog})


def _known() -> dict[str, str]:
    """What is known of the stack, for commands that can do without."""
    try:
        return environment()
    except NotReady:
        return dict(os.environ)


def _variables(words: list[str]) -> list[str]:
    """Take `TRAFFIC=0` and its like into the environment; the other words."""
    rest = []
    for word in words:
        key, found, value = word.partition(MAKE_VARIABLE)
        if found and key.isidentifier() and key.isupper():
            os.environ[key] = value
        else:
            rest.append(word)
    return rest


def _become(command: list[str], variables: dict[str, str]) -> NoReturn:
    sys.stdout.flush()
    os.execvpe(command[0], command, on_path(variables))  # noqa: S606 - our own program


def _status(rest: list[str]) -> int:
    """The rollout, or with several their list; then the programs of this machine's stack."""
    variables = on_path(environment())
    if rest:
        _become([python(), "-m", "flags", "rollout", "status", *rest], variables)
    folder = variables.get("CANARIO_ROLLOUTS")
    several = len(off.rollout_files(folder)) > 1
    parts = [["flags", "rollouts"] if several else ["flags", "rollout", "status"]]
    if is_of_this_machine(variables):
        parts.append(["stack", "status"])
    running = [
        subprocess.Popen(
            [python(), "-m", *part],
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for part in parts
    ]
    told = [process.communicate()[0] for process in running]
    print("\n".join(told), end="")
    return next((process.returncode for process in running if process.returncode), 0)


def _shell(rest: list[str]) -> NoReturn:
    _become([os.environ.get("SHELL") or "bash", *rest], environment())


def _exec(rest: list[str]) -> NoReturn:
    if not rest:
        raise NotReady(f"`{NAME} exec COMMAND` runs COMMAND with addresses and files of tokens.")
    _become(rest, environment())


def _completion(rest: list[str]) -> int:
    if len(rest) != 1 or rest[0] not in completion.SCRIPTS:
        print(f'Into ~/.bashrc or ~/.zshrc: eval "$({NAME} completion bash)", or zsh', file=sys.stderr)
        return WRONG_USAGE
    print(completion.SCRIPTS[rest[0]], end="")
    return 0


def _complete() -> int:
    """Answer what the shell asks while somebody types."""
    whole, typed = completion.words(os.environ)
    kind = os.environ[completion.VARIABLE]
    if not whole:
        print(completion.first(kind, typed), end="")
        return 0
    command = COMMANDS.get(whole[0])
    variables = completion.handed_over(command, whole, typed) if command else None
    if command is None or variables is None or not has(command.program):
        return NOT_READY
    _become([python(), "-m", command.program], variables)
