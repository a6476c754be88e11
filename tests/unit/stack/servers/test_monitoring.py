"""Prometheus is not brought twice, and Alertmanager finds its templates."""

from pathlib import Path

import pytest

from stack.paths import Cache
from stack.servers import monitoring
from stack.shell import StackError

PLACE = b"/usr/share/prometheus/alertmanager"


def test_an_unpacked_prometheus_is_left_alone(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    binary = monitoring.prometheus(cache)
    binary.parent.mkdir(parents=True)
    binary.touch()
    (cache.prometheus / "canario.packages").touch()
    assert monitoring.ensure_prometheus(cache) == "there already"


def unpacked_alertmanager(root: Path, content: bytes) -> Path:
    file = root / "usr" / "bin" / "prometheus-alertmanager"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    return file


def test_alertmanager_finds_its_templates_where_it_is_started(tmp_path: Path) -> None:
    file = unpacked_alertmanager(
        tmp_path, b"bytes" + PLACE + b"355 " + PLACE + b"/ui/111 " + PLACE + b"/no-ui1"
    )
    monitoring.find_templates_here(tmp_path)
    here = b"." + b"/" * (len(PLACE) - 1)
    assert file.read_bytes() == b"bytes" + here + b"355 " + PLACE + b"/ui/111 " + PLACE + b"/no-ui1"


@pytest.mark.parametrize("content", [b"nothing of the kind", PLACE + b" twice " + PLACE])
def test_an_alertmanager_that_is_not_known_is_left_out_and_not_broken(tmp_path: Path, content: bytes) -> None:
    file = unpacked_alertmanager(tmp_path, content)
    with pytest.raises(StackError, match="ALERTMANAGER=0"):
        monitoring.find_templates_here(tmp_path)
    assert file.read_bytes() == content
