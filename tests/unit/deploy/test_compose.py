"""The rules that every service of docker-compose.yml keeps, and that its settings are settings we know."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from board.settings import BoardSettings
from common.config import StrictModel, load_settings
from deploy import env
from flags.cli.models import ModelsSettings
from flags.rollout.schema import load_plan
from flags.rollout.settings import RolloutJobSettings, RolloutSettings
from flags.settings import BootstrapSettings, FlagsSettings
from rollback.settings import RollbackSettings
from service.settings import Settings
from stack.processes.environment import OWN
from stack.traffic import main as traffic
from tests.unit.deploy import compose
from tests.unit.deploy.compose import ONE_SHOT, OURS, REPOSITORY, SERVICES, environment_of
from tests.unit.deploy.dockerfile import image_environment

every_service = pytest.mark.parametrize("name", SERVICES)
SETTINGS: dict[str, tuple[type[StrictModel], ...]] = {
    "provision": (BootstrapSettings, FlagsSettings, ModelsSettings, RolloutSettings),
    "service": (Settings,),
    "rollback": (RollbackSettings,),
    "rollout": (RolloutSettings, RolloutJobSettings),
    "board": (BoardSettings,),
}


def env_file() -> dict[str, str]:
    lines = [line for line in env.content().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_it_fits_the_compose_specification() -> None:
    """By the schema that check-jsonschema ships."""
    command = ["-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(compose.FILE)]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


NOT_BY_DIGEST = ("unleash", "balancer")  # docs/operations.md says how to


@every_service
def test_images_are_pinned(name: str) -> None:
    image, _, digest = SERVICES[name]["image"].partition("@")
    tag = image.rpartition(":")[2]
    assert re.fullmatch(r"v?\d+\.\d+(\.\d+)?(-\w+)?", tag), f"{tag} is no exact version"
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", digest) or name in (*OURS, "board", *NOT_BY_DIGEST)


@pytest.mark.parametrize("name", OURS)
def test_our_images_carry_the_version_of_the_project(name: str) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert SERVICES[name]["image"].endswith(f":{project['version']}")
    assert SERVICES[name]["build"]["target"]


@every_service
def test_services_run_with_as_little_as_they_need(name: str) -> None:
    service = SERVICES[name]
    uid, gid = map(int, service["user"].split(":"))  # numbers: a name could mean root in the image
    assert uid > 0
    assert gid > 0
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "devices", "network_mode", "pid", "ipc"} & service.keys()
    assert not any("docker.sock" in volume for volume in service.get("volumes", []))


@every_service
def test_services_are_limited(name: str) -> None:
    limits = SERVICES[name]["deploy"]["resources"]["limits"]
    assert {"cpus", "memory", "pids"} == limits.keys()
    logging = SERVICES[name]["logging"]["options"]
    assert logging["max-size"]


@every_service
def test_services_tell_their_health_and_come_back(name: str) -> None:
    service = SERVICES[name]
    if name in ONE_SHOT:
        assert service["restart"] == "no"
        assert service["healthcheck"]["disable"], "the check of the image is the service's"
        return
    assert service["restart"] == "unless-stopped"
    assert {"test", "interval", "timeout", "retries", "start_period"} <= service["healthcheck"].keys()


@every_service
def test_services_wait_for_what_they_need(name: str) -> None:
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        wanted = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
        assert wait == {"condition": wanted}


@every_service
def test_ports_are_open_to_this_machine_only_unless_told_otherwise(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(
            r"\$\{CANARIO_PUBLISH_ADDRESS:-127\.0\.0\.1\}:\$\{CANARIO_\w+_PORT:-(\d+)\}:\1", port
        )


def test_nothing_but_unleash_reaches_the_database() -> None:
    networks = compose.DOCUMENT["networks"]
    assert networks["database"]["internal"] is True
    members = {name for name, service in SERVICES.items() if "database" in service["networks"]}
    assert members == {"postgres", "unleash"}


@every_service
def test_no_secret_stands_in_the_file(name: str) -> None:
    for variable, value in SERVICES[name].get("environment", {}).items():
        if re.search(r"PASSWORD|SECRET|TOKEN", variable) and not variable.endswith("_FILE"):
            assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), f"{variable} is not taken from the env file"


def test_a_missing_env_file_is_told_with_the_command_that_makes_it() -> None:
    assert not [match[0] for match in compose.variables() if match["unguarded"]]
    bare = [match["name"] for match in compose.variables() if match["message"] is match["default"] is None]
    assert bare == [], "without message or default, Compose takes a missing variable for an empty one"
    for match in compose.variables():
        if match["default"] is None:
            assert "python3 -m deploy.env" in match["message"]


def test_the_env_file_gives_what_is_asked_for_and_no_more() -> None:
    required = {match["name"] for match in compose.variables() if match["default"] is None}
    assert env_file().keys() == required
    offered = {name: option.default for name, option in env.OPTIONS.items()}
    with_default = {m["name"]: m["default"] for m in compose.variables() if m["default"] is not None}
    assert offered == with_default, "the env file tells what may be chosen, and its default"
    assert set(re.findall(r"^#(CANARIO_\w+)=\S", env.content(), re.MULTILINE)) == set(offered)


@pytest.mark.parametrize("name", SETTINGS)
def test_our_processes_get_settings_that_they_accept(name: str, tmp_path: Path) -> None:
    environment = image_environment() | environment_of(name, env_file())
    token = tmp_path / "token"
    token.write_text("user:0123456789abcdef\n", encoding="utf-8")
    for variable in [one for one in environment if one.endswith("_FILE")]:
        environment[variable] = str(token)
    for model in SETTINGS[name]:
        load_settings(model, environment)
    known = {f"CANARIO_{field}".upper() for model in SETTINGS[name] for field in model.model_fields}
    for variable in environment_of(name, env_file()):
        if variable.startswith("CANARIO_"):
            assert variable.removesuffix("_FILE") in known


# Fixed: where things are in containers, and who is who. All else can be chosen.
FIXED = OWN | {"UNLEASH_PUBLIC_URL", "BOARD_URL"}
ENVIRONMENT_OF: dict[str, tuple[type[StrictModel], ...]] = {
    "service": (Settings,),
    "rollback": (RollbackSettings,),
    "rollout": (RolloutSettings, RolloutJobSettings),
    "board": (BoardSettings,),
}


@pytest.mark.parametrize("name", ENVIRONMENT_OF)
def test_every_setting_can_be_chosen_but_what_the_containers_are_made_of(name: str) -> None:
    assert {"path": "settings.env", "required": False} in SERVICES[name]["env_file"]
    declared = SERVICES[name]["environment"]
    for model in ENVIRONMENT_OF[name]:
        for field in model.model_fields:
            value = declared.get(f"CANARIO_{field}".upper())  # it wins over settings.env
            assert value is None or field.upper() in FIXED or re.match(r"\$\{CANARIO_\w+:[-?]", value), field


def test_the_traffic_gets_settings_that_it_accepts() -> None:
    known = {parameter.envvar for parameter in traffic.params}
    assert environment_of("traffic", {}).keys() <= known


def test_only_who_changes_roles_may_write_the_models() -> None:
    mounts = {
        name: volume.removeprefix("models:")
        for name in OURS
        for volume in SERVICES[name].get("volumes", [])
        if volume.startswith("models:")
    }
    folder = environment_of("service", env_file())["CANARIO_MODELS"]
    assert mounts == {"provision": folder, "rollout": folder, "service": f"{folder}:ro"}


def test_each_process_sees_no_token_but_its_own() -> None:
    def volumes(name: str) -> dict[str, str]:
        return dict(volume.split(":", 1) for volume in SERVICES[name].get("volumes", []))

    for name in ("service", "rollback", "rollout"):
        theirs = f"{name}-token"
        assert volumes(name)[theirs].endswith(":ro")
        assert {one for one in volumes(name) if "token" in one} == {theirs}
        path = environment_of(name, env_file())["CANARIO_UNLEASH_ADMIN_TOKEN_FILE"]
        folder = volumes(name)[theirs].removesuffix(":ro")
        assert path.startswith(f"{folder}/")
        script = SERVICES["provision"]["command"][-1]
        assert name in re.findall(r"for user in ([\w ]+);", script)[0].split(), "provision puts it there"
        assert path.replace(f"/{name}/", "/$$user/") in script
    assert not any("tokens" in volumes(name) for name in SERVICES if name != "provision")


def test_volumes_and_bind_mounts_exist() -> None:
    named = set(compose.DOCUMENT["volumes"])
    used: set[str] = set()
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source, _, rest = compose.interpolated(volume, {}).partition(":")
            if source.startswith("."):
                assert (REPOSITORY / source).is_dir()
                assert rest.endswith(":ro,z")
            else:
                used.add(source)
    assert used == named


def test_challengers_cannot_take_the_memory_of_their_container() -> None:
    environment = image_environment() | environment_of("service", env_file())
    limit = SERVICES["service"]["deploy"]["resources"]["limits"]["memory"]
    assert compose.interpolated(limit, {}) == "1024m"
    workers = Settings.model_fields["workers"].default
    assert workers * int(environment["CANARIO_GUEST_MEMORY_MB"]) <= 1024 / 2


def test_who_gives_challengers_more_memory_can_give_it_to_their_container() -> None:
    more = {"CANARIO_GUEST_MEMORY_MB": "700", "CANARIO_SERVICE_MEMORY_MB": "1912"}
    assert environment_of("service", env_file() | more)["CANARIO_GUEST_MEMORY_MB"] == "700"
    limit = SERVICES["service"]["deploy"]["resources"]["limits"]["memory"]
    assert compose.interpolated(limit, more) == "1912m"


def writable(name: str) -> set[str]:
    """Folders that a container can write to, for all that its root is read-only."""
    service = SERVICES[name]
    mounts = [volume.split(":") for volume in service.get("volumes", [])]
    memory = {mount.partition(":")[0] for mount in service.get("tmpfs", [])}
    return memory | {rest[0] for _, *rest in mounts if "ro" not in ",".join(rest[1:]).split(",")}


def test_the_service_can_write_where_its_settings_say() -> None:
    environment = image_environment() | environment_of("service", env_file())
    for variable in ("CANARIO_STATE_DIR", "CANARIO_LOG_DIR", "PROMETHEUS_MULTIPROC_DIR"):
        folder = Path(environment[variable])
        assert {str(each) for each in (folder, *folder.parents)} & writable("service"), variable


def test_the_prediction_log_outlives_its_container_and_has_a_volume_of_its_own() -> None:
    """So that a log shipper gets the log without flags and secrets, and a full log leaves those alone."""
    folder = image_environment()["CANARIO_LOG_DIR"]
    mounted = {
        volume
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if volume.split(":")[1] == folder
    }
    assert mounted == {f"prediction-log:{folder}"}
    assert not any(Path(folder).is_relative_to(each) for each in writable("service") - {folder})


def test_prometheus_finds_its_config_and_the_service() -> None:
    assert "./monitoring:/etc/prometheus:ro,z" in SERVICES["prometheus"]["volumes"]
    assert "--config.file=/etc/prometheus/prometheus.yml" in SERVICES["prometheus"]["command"]
    config: dict[str, Any] = yaml.safe_load((REPOSITORY / "monitoring" / "prometheus.yml").read_text())
    job = next(job for job in config["scrape_configs"] if job["job_name"] == "service")
    (names,) = job["dns_sd_configs"]
    port = image_environment()["CANARIO_BIND"].rpartition(":")[2]
    assert (names["names"], names["type"], names["port"]) == (["service"], "A", int(port))
    (file,) = (REPOSITORY / "monitoring").glob(job["file_sd_configs"][0]["files"][0])
    assert yaml.safe_load(file.read_text()) == [], "replicas are found by name, and not a second time"


def test_the_balancer_finds_the_service_where_it_listens() -> None:
    config = (REPOSITORY / "deploy" / "balancer" / "haproxy.cfg").read_text(encoding="utf-8")
    port = image_environment()["CANARIO_BIND"].rpartition(":")[2]
    assert re.search(rf"^    server-template replica 1-16 service:{port}$", config, re.MULTILINE)
    assert re.search(r"^    option httpchk GET /readyz$", config, re.MULTILINE)
    published = SERVICES["balancer"]["ports"][0].rpartition(":")[2]
    assert re.search(rf"^    bind :{published}$", config, re.MULTILINE)
    check = SERVICES["balancer"]["healthcheck"]["test"][-1].removeprefix("http://").removesuffix("/")
    assert re.search(rf"^    bind {check}$", config, re.MULTILINE)


def test_every_replica_is_asked_which_models_it_serves() -> None:
    port = image_environment()["CANARIO_BIND"].rpartition(":")[2]
    for name in ("provision", "rollout"):
        assert environment_of(name, env_file())["CANARIO_SERVICE_URL"] == f"dns+http://service:{port}"


@pytest.mark.parametrize("job", ["rollback", "rollout"])
def test_prometheus_finds_the_jobs(job: str) -> None:
    bind = environment_of(job, env_file())[f"CANARIO_{job.upper()}_METRICS_BIND"]
    targets = yaml.safe_load((REPOSITORY / "monitoring" / "targets" / f"{job}.yml").read_text())
    assert targets == [{"targets": [f"{job}:{bind.rpartition(':')[2]}"]}]


def test_prometheus_and_grafana_find_alertmanager() -> None:
    targets = yaml.safe_load((REPOSITORY / "monitoring" / "targets" / "alertmanager.yml").read_text())
    assert targets == [{"targets": ["alertmanager:9093"]}]
    assert "--config.file=/etc/alertmanager/alertmanager.yml" in SERVICES["alertmanager"]["command"]
    folder = compose.interpolated(SERVICES["alertmanager"]["volumes"][1], {}).partition(":")[0]
    assert (REPOSITORY / folder / "alertmanager.yml").is_file()


def test_grafana_finds_its_files_and_their_variables() -> None:
    grafana = SERVICES["grafana"]
    mounts = dict(volume.split(":", 1) for volume in grafana["volumes"] if volume.startswith("./"))
    provisioning = REPOSITORY / "monitoring" / "grafana" / "provisioning"
    assert mounts["./monitoring/grafana/provisioning"].startswith("/etc/grafana/provisioning:ro")
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "canario.yml").read_text())["providers"]
    assert mounts["./monitoring/grafana/dashboards"].startswith(f"{provider['options']['path']}:ro")
    sources = yaml.safe_load((provisioning / "datasources" / "canario.yml").read_text())["datasources"]
    for source in sources:
        host = interpolated_url(source["url"]).split("//")[1].partition(":")[0]
        assert host in SERVICES
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (REPOSITORY / "monitoring" / "grafana" / "dashboards" / home.name).is_file()


def interpolated_url(text: str) -> str:
    """As Grafana takes a variable of its environment."""
    return str(SERVICES["grafana"]["environment"][text.removeprefix("$")])


def test_grafana_calls_nobody_outside() -> None:
    environment = SERVICES["grafana"]["environment"]
    for name in ("REPORTING_ENABLED", "CHECK_FOR_UPDATES", "CHECK_FOR_PLUGIN_UPDATES"):
        assert environment[f"GF_ANALYTICS_{name}"] == "false"
    assert environment["GF_USERS_ALLOW_SIGN_UP"] == "false"


def test_the_plans_job_comes_up_with_the_rest_and_begins_nothing() -> None:
    job = SERVICES["rollout"]
    assert "profiles" not in job
    assert "CANARIO_ROLLOUT_PLAN" not in job["environment"], "it carries out the plan that is shipped"
    assert load_plan().begin == "by_hand"
