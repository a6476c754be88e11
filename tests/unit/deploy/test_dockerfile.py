"""The image holds what it needs: pinned, hashed, not root, and nothing that the build context hides."""

import ast
import json
import re
import shlex

from service.prediction_log.files import FOLDER_MODE
from service.settings import Settings
from tests.unit.deploy.compose import OURS, REPOSITORY, SERVICES
from tests.unit.deploy.dockerfile import image_environment, instructions, stages

IGNORE = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()


def copied() -> set[str]:
    """What is copied from the build context."""
    copies = [rest.split() for keyword, rest in instructions() if keyword == "COPY"]
    return {source for words in copies if not words[0].startswith("--from") for source in words[:-1]}


def test_every_stage_begins_with_one_pinned_base() -> None:
    bases = {rest.split(" AS ")[0] for keyword, rest in instructions() if keyword == "FROM"}
    assert bases - stages().keys() == {"${PYTHON}"}
    default = next(rest for keyword, rest in instructions() if keyword == "ARG")
    assert re.fullmatch(r"PYTHON=docker\.io/library/python:3\.\d+\.\d+-slim-\w+@sha256:[0-9a-f]{64}", default)


def test_what_is_copied_exists_and_is_not_kept_out() -> None:
    allowed = {line[1:] for line in IGNORE if line.startswith("!")}
    assert "*" in IGNORE, "everything else stays out"
    assert {source.rstrip("/") for source in copied()} == allowed
    for source in copied():
        assert source.endswith("/") == any(each.is_dir() for each in REPOSITORY.glob(source))
        assert any(REPOSITORY.glob(source.rstrip("/"))), source


def test_packages_are_installed_by_hash_and_not_built() -> None:
    installs = [rest for _, rest in instructions() if "pip" in rest and " install " in rest]
    assert len(installs) == 2
    for install in installs:
        assert "--require-hashes" in install
        assert "--only-binary :all:" in install
        assert "venv --without-pip" in install


def test_the_image_has_what_makes_spans_where_settings_env_asks_for_them() -> None:
    copied = [rest for keyword, rest in stages()["runtime"] if keyword == "COPY" and "locks/" in rest]
    assert copied == ["locks/otel.txt /tmp/"]
    asked = (REPOSITORY / "requirements-otel.txt").read_text(encoding="utf-8")
    assert "-r requirements.txt" in asked.splitlines()


def test_the_final_stage_only_copies_makes_folders_and_removes_pip() -> None:
    name, final = list(stages().items())[-1]
    assert SERVICES["service"]["build"]["target"] == name
    makes, removes = (rest for keyword, rest in final if keyword == "RUN")
    assert makes.startswith("install -d")  # see folders()
    assert "rmtree" in removes
    sources = {rest.split()[0] for keyword, rest in final if keyword == "COPY"}
    assert sources == {"--from=training", "--from=runtime"}


def folders() -> dict[str, dict[str, str]]:
    """What the final image makes for volumes: options by folder."""
    run = next(rest for keyword, rest in stages()["canario"] if keyword == "RUN")
    found: dict[str, dict[str, str]] = {}
    for command in run.split("&&"):
        words = shlex.split(command)
        assert words[:2] == ["install", "-d"]
        options = dict(zip(words[2:8:2], words[3:8:2], strict=True))
        found |= dict.fromkeys(words[8:], options)
    return found


def test_each_volume_of_ours_takes_over_a_folder_of_the_user_that_others_cannot_read() -> None:
    """A new volume gets owner and mode of the image's folder; without one it would be root's."""
    mounted = {volume.split(":")[1] for name in OURS for volume in SERVICES[name].get("volumes", [])}
    assert mounted == set(folders())
    for options in folders().values():
        assert (options["-o"], options["-g"]) == ("canario", "canario")
        assert options["-m"].endswith("0")
    assert folders()[image_environment()["CANARIO_LOG_DIR"]]["-m"] == f"{FOLDER_MODE:04o}"


def test_the_final_image_is_not_root_and_takes_the_user_of_compose() -> None:
    for stage in ("canario", "traffic"):
        users = [rest for keyword, rest in stages()[stage] if keyword == "USER"]
        assert users == [SERVICES["service"]["user"]]


def test_the_image_sets_settings_that_the_service_knows() -> None:
    known = {f"CANARIO_{field}".upper() for field in Settings.model_fields}
    given = {name for name in image_environment() if name.startswith("CANARIO_")}
    assert given
    assert given <= known


def test_onnx_runtime_reports_nothing_to_its_makers() -> None:
    assert image_environment()["ORT_DISABLE_TELEMETRY"] == "1"


def test_image_and_compose_check_the_same() -> None:
    check = next(rest for keyword, rest in stages()["canario"] if keyword == "HEALTHCHECK")
    program, option, code = json.loads(check.partition("CMD ")[2])
    assert SERVICES["service"]["healthcheck"]["test"] == f'{program} {option} "{code}"'
    ast.parse(code)
    port = image_environment()["CANARIO_BIND"].rpartition(":")[2]
    assert f"'127.0.0.1', {port}" in code


def test_the_traffic_image_has_all_that_the_traffic_imports() -> None:
    rooms = {path.name for path in REPOSITORY.iterdir() if (path / "__init__.py").is_file()}
    tree = ast.parse((REPOSITORY / "stack" / "traffic.py").read_text(encoding="utf-8"))
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert {module.partition(".")[0] for module in modules} & rooms <= {"common"}
