"""Completion in bash and zsh, by click's protocol: first words from the list, others from their program."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping

from launcher.commands import COMMANDS, Command

VARIABLE = "_CANARIO_COMPLETE"
"""Click's: with it a command line completes instead of running."""
BASH = """\
_canario() {
    local IFS=$'\\n' line
    COMPREPLY=()
    while read -r line; do
        case "${line%%,*}" in
            plain) COMPREPLY+=("${line#*,}") ;;
            file) compopt -o default ;;
            dir) compopt -o dirnames ;;
        esac
    done < <(COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD \\
             _CANARIO_COMPLETE=bash_complete "$1" 2>/dev/null)
}
complete -F _canario canario
"""
ZSH = """\
#compdef canario
_canario() {
    local -a answer plain told
    local kind value about
    answer=("${(@f)$(COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) \\
             _CANARIO_COMPLETE=zsh_complete ${(Q)words[1]} 2>/dev/null)}")
    for kind value about in ${answer}; do
        case $kind in
            plain) if [[ $about == _ ]]; then plain+=("$value"); else told+=("$value:$about"); fi ;;
            file) _path_files -f ;;
            dir) _path_files -/ ;;
        esac
    done
    (( ${#told} )) && _describe -V unsorted told -U
    (( ${#plain} )) && compadd -U -V unsorted -a plain
}
compdef _canario canario
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH}


def words(variables: Mapping[str, str]) -> tuple[list[str], str]:
    """The whole words behind `./canario`, and the one that is being typed."""
    line = variables["COMP_WORDS"]  # bash puts a line's end between words, zsh a space
    try:
        every = shlex.split(line)
    except ValueError:  # a quote that is still open
        every = line.split()
    at = int(variables["COMP_CWORD"])
    return every[1:at], every[at] if at < len(every) else ""


def first(kind: str, typed: str) -> str:
    """The commands that begin so, in click's format."""
    found = [(name, one.about) for name, one in COMMANDS.items() if one.about and name.startswith(typed)]
    if kind.startswith("zsh"):
        return "".join(f"plain\n{name}\n{about or '_'}\n" for name, about in found)
    return "".join(f"plain,{name}\n" for name, _ in found)


def handed_over(
    command: Command, whole: list[str], typed: str, variables: Mapping[str, str] = os.environ
) -> dict[str, str] | None:
    """The environment in which the program of `command` completes the rest; None where it has no words."""
    if not command.program:
        return None
    line = ["canario", *command.words, *whole[1:], typed]
    return {**variables, "COMP_WORDS": "\n".join(line), "COMP_CWORD": str(len(line) - 1)}
