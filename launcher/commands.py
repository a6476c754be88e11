"""The words of `./canario`: what each does in half a line, and which program has it."""

from __future__ import annotations

from dataclasses import dataclass

NAME = "./canario"
STOP_NOW = f"Stop the challenger now:  {NAME} off"


@dataclass(frozen=True)
class Command:
    """A word of `./canario`.

    Attributes:
        program: the module whose command it is, as `flags`; none where the launcher does it itself.
        words: what goes before the user's own words.
        about: half a line for the list; not listed without.
        needs: `stack` (addresses and a token), `python` (what is installed) or `machine` (any Python).
        after_up: whether the stack is brought up first.
    """

    program: str
    words: tuple[str, ...] = ()
    about: str = ""
    needs: str = "stack"
    after_up: bool = False


def _stack(*words: str, about: str = "") -> Command:
    return Command("stack", words, about, needs="machine")


SECTIONS: dict[str, dict[str, Command]] = {
    "Stop": {
        "off": Command("", (), "turn the flag off: every user gets the champion (under 2 s)"),
    },
    "See": {
        "status": Command("", (), "where the rollout stands, and how each program is"),
        "check": Command("rollback", ("check",), "what the rollback job would do now, and why"),
        "explain": Command("rollback", ("explain",), "the last rollback in sentences, judged again"),
        "show": Command("flags", ("show",), "share, safety timeout, blocked versions, last change"),
        "history": Command("flags", ("history",), "who changed what of a flag, and when"),
        "rollouts": Command("flags", ("rollouts",), "every rollout, and what it needs"),
    },
    "Roll out": {
        "rollout": Command("flags", ("rollout",), "begin, approve, pause, resume, abort, promote, status"),
        "models": Command("flags", ("models",), "champion and challenger: import, promote, the way back"),
        "set": Command("flags", ("set",), "give the challenger a percentage of the users"),
        "on": Command("flags", ("on",), "turn a flag on again"),
        "lift": Command("flags", ("lift",), "unblock versions that were rolled back"),
        "resume": Command("flags", ("resume",), "let automation raise the share again"),
        "exclude": Command("flags", ("exclude",), "keep some users with the champion"),
        "include": Command("flags", ("include",), "let them in again"),
        "lease": Command("flags", ("lease",), "put the safety timeout back on a flag"),
    },
    "Was it better?": {
        "report": Command("analysis", (), "shadow, power, abtest, segments, log", needs="python"),
    },
    "Set up": {
        "plan": Command("flags", ("plan",), "what `apply` would change in Unleash"),
        "apply": Command("flags", ("apply",), "make Unleash hold the flags of a file"),
        "bootstrap": Command("flags", ("bootstrap",), "Unleash users and tokens", needs="python"),
        "rules": Command("monitoring", ("rules",), "write Prometheus rules of the rollouts", needs="python"),
        "dashboard": Command("monitoring.dashboard", (), "write the Grafana dashboard", needs="python"),
        "export": Command("service.export", (), "a scikit-learn model as an artifact", needs="python"),
        "backtest": Command("rollback", ("backtest",), "try the guardrails on your own history"),
        "simulate": Command("rollback", ("simulate",), "try them on simulated rollouts", needs="python"),
    },
    "On this machine": {
        "up": _stack("up", about="install what is missing, start everything, say where it is"),
        "demo": Command(
            "drills", ("demo",), "a bad challenger is rolled back while you watch", "machine", after_up=True
        ),
        "story": Command("drills", ("story",), "from shadow to the decision, with reports", "machine"),
        "example": Command("drills", ("example",), "the same for a FastAPI service", "machine"),
        "drill": Command("drills", (), "every fault on purpose: `drill faults`, `drill rollback`", "machine"),
        "logs": _stack("logs", about="of all programs, or of one (-f goes on)"),
        "program": _stack("program", about="start, stop or restart one program"),
        "shell": Command("", (), "a shell that knows addresses and tokens"),
        "down": _stack("down", about="end everything; data stay"),
        "reset": _stack("clean", about="remove data, secrets and logs; asks first"),
        "install": _stack("install"),
        "exec": Command("", ()),
        "mesh": Command("flags", ("mesh",)),
        "rollback": Command("rollback", ()),
        "service": Command("service", (), needs="machine"),
    },
    "Other": {
        "completion": Command("", (), 'bash or zsh: eval "$(./canario completion bash)"', "machine"),
        "help": Command("", (), "this list, or that of one command", "machine"),
    },
}
COMMANDS: dict[str, Command] = {name: one for part in SECTIONS.values() for name, one in part.items()}


def listing() -> str:
    """What `./canario` alone prints; its first line is for who must stop a challenger."""
    lines = [STOP_NOW]
    for section, commands in SECTIONS.items():
        shown = [(name, one.about) for name, one in commands.items() if one.about]
        lines += ["", section, *(f"  {name:<11} {about}" for name, about in shown)]
    return "\n".join(
        [*lines, "", f"{NAME} COMMAND --help has each one's options. In an incident: docs/runbook.md"]
    )
