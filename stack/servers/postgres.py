"""PostgreSQL's data folder, databases, and how root runs a server that refuses root.

docs/decisions/0002-stack-without-docker.md has the reasons.
"""

import functools
import os
import shutil
import subprocess
from pathlib import Path

import psutil

from stack.paths import Home
from stack.ports import HOST
from stack.secrets import Secrets
from stack.servers.machine import postgres
from stack.shell import StackError, run

SUPERUSER = "postgres"
UNLEASH_ROLE = "unleash"
NOBODY = 65_534

# In a user namespace of its own, where the ids of root are those of nobody: PostgreSQL sees no root, the
# files stay root's, a clone under /root (0700) can be entered, and root's privileges are gone.
_AS_NOBODY_IN_NAMESPACE = (
    "unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--",
)  # fmt: skip
# Where namespaces are forbidden, as in most containers: the user nobody, who may enter root's folders.
# no_setuid_fixup, because initdb asks access(2), which ignores capabilities without it.
_AS_NOBODY = (
    "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=+dac_override",
    "--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup", "--",
)  # fmt: skip

_CREATE = r"""
SELECT format('CREATE ROLE %I LOGIN', :'role')
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
ALTER ROLE :"role" PASSWORD :'password';
SELECT format('CREATE DATABASE %I OWNER %I', :'database', :'role')
    WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec
"""


@functools.cache
def not_as_root() -> tuple[str, ...]:
    """What to put in front of PostgreSQL's commands; nothing for an ordinary user.

    Raises:
        StackError: this machine lets root do neither.
    """
    if os.geteuid() != 0:
        return ()
    for prefix in (_AS_NOBODY_IN_NAMESPACE, _AS_NOBODY):
        if subprocess.run([*prefix, "true"], capture_output=True, check=False, timeout=30).returncode == 0:
            return prefix
    raise StackError(
        "PostgreSQL refuses to run as root, and this machine lets root neither make a user namespace "
        "(unshare) nor become nobody (setpriv): run the same command as an ordinary user."
    )


def data_folder(home: Home) -> Path:
    return home.data / "postgres"


def version() -> str:
    """As the binary says it: `18.6`."""
    said = subprocess.run(
        [str(postgres("postgres")), "--version"], capture_output=True, text=True, check=False
    )
    return said.stdout.split()[-1] if said.stdout.strip() else "?"


def prepare(home: Home, secrets: Secrets) -> None:
    """Make the data folder unless it is there, and clear what a killed server left in it.

    Only while the server does not run.

    Raises:
        StackError: initdb failed, or the folder is another PostgreSQL's.
    """
    folder = data_folder(home)
    if not (folder / "PG_VERSION").is_file():
        _initialise(folder, home, secrets)
    theirs, ours = (folder / "PG_VERSION").read_text().strip(), version().split(".")[0]
    if theirs != ours:
        raise StackError(
            f"{folder} was made by PostgreSQL {theirs}, and this is {ours}: "
            "`./canario reset` throws the data away, CANARIO_HOME=DIR begins anew elsewhere"
        )
    _own(folder)
    _clear_stale_lock(folder)


def command(home: Home, port: int) -> tuple[str, ...]:
    """The server's command line: TCP on this machine only, no Unix socket whose path could be too long."""
    options = {
        "listen_addresses": HOST,
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": "50",
        "shared_buffers": "64MB",
        "log_checkpoints": "off",
    }
    flags = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    return (str(postgres("postgres")), "-D", str(data_folder(home)), *flags)


def create_database(home: Home, secrets: Secrets, port: int, name: str) -> None:
    """Create Unleash's role, with the password of `secrets`, and the database `name`, where they are missing.

    Raises:
        StackError: the server refuses.
    """
    run(
        [str(postgres("psql")), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-f", "-"],
        home.logs / "postgres-setup.log",
        what=f"the database {name} could not be made",
        environment={
            **os.environ,
            "PGHOST": HOST,
            "PGPORT": str(port),
            "PGUSER": SUPERUSER,
            "PGPASSWORD": secrets.read("postgres-superuser.password"),
        },
        # psql quotes the values; by its standard input, because others can see a command line
        stdin=f"\\set database '{name}'\n\\set role '{UNLEASH_ROLE}'\n"
        f"\\set password '{secrets.read('postgres-unleash.password')}'\n" + _CREATE,
    )


def _initialise(folder: Path, home: Home, secrets: Secrets) -> None:
    unfinished = folder.with_name("postgres.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.mkdir(parents=True, mode=0o700)
    _own(unfinished)
    options = {
        "--pgdata": unfinished,
        "--username": SUPERUSER,
        "--auth": "scram-sha-256",
        "--pwfile": secrets.path("postgres-superuser.password"),
        "--encoding": "UTF8",
        "--locale": "C.UTF-8",
    }
    run(
        [*not_as_root(), str(postgres("initdb")), *(f"{name}={value}" for name, value in options.items())],
        home.logs / "initdb.log",
        what="PostgreSQL's data folder could not be made",
    )
    unfinished.rename(folder)


def _own(folder: Path) -> None:
    """Give the folder to whom the server will run as: that can change between two runs of root."""
    if os.geteuid() != 0:
        return
    owner = NOBODY if not_as_root() == _AS_NOBODY else 0
    if folder.stat().st_uid != owner:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, owner, owner, follow_symlinks=False)


def _clear_stale_lock(folder: Path) -> None:
    """PostgreSQL does not start while the process of its lock file lives, even if that is now another one."""
    lock = folder / "postmaster.pid"
    try:
        process = psutil.Process(int(lock.read_text().split()[0]))
        ours = process.name() == "postgres" and Path(process.cwd()) == folder
    except (OSError, ValueError, IndexError, psutil.Error):
        ours = False
    if ours:
        try:
            process.wait(timeout=30)  # the server of a stack that was killed a moment ago, shutting down
        except psutil.TimeoutExpired as error:
            raise StackError(
                f"another PostgreSQL (pid {process.pid}) works on {folder}: `kill -INT {process.pid}` ends it"
            ) from error
    lock.unlink(missing_ok=True)
