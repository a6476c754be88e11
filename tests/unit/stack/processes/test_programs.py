"""The programs of a stack as data."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from stack.paths import REPOSITORY
from stack.processes.fingerprint import fingerprint
from stack.processes.programs import Program, all_programs
from stack.secrets import MAKERS
from stack.servers import monitoring
from stack.shell import StackError
from stack.site import PROGRAMS, Settings, Site


def by_name(site: Site) -> dict[str, Program]:
    return {program.name: program for program in all_programs(site)}


def test_there_are_those_of_the_settings_in_the_order_of_their_start(site: Site) -> None:
    assert tuple(by_name(site)) == PROGRAMS
    stages = [program.stage for program in all_programs(site)]
    assert stages == sorted(stages)
    fewer = replace(site, settings=Settings(programs=("postgres", "traffic")))
    assert tuple(by_name(fewer)) == ("postgres", "traffic")


def test_no_secret_is_on_a_command_line(site: Site) -> None:
    words = " ".join(word for program in all_programs(site) for word in (*program.prefix, *program.command))
    for name in MAKERS:
        assert site.secrets.read(name) not in words


def test_python_programs_get_secrets_as_files(site: Site) -> None:
    for name in ("service", "rollback", "rollout", "traffic"):
        values = by_name(site)[name].environment.values()
        for secret in MAKERS:
            assert site.secrets.read(secret) not in values


def test_the_users_shell_does_not_reach_the_programs(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "PYTHONPATH", "HTTP_PROXY", "CANARIO_REFRESH_SECONDS", "NODE_OPTIONS"):
        monkeypatch.setenv(name, "from the shell")
    for program in all_programs(site):
        assert "from the shell" not in program.environment.values()


def test_servers_listen_on_this_machine_only(site: Site) -> None:
    programs = by_name(site)
    assert programs["unleash"].environment["HTTP_HOST"] == "127.0.0.1"
    assert programs["service"].environment["CANARIO_BIND"] == "127.0.0.1:8000"
    assert "--web.listen-address=127.0.0.1:9090" in programs["prometheus"].command
    assert "listen_addresses=127.0.0.1" in programs["postgres"].command


def test_variables_can_be_added_to_one_program(site: Site) -> None:
    settings = Settings(environment={"service": {"CANARIO_THREADS": "4"}})
    programs = by_name(replace(site, settings=settings))
    assert programs["service"].environment["CANARIO_THREADS"] == "4"
    assert "CANARIO_THREADS" not in programs["traffic"].environment


def test_exposure_is_on_a_lease_where_somebody_renews_it(site: Site) -> None:
    assert by_name(site)["rollback"].environment["CANARIO_LEASE"] == "15m"
    alone = replace(site, settings=Settings(programs=("unleash", "service")))
    assert by_name(alone)["service"].environment["CANARIO_LEASE"] == "off"


def test_each_major_version_of_unleash_has_its_own_database(site: Site) -> None:
    assert site.database == "unleash_8"
    older = replace(site, settings=Settings(unleash_version="7.6.5"))
    assert by_name(older)["unleash"].environment["DATABASE_NAME"] == "unleash_7"


def test_a_new_token_is_a_reason_to_restart_who_holds_it(site: Site) -> None:
    before = by_name(site)
    site.secrets.token("canario-service").write_text("user:new")
    after = by_name(site)
    assert [name for name in PROGRAMS if before[name].inputs != after[name].inputs] == ["service"]


def test_a_fingerprint_sees_content_and_forgives_absence(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    rule = tmp_path / "rules" / "a.yml"
    seen = set()
    for text in ("a", "b", "c"):
        rule.write_text(text)
        seen.add(fingerprint(tmp_path / "rules"))
        assert fingerprint(tmp_path / "rules") == fingerprint(tmp_path / "rules")
    seen.add(fingerprint(tmp_path / "missing"))
    assert len(seen) == 4


def test_prometheus_is_pointed_at_this_stacks_service_and_job(site: Site) -> None:
    moved = replace(site, ports={**site.ports, "service": 8123, "rollback": 8124, "rollout": 8125})
    monitoring.write(moved)
    monitoring.write(moved)  # again, as each `up` does
    folder = monitoring.prometheus_config(moved).parent
    config = yaml.safe_load(monitoring.prometheus_config(moved).read_text())
    found = {}
    for job in config["scrape_configs"]:
        (pattern,) = job["file_sd_configs"][0]["files"]
        for targets in folder.glob(pattern):
            found[job["job_name"]] = yaml.safe_load(targets.read_text())
    assert found == {
        "service": [{"targets": ["127.0.0.1:8123"]}],
        "rollback": [{"targets": ["127.0.0.1:8124"]}],
        "rollout": [{"targets": ["127.0.0.1:8125"]}],
        "alertmanager": [{"targets": ["127.0.0.1:9093"]}],
    }
    (tells,) = config["alerting"]["alertmanagers"]
    assert tells == {"file_sd_configs": [{"files": ["targets/alertmanager.yml"]}]}
    assert by_name(moved)["rollback"].environment["CANARIO_ROLLBACK_METRICS_BIND"] == "127.0.0.1:8124"
    assert by_name(moved)["rollout"].environment["CANARIO_ROLLOUT_METRICS_BIND"] == "127.0.0.1:8125"
    assert all(list(folder.glob(rules)) for rules in config["rule_files"])
    assert not any("dns_sd_configs" in job for job in config["scrape_configs"]), "a name of docker compose"


def test_a_service_of_somebody_else_is_scraped_as_the_job_that_it_is(site: Site) -> None:
    monitoring.write(site)
    folder = monitoring.prometheus_config(site).parent
    jobs = yaml.safe_load(monitoring.prometheus_config(site).read_text())["scrape_configs"]
    (pattern,) = next(job["file_sd_configs"][0]["files"] for job in jobs if job["job_name"] == "other")
    monitoring.scrape(site, "shop", "127.0.0.1:8200")
    monitoring.write(site)  # another `up` leaves it alone
    (file,) = folder.glob(pattern)
    assert yaml.safe_load(file.read_text()) == [{"targets": ["127.0.0.1:8200"], "labels": {"job": "shop"}}]
    monitoring.scrape(site, "shop")
    assert yaml.safe_load(file.read_text()) == []


def test_a_stack_without_the_service_has_no_models(site: Site) -> None:
    for programs, there in ((PROGRAMS, True), (("rollback", "rollout", "board"), False)):
        made = by_name(replace(site, settings=Settings(programs=programs)))
        for name in ("rollback", "rollout", "board"):
            assert ("CANARIO_MODELS" in made[name].environment) is there


def test_prometheus_has_the_rules_of_the_rollouts_that_the_programs_were_told_of(
    site: Site, tmp_path: Path
) -> None:
    rules = monitoring.prometheus_config(site).parent / "rules"
    assert monitoring.write(site) == ""
    assert rules.resolve() == REPOSITORY / "monitoring" / "rules"
    before = by_name(site)["prometheus"]
    folder = tmp_path / "rollouts"
    shutil.copytree(REPOSITORY / "examples" / "fastapi" / "rollouts", folder)
    told = replace(site, settings=Settings(environment={"flags": {"CANARIO_ROLLOUTS": str(folder)}}))
    assert monitoring.write(told) == ""
    assert {file.name for file in rules.iterdir()} == {"canario.yml", "canario-ranker.yml"}
    assert by_name(told)["prometheus"].inputs != before.inputs, "other rules are a reason to restart it"
    (folder / "ranker" / "rollout.yaml").write_text("name: ranker\n")
    assert "rollout.yaml" in monitoring.write(told)
    assert "shop_requests_total" in (rules / "canario-ranker.yml").read_text(), "it keeps those that it had"
    shutil.rmtree(folder)
    with pytest.raises(StackError, match="no rules could be made"):
        monitoring.write(told)
    assert monitoring.write(site) == ""
    assert rules.resolve() == REPOSITORY / "monitoring" / "rules", "and back"


def test_alertmanager_tells_whom_up_was_told(site: Site) -> None:
    assert monitoring.alertmanager_config(site) == REPOSITORY / "monitoring" / "alertmanager.yml"
    before = by_name(site)["alertmanager"]
    mine = site.home.root / "mine.yml"
    mine.write_text("route: {}")
    told = replace(site, settings=Settings(alertmanager_config=str(mine)))
    after = by_name(told)["alertmanager"]
    assert f"--config.file={mine}" in after.command
    assert before.inputs != after.inputs, "a change of the file is a reason to restart it"


@pytest.mark.parametrize("job", ["alertmanager", "rollout"])
def test_prometheus_asks_for_nobody_who_was_left_out(site: Site, job: str) -> None:
    monitoring.write(replace(site, settings=Settings(programs=("prometheus",))))
    targets = monitoring.prometheus_config(site).parent / "targets" / f"{job}.yml"
    assert yaml.safe_load(targets.read_text()) == []


def test_an_unreadable_secret_is_a_sentence(site: Site) -> None:
    site.secrets.path("unleash-session.secret").unlink()
    with pytest.raises(StackError, match="unleash-session"):
        all_programs(site)
