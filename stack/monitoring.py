"""monitoring/prometheus.yml, made to fit one stack: its rules as they are, its targets where they listen."""

from pathlib import Path

import yaml

from stack.errors import StackError
from stack.paths import REPOSITORY
from stack.site import Site

SOURCES = ("monitoring/prometheus.yml", "monitoring/rules")


def config(site: Site) -> Path:
    """The config file that Prometheus of this stack reads."""
    return site.home.run / "prometheus" / "prometheus.yml"


def write(site: Site) -> None:
    """Write it, and beside it what it refers to by relative paths: rules/ and targets/.

    Raises:
        StackError: monitoring/prometheus.yml is not what this module knows.
    """
    folder = config(site).parent
    (folder / "targets").mkdir(parents=True, exist_ok=True)
    rules = folder / "rules"
    rules.unlink(missing_ok=True)
    rules.symlink_to(REPOSITORY / "monitoring" / "rules")
    targets = [{"targets": [site.addresses.service.removeprefix("http://")]}]
    (folder / "targets" / "service.yml").write_text(yaml.safe_dump(targets), encoding="utf-8")
    source = REPOSITORY / "monitoring" / "prometheus.yml"
    try:
        wanted = yaml.safe_load(source.read_text(encoding="utf-8"))
        own = next(job for job in wanted["scrape_configs"] if job["job_name"] == "prometheus")
    except (OSError, yaml.YAMLError, LookupError, TypeError, StopIteration) as error:
        raise StackError(f"{source} has no job `prometheus`, or cannot be read: {error!r}") from error
    own["static_configs"] = [{"targets": [site.addresses.prometheus.removeprefix("http://")]}]
    config(site).write_text(yaml.safe_dump(wanted, sort_keys=False), encoding="utf-8")
