"""Which port each program gets."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from stack.ports import DEFAULTS, FREE_RANGE, HOST, assign, holder, recall, remember
from stack.shell import StackError


def used(*ports: int) -> Callable[[int], str | None]:
    return lambda port: "somebody" if port in ports else None


def test_a_new_home_gets_the_usual_ports() -> None:
    assignment = assign(asked={}, remembered={}, holder=used())
    assert assignment.ports == DEFAULTS
    assert assignment.notices == ()


def test_a_port_in_use_is_replaced_by_the_next_free_one_and_said() -> None:
    assignment = assign(asked={}, remembered={}, holder=used(4242, 4243))
    assert assignment.ports == {**DEFAULTS, "unleash": 4244}
    assert assignment.notices == ("port 4242 is in use by somebody: unleash gets 4244, now and from now on",)


def test_remembered_ports_come_back() -> None:
    remembered = {**DEFAULTS, "unleash": 4711}
    assert assign(asked={}, remembered=remembered, holder=used(4242)).ports == remembered


def test_a_remembered_port_that_was_taken_meanwhile_is_replaced() -> None:
    assignment = assign(asked={}, remembered={"service": 8001}, holder=used(8001))
    assert assignment.ports["service"] == 8002
    assert len(assignment.notices) == 1


def test_a_running_program_keeps_its_port_although_it_is_in_use() -> None:
    assignment = assign(asked={}, remembered=DEFAULTS, ours={"unleash"}, holder=used(4242))
    assert assignment.ports == DEFAULTS
    assert assignment.notices == ()


def test_a_running_program_moves_when_another_port_is_asked_for() -> None:
    assignment = assign(asked={"unleash": 5000}, remembered=DEFAULTS, ours={"unleash"}, holder=used(4242))
    assert assignment.ports["unleash"] == 5000


def test_a_port_asked_for_wins_over_the_remembered_one() -> None:
    ports = assign(asked={"service": 9999}, remembered={"service": 8001}, holder=used()).ports
    assert ports["service"] == 9999


def test_a_port_asked_for_that_is_in_use_is_an_error_that_names_who_has_it() -> None:
    with pytest.raises(StackError, match="port 9999, asked for service, is in use by somebody"):
        assign(asked={"service": 9999}, remembered={}, holder=used(9999))


def test_the_same_port_asked_for_twice_is_an_error() -> None:
    with pytest.raises(StackError, match="in use by another program of this stack"):
        assign(asked={"service": 9999, "unleash": 9999}, remembered={}, holder=used())


def test_a_default_that_is_asked_for_by_another_program_is_replaced() -> None:
    ports = assign(asked={"service": 9090}, remembered={}, holder=used()).ports
    assert ports["service"] == 9090
    assert ports["prometheus"] == 9091


def test_free_ports_are_distinct_and_none_is_a_default() -> None:
    ports = assign(asked={}, remembered={}, mode="free", holder=used()).ports
    assert len(set(ports.values())) == len(DEFAULTS)
    assert all(port in FREE_RANGE for port in ports.values())


def test_a_machine_without_a_free_port_is_an_error() -> None:
    with pytest.raises(StackError, match="no port"):
        assign(asked={}, remembered={}, holder=lambda _port: "somebody")


def test_the_holder_of_a_port_is_named() -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        assert f"pid {os.getpid()}" in (holder(port) or "")
    assert holder(port) is None


def test_ports_are_remembered_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    assert recall(file) == {}
    remember(file, DEFAULTS)
    assert recall(file) == DEFAULTS


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"unleash": "4242", "other": 1}'])
def test_a_damaged_file_counts_as_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "ports.json"
    file.write_text(text)
    assert recall(file) == {}
