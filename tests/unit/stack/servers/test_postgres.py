"""PostgreSQL's data folder after all that can happen to it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from stack.paths import Home
from stack.servers import postgres
from stack.shell import StackError
from stack.site import Site


@pytest.fixture
def folder(home: Home) -> Path:
    """As initdb leaves it, as far as these tests look."""
    made = postgres.data_folder(home)
    made.mkdir()
    (made / "PG_VERSION").write_text(postgres.version().split(".")[0])
    return made


@pytest.mark.parametrize(
    "content",
    ["", "nonsense\n", "4194399\n/elsewhere\n", f"{os.getpid()}\n/elsewhere\n"],
    ids=["empty", "nonsense", "ended", "of another"],
)
def test_a_lock_of_a_server_that_is_gone_is_removed(site: Site, folder: Path, content: str) -> None:
    """The last one: its process id is another program's now, here this test's own."""
    lock = folder / "postmaster.pid"
    lock.write_text(content)
    postgres.prepare(site.home, site.secrets)
    assert not lock.exists()


def test_data_of_another_version_are_not_touched(site: Site, folder: Path) -> None:
    (folder / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(StackError, match=r"made by PostgreSQL 9\.6.*`./canario reset`"):
        postgres.prepare(site.home, site.secrets)


def test_a_new_folder_is_made_whole_after_a_half_made_one(site: Site) -> None:
    folder = postgres.data_folder(site.home)
    (folder / "base").mkdir(parents=True)  # no PG_VERSION: initdb was killed
    postgres.prepare(site.home, site.secrets)
    assert (folder / "global" / "pg_control").is_file()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in site.home.data.iterdir()] == ["postgres"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs it")
@pytest.mark.parametrize("prefix", [postgres._AS_NOBODY_IN_NAMESPACE, postgres._AS_NOBODY])
def test_root_runs_it_as_nobody_and_where_nobody_may_not_go(tmp_path: Path, prefix: tuple[str, ...]) -> None:
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine forbids it")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    shutil.copy("/usr/bin/id", closed / "id")
    (closed / "id").chmod(0o700)
    found = subprocess.run([*prefix, str(closed / "id"), "-u"], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == str(postgres.NOBODY)
    subprocess.run([*prefix, "test", "-x", str(closed / "id")], check=True)  # as initdb asks


def test_a_machine_that_forbids_both_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(postgres, "_AS_NOBODY", ("false",))
    monkeypatch.setattr(postgres, "_AS_NOBODY_IN_NAMESPACE", ("false",))
    postgres.not_as_root.cache_clear()
    try:
        with pytest.raises(StackError, match="ordinary user"):
            postgres.not_as_root()
    finally:
        postgres.not_as_root.cache_clear()
