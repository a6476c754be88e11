"""What supervisord and its programs are told, rendered. Pure.

Supervisord runs in the folder `run` of the home, and its paths are relative to it: so they have no characters
that its config cannot hold, and the socket's is short (a Unix socket's address holds 107 bytes).
"""

import hashlib
import json
import shlex
import sys
from collections.abc import Iterable

from stack.paths import REPOSITORY, Home
from stack.processes.programs import Program

# Marks every process of a stack, so that one that got away can be found.
MARK = "CANARIO_STACK_HOME"

_HEAD = """\
; Made by `./canario up`, and made anew by the next one.
[unix_http_server]
file=/proc/self/cwd/supervisor.sock
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisord]
nodaemon=true
silent=true
pidfile=supervisord.pid
logfile=../logs/supervisord.log
logfile_maxbytes=2MB
logfile_backups=1
minfds=256
minprocs=64
umask=022
"""

# A program that ends within five seconds did not start; the next try waits a second longer each time. None is
# given up: a full disk is mended after hours, and then the rollback job must come back by itself.
_PROGRAM = """
[program:{name}]
command={command}
environment=CANARIO_STACK_SPEC="{digest}"
priority={priority}
autostart=false
autorestart=true
startsecs=5
startretries=1000000
stopsignal={stop_signal}
stopwaitsecs={stop_seconds}
killasgroup=true
redirect_stderr=true
stdout_logfile=../logs/{name}.log
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=2
"""


def render_config(home: Home, programs: Iterable[Program], *, as_root: bool) -> str:
    """Supervisord's own file; programs start in this order and end in the opposite one."""
    launch = (sys.executable, "-I", str(REPOSITORY / "stack" / "processes" / "launch.py"), "program")
    head = _HEAD + ("user=root\n" if as_root else "")  # else it warns of what the user knows
    return head + "".join(
        _PROGRAM.format(
            name=program.name,
            command=shlex.join((*launch, program.name)).replace("%", "%%"),
            digest=hashlib.sha256((render_spec(home, program) + program.inputs).encode()).hexdigest()[:16],
            priority=number,
            stop_signal=program.stop_signal,
            stop_seconds=program.stop_seconds,
        )
        for number, program in enumerate(programs, start=1)
    )


def render_spec(home: Home, program: Program) -> str:
    """What `launch.become_program` reads. It holds secrets."""
    # A change of user makes the kernel forget the signal; so it is asked for again behind the prefix.
    again = ("setpriv", "--pdeathsig", program.death_signal, "--") if program.prefix else ()
    return json.dumps(
        {
            "command": [*program.prefix, *again, *program.command],
            "directory": str(REPOSITORY),
            "death_signal": f"SIG{program.death_signal}",
            "environment": {**program.environment, MARK: str(home.root)},
        },
        indent=2,
    )
