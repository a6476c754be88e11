"""Prometheus and Alertmanager: brought from Debian's packages, and configured to fit one stack.

With Prometheus come the JavaScript packages on which its web page depends: it refers to them by relative
links, so that it works from any folder (--web.local-assets).

Debian's build of Alertmanager reads its message templates from a fixed folder under /usr/share, which only
root could fill. In the copy in the cache the folder in which it is started stands for that one, by a path of
the same length. Debian 12 (0.25) and 13 (0.28) are alike in this.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from common.files import replace_whole
from stack.paths import REPOSITORY, Cache
from stack.ports import DEFAULTS
from stack.processes import environment
from stack.servers import debian
from stack.shell import StackError
from stack.site import Site

RULES = REPOSITORY / "monitoring" / "rules"
OF_RULES = (
    *("CANARIO_ROLLOUTS", "CANARIO_SELECTOR", "CANARIO_GUARDRAILS"),
    *("CANARIO_RUNBOOK_URL", "CANARIO_BOARD_URL"),
)
"""With none of these set, and the board at its usual port, the rules of the repository fit."""

_ASSETS = re.compile(r"(?:libjs|fonts)-\S+")
_ALERTMANAGER = Path("usr", "bin", "prometheus-alertmanager")
_FIXED = b"/usr/share/prometheus/alertmanager"
_HERE = b"." + b"/" * (len(_FIXED) - 1)  # so many slashes mean one


def prometheus(cache: Cache) -> Path:
    return cache.prometheus / "usr" / "bin" / "prometheus"


def promtool(cache: Cache) -> Path:
    return cache.prometheus / "usr" / "bin" / "promtool"


def web_assets(cache: Cache) -> Path:
    return cache.prometheus / "usr" / "share" / "prometheus" / "web"


def alertmanager(cache: Cache) -> Path:
    return cache.alertmanager / _ALERTMANAGER


def amtool(cache: Cache) -> Path:
    return cache.alertmanager / "usr" / "bin" / "amtool"


def templates(cache: Cache) -> Path:
    """Alertmanager's message templates, and so the folder in which it must be started."""
    return cache.alertmanager / "usr" / "share" / "prometheus" / "alertmanager"


def version(binary: Path) -> str:
    """As either of them tells it of itself: `2.42.0+ds`; empty where there is none."""
    if not binary.exists():
        return ""
    said = subprocess.run([str(binary), "--version"], capture_output=True, text=True, check=False, timeout=30)
    found = re.search(r"version[ =]([^\s,)]+)", said.stdout + said.stderr)
    return found.group(1) if found else ""


def ensure_prometheus(cache: Cache) -> str:
    """Download and unpack it unless it is there; return a remark for the step's line.

    Raises:
        StackError: apt or dpkg failed.
    """
    return debian.ensure("prometheus", cache.prometheus, prometheus(cache), cache, needs=_ASSETS)


def ensure_alertmanager(cache: Cache) -> str:
    """The same. Raises StackError also where the package is not like those that are known."""
    return debian.ensure(
        "prometheus-alertmanager",
        cache.alertmanager,
        alertmanager(cache),
        cache,
        change=find_templates_here,
    )


def find_templates_here(root: Path) -> None:
    """Change the unpacked binary. Raises StackError where it is not like those that are known."""
    file = root / _ALERTMANAGER
    # Longer paths begin alike: those of the web page, which are settings.
    changed, times = re.subn(re.escape(_FIXED) + rb"(?!/)", _HERE, file.read_bytes())
    if times != 1:
        raise StackError(
            f"this Alertmanager is not known here: the path of its templates stands in it {times} times, not"
            " once. `./canario up ALERTMANAGER=0` leaves it out"
        )
    file.write_bytes(changed)


def prometheus_config(site: Site) -> Path:
    """The config file that Prometheus of this stack reads."""
    return site.home.run / "prometheus" / "prometheus.yml"


def alertmanager_config(site: Site) -> Path:
    """The config file that Alertmanager reads: who is told of what."""
    return Path(site.settings.alertmanager_config or REPOSITORY / "monitoring" / "alertmanager.yml")


def sources(site: Site) -> tuple[Path, ...]:
    """What Prometheus reads when it starts, and only then."""
    return REPOSITORY / "monitoring" / "prometheus.yml", prometheus_config(site).parent / "rules"


def write(site: Site) -> str:
    """Write Prometheus' config, and beside it what it refers to by relative paths: rules/ and targets/.

    Returns:
        what is wrong with files of rollouts that have no rules now, or old ones; empty where nothing is.

    Raises:
        StackError: there are no rules at all.
    """
    folder = prometheus_config(site).parent
    (folder / "targets").mkdir(parents=True, exist_ok=True)
    faults = _write_rules(site, folder / "rules")
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
    prometheus_config(site).write_text(yaml.safe_dump(shipped, sort_keys=False), encoding="utf-8")
    return faults


def scrape(site: Site, job: str, *addresses: str) -> None:
    """Let Prometheus scrape a service that is no program of the stack, from now on; without any, no more."""
    file = prometheus_config(site).parent / "targets" / f"other-{job}.yml"
    targets = [{"targets": [*addresses], "labels": {"job": job}}] if addresses else []
    replace_whole(file, yaml.safe_dump(targets))


def _write_rules(site: Site, rules: Path) -> str:
    """Those of the repository, or others where the programs were told of other rollouts."""
    if rules.is_symlink():
        rules.unlink()
    told = site.settings.environment.get("flags", {})
    has_other_board = "board" in site.settings.programs and site.ports["board"] != DEFAULTS["board"]
    if not has_other_board and not any(told.get(name) for name in OF_RULES):
        shutil.rmtree(rules, ignore_errors=True)
        rules.symlink_to(RULES)
        return ""
    command = [sys.executable, "-m", "monitoring", "rules", "--out", str(rules)]
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env=environment.flags(site),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if done.returncode not in (0, 1):  # 1: all but those of files that do not fit
        raise StackError(f"no rules could be made for Prometheus: {done.stderr.strip()}")
    return done.stderr.strip()
