"""What the machine lacks is named, with the command that brings it."""

import os

import pytest

from stack.servers import machine
from stack.servers.machine import missing_libraries, require, require_machine
from stack.shell import MachineLacks

LDD = """\
\tlinux-vdso.so.1 (0x00007ffd)
\tlibatomic.so.1 => not found
\tlibstdc++.so.6 => /lib/x86_64-linux-gnu/libstdc++.so.6 (0x00007f)
\tlibstrange.so.4 => not found
"""


def test_ldd_says_what_is_not_found() -> None:
    assert missing_libraries(LDD) == ["libatomic.so.1", "libstrange.so.4"]


def test_nothing_missing_is_no_error() -> None:
    require([], {"node": []})


def test_a_missing_library_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MachineLacks) as caught:
        require([], {"node": ["libatomic.so.1"]})
    assert str(caught.value) == (
        "This machine lacks libatomic.so.1 (needed by node): `sudo apt-get install libatomic1` brings it."
    )
    assert caught.value.exit_code == 3


def test_root_needs_no_sudo_and_all_comes_in_one_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(MachineLacks, match=r"`apt-get install libgomp1 util-linux` brings it\.$"):
        require(["setpriv"], {"onnxruntime": ["libgomp.so.1"]})


def test_a_library_of_an_unknown_package_is_searched_for() -> None:
    with pytest.raises(MachineLacks, match=r"`apt-file search libstrange\.so\.4` names the package"):
        require([], {"node": ["libstrange.so.4"]})


def test_a_missing_command_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(MachineLacks, match="the command setpriv, the command unshare"):
        require_machine()


def test_this_machine_has_everything() -> None:
    require_machine()


def test_the_binaries_of_the_venv_are_where_they_are_expected() -> None:
    for path in (machine.node(), machine.npm(), machine.postgres("initdb"), machine.postgres("psql")):
        assert path.is_file(), path
