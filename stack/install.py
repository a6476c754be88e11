"""`./canario install`: brings what programs run from into the cache, each thing whole or not at all."""

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Iterator

from stack.paths import LOCK, REPOSITORY, Cache
from stack.processes.environment import SPANS
from stack.progress import Progress
from stack.servers import monitoring, unleash
from stack.servers.machine import require_machine
from stack.shell import run
from stack.site import Settings

MODEL_SOURCES = (
    *("service/train.py", "service/models/artifact.py"),
    *sorted(str(each.relative_to(REPOSITORY)) for each in (REPOSITORY / "service/export").glob("*.py")),
)
_STAMP = "canario.stamp"


def install(cache: Cache, settings: Settings, progress: Progress) -> None:
    """Bring what the programs of `settings` need into the cache, unless it is there.

    Raises:
        MachineLacks: the machine has not what is needed.
        StackError: a download or the training failed.
    """
    with progress.step("What this machine has"):
        require_machine()
    with cache.installing():
        for title, bring in _steps(cache, settings):
            with progress.step(title) as step:
                step.remark = bring()


def install_step_count(settings: Settings) -> int:
    """How many steps `install` prints."""
    return 1 + sum(1 for _ in _steps(Cache.default(), settings))


def _steps(cache: Cache, settings: Settings) -> Iterator[tuple[str, Callable[[], str]]]:
    """The title of each step, and what does it; that returns a remark."""
    if "unleash" in settings.programs:
        version = settings.unleash_version
        yield f"Unleash {version} from npm", lambda: unleash.ensure(cache, version)
    if "prometheus" in settings.programs:
        yield "Prometheus from Debian's packages", lambda: monitoring.ensure_prometheus(cache)
    if "alertmanager" in settings.programs:
        yield "Alertmanager from Debian's package", lambda: monitoring.ensure_alertmanager(cache)
    if "service" in settings.programs:
        yield "Models trained and exported to ONNX", lambda: _ensure_models(cache)
    if any(name.startswith(SPANS) for name in settings.environment.get("service", {})):
        yield "OpenTelemetry, by hash, from locks/otel.txt", lambda: _ensure_spans(cache)


def _ensure_spans(cache: Cache) -> str:
    """What makes spans, in the venv of everything: its lock has nothing that locks/dev.txt has otherwise."""
    if importlib.util.find_spec("opentelemetry") and importlib.util.find_spec("opentelemetry.exporter"):
        return "there already"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", "locks/otel.txt"]
    run(command, cache.logs / "otel.log", what="OpenTelemetry could not be installed")
    return ""


def _ensure_models(cache: Cache) -> str:
    """Train both example models unless they are there."""
    parts = [LOCK.read_bytes(), *((REPOSITORY / source).read_bytes() for source in MODEL_SOURCES)]
    wanted = hashlib.sha256(b"\0".join(parts)).hexdigest()  # changes when training would give something else
    stamp = cache.models / _STAMP
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return "there already"
    with cache.replacing(cache.models) as new:
        run(
            [sys.executable, "-m", "service.train", "--out", str(new)],
            cache.logs / "models.log",
            what="The models could not be trained",
        )
        (new / _STAMP).write_text(wanted, encoding="utf-8")
    return ""
