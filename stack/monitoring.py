"""monitoring/prometheus.yml, made to fit one stack: its rules as they are, its targets where they listen."""

from pathlib import Path

import yaml

from stack.paths import REPOSITORY
from stack.site import Site

SOURCES = ("monitoring/prometheus.yml", "monitoring/rules")


def config(site: Site) -> Path:
    """The config file that Prometheus of this stack reads."""
    return site.home.run / "prometheus" / "prometheus.yml"


def routes(site: Site) -> Path:
    """The config file that Alertmanager reads: who is told of what."""
    return Path(site.settings.alertmanager_config or REPOSITORY / "monitoring" / "alertmanager.yml")


def write(site: Site) -> None:
    """Write the former, and beside it what it refers to by relative paths: rules/ and targets/."""
    folder = config(site).parent
    (folder / "targets").mkdir(parents=True, exist_ok=True)
    rules = folder / "rules"
    rules.unlink(missing_ok=True)
    rules.symlink_to(REPOSITORY / "monitoring" / "rules")
    at = site.addresses
    for job, address in (
        ("service", at.service),
        ("rollback", at.rollback),
        ("rollout", at.rollout),
        ("alertmanager", at.alertmanager),
    ):
        left_out = job in {"rollout", "alertmanager"} and job not in site.settings.programs
        targets = [] if left_out else [{"targets": [address.removeprefix("http://")]}]
        (folder / "targets" / f"{job}.yml").write_text(yaml.safe_dump(targets), encoding="utf-8")
    shipped = yaml.safe_load((REPOSITORY / "monitoring" / "prometheus.yml").read_text(encoding="utf-8"))
    for job in shipped["scrape_configs"]:
        job.pop("dns_sd_configs", None)  # names of docker compose
    config(site).write_text(yaml.safe_dump(shipped, sort_keys=False), encoding="utf-8")
