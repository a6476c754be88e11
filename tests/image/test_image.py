"""What is in the image, and what is not."""

import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.container import Container
from tests.image.engine import Engine
from tests.unit.deploy.compose import SERVICES

LARGEST_MB = 230  # on top of the base: ONNX Runtime and NumPy have 150 of them
TOOLS = ("pip", "pip3", "gcc", "cc", "g++", "clang", "make", "ld", "as", "git", "curl", "wget", "cargo", "uv")
TOKEN = re.compile(
    rb"(default|\*):[a-z]+\.[0-9a-f]{40,}|user:[0-9a-f]{30,}|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
SECRET_FILES = re.compile(
    r"\.env$|\.token$|\.password$|\.secret$|(^|/)\.git/|(^|/)\.canario/|(^|/)tests/unit/"
)
# What needs scikit-learn trains and exports models, which is done elsewhere.
TRAINING = {"service.nightly", "service.export", "service.export.convert", "service.train"}


def test_it_is_small(engine: Engine, image: str, base: str) -> None:
    whole, of_base = engine.megabytes(image), engine.megabytes(base)
    print(f"\n{image}: {whole:.0f} MB, of which the base has {of_base:.0f}")
    assert whole - of_base < LARGEST_MB


def test_it_runs_as_the_user_of_compose(engine: Engine, image: str) -> None:
    (found,) = json.loads(engine.run("image", "inspect", image).stdout)
    assert found["Config"]["User"] == SERVICES["service"]["user"]
    assert engine.run("run", "--rm", image, "id", "-u").stdout.strip() == "10001"


def test_nothing_in_it_installs_or_compiles(service: Container) -> None:
    found = service.python(f"import shutil; print([tool for tool in {TOOLS} if shutil.which(tool)])")
    assert found.strip() == "[]"
    packages = ("pip", "ensurepip", "setuptools", "wheel")
    code = f"from importlib.util import find_spec; print([one for one in {packages} if find_spec(one)])"
    assert service.python(code).strip() == "[]"
    assert (
        service.exec("/usr/bin/env", "-i", "sh", "-c", "command -v pip python3-config || true").strip() == ""
    )


def test_every_module_that_is_in_it_can_be_imported(service: Container) -> None:
    """Nothing that a command needs is only in the lists of developers."""
    code = (
        "import importlib, json, pkgutil, sys; sys.path.insert(0, '/app'); bad = {}\n"
        "for one in pkgutil.walk_packages(['/app'], onerror=lambda name: None):\n"
        "    if one.name.endswith(('__main__', '.gunicorn_conf', '.wsgi')): continue\n"
        "    try: importlib.import_module(one.name)\n"
        "    except ImportError as error: bad[one.name] = str(error)\n"
        "print(json.dumps(bad))"
    )
    bad = json.loads(service.python(code).splitlines()[-1])
    assert {name: why for name, why in bad.items() if name not in TRAINING} == {}


@pytest.mark.parametrize("room", ["service", "flags", "rollback", "board"])
def test_its_commands_start(service: Container, room: str) -> None:
    assert "Usage" in service.exec("python", "-m", room, "--help")


def test_what_others_need_stays_out(service: Container) -> None:
    rooms = set(service.exec("ls", "/app").split())
    assert {"service", "flags", "rollback", "board", "common"} <= rooms
    assert not rooms & {"tests", "drills", "bench", "analysis", "deploy"}
    assert set(service.exec("ls", "/app/stack").split()) - {"__pycache__"} == {"__init__.py", "paths.py"}
    assert [name for name in service.exec("ls", "/app/docs").split() if not name.endswith(".md")] == []
    assert "dashboard" not in service.exec("ls", "/app/monitoring").split()
    assert service.python("import importlib.util as u; print(u.find_spec('sklearn'))").strip() == "None"


def layers(engine: Engine, image: str, folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every small file of every layer, those that a later layer hides too."""
    archive = folder / "image.tar"
    engine.run("save", "--output", str(archive), image, timeout=300)
    with tarfile.open(archive) as outer:
        for member in outer:
            if (
                not member.isfile()
                or member.name.endswith(".json")
                or (data := outer.extractfile(member)) is None
            ):
                continue
            try:
                layer = tarfile.open(fileobj=data)  # noqa: SIM115 - what is no archive is passed over
            except tarfile.ReadError:
                continue
            with layer:
                for file in layer:
                    if file.isfile():
                        content = layer.extractfile(file)
                        small = content is not None and file.size < 2_000_000
                        yield file.name, content.read() if content and small else b""


def test_no_layer_holds_a_secret(engine: Engine, image: str, tmp_path: Path) -> None:
    names = 0
    for name, content in layers(engine, image, tmp_path):
        names += 1
        assert not SECRET_FILES.search(name), name
        assert not TOKEN.search(content), name
    assert names > 1000, "the layers were read"


def test_neither_does_its_history_or_environment(engine: Engine, image: str) -> None:
    history = engine.run("history", "--no-trunc", image).stdout
    (found,) = json.loads(engine.run("image", "inspect", image).stdout)
    for line in (*history.splitlines(), *found["Config"]["Env"]):
        assert not re.search(r"(TOKEN|PASSWORD|SECRET|SALT)\w*=", line)
