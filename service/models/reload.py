"""Takes new models while the service runs: notices that `roles.json` changed, and swaps lineups.

Also takes what was damaged when the worker started, once it is mended.

The new models are loaded beside the old ones, in a thread of their own; then one assignment decides which
lineup the next request gets. A request keeps the lineup that it began with. Whatever is wrong with the new
models leaves the previous ones serving, and is said in the log, in a metric and in the worker's report.
"""

import logging
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

from common.config import ConfigError
from common.errors import CanarioError
from common.model_store import ModelStore
from common.release import Entry, Release, ReleaseError
from common.schedule import keep_running
from service.assignment.assignment import Assigns
from service.metrics.models import ModelMetrics
from service.metrics.service import ServiceMetrics
from service.models.artifact import Artifact, ArtifactError, require_same_interface
from service.models.lineup import GivenUp, Lineup, LineupMaker
from service.models.load import LastGood, Loaded, Models, load_models, load_release
from service.models.reports import Refusal, Reports, WorkerReport, served
from service.settings import Settings

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.25
RETRY_SECONDS = 30.0  # after a refusal: the folder may have been on its way here
FLAGS_SECONDS = 10.0  # for an answer of Unleash before a new challenger gets users
FLAGS_SETTLE_SECONDS = 1.5  # Unleash itself may tell an older state for a second
GRACE_SECONDS = 1.0  # beyond the deadline, for requests of the old lineup

Signature = tuple[int, int, int] | None


class Reloader:
    """Follows what the settings want: `roles.json` of a models folder, or the folders that they name.

    The latter are looked at again only if they were not all in order when the worker started.

    Args:
        loaded: the models to start with, and what was wrong with those that are wanted.

    Attributes:
        lineup: what serves now. Reading and replacing it is one step each.
    """

    def __init__(  # noqa: PLR0913 - what it takes to replace a lineup
        self,
        settings: Settings,
        loaded: Loaded,
        maker: LineupMaker,
        *,
        assigner: Assigns,
        metrics: ServiceMetrics,
        model_metrics: ModelMetrics,
        reports: Reports,
    ) -> None:
        self.lineup = maker.make(loaded.models)
        self._settings, self._maker, self._assigner = settings, maker, assigner
        self._store = ModelStore(settings.models) if settings.models else None
        self._copies = LastGood(settings)
        self._metrics, self._model_metrics, self._reports = metrics, model_metrics, reports
        self._closed = threading.Event()
        self._seen: Signature = None
        self._retry_at = float("inf")
        self._refused: Refusal | None = None
        self._written: WorkerReport | None = None
        self._to_mend = loaded.refused is not None
        self._thread: threading.Thread | None = None
        self._model_metrics.revision.set(self.lineup.revision or 0)
        if loaded.refused is not None:
            self._refuse(None, "start", loaded.refused)

    def start(self) -> None:
        """Begin to follow."""
        self._report()
        if not self._to_mend:
            self._keep()
        self._thread = keep_running(
            "models", self._follow, again_after=LOOK_SECONDS, until=self._closed.is_set
        )

    def close(self) -> None:
        """Stop following; the lineup that serves stays."""
        self._closed.set()
        if self._thread:
            self._thread.join(1)

    def _follow(self) -> None:
        while not self._closed.wait(LOOK_SECONDS):
            self._report()
            signature = self._signature()
            if signature == self._seen and time.monotonic() < self._retry_at:
                continue
            # A write between this look and the reading is seen by the next look.
            self._seen = signature
            if self._store or self._to_mend:
                self._look()

    def _signature(self) -> Signature:
        return _signature(self._store.roles_file) if self._store else None

    def _look(self) -> None:
        self._retry_at = float("inf")
        release: Release | None = None
        try:
            release = self._store.read() if self._store else None
            if not self._adopted(release):
                self._take(release)
        except GivenUp:
            log.info("these models are wanted no more", extra={"revision": release and release.revision})
        except ConfigError as error:
            self._refuse(release, "unreadable", str(error))
        except (ArtifactError, ReleaseError) as error:
            self._refuse(release, "model", str(error))
        except CanarioError as error:
            self._refuse(release, "flags", str(error))
        except Exception as error:  # whatever it is, the previous models serve on
            log.exception("new models cannot be taken")
            self._refuse(release, "bug", repr(error))

    def _adopted(self, release: Release | None) -> bool:
        """Whether the models that serve are those of `release`; then only its number is noted."""
        now = self.lineup.models.release
        if self._to_mend or release is None or now is None or _models(now) != _models(release):
            return False
        self._note(release)
        return True

    def _note(self, release: Release | None) -> None:
        """The models that serve are those of `release`."""
        lineup = self.lineup
        if release and lineup.models.release != release:
            self.lineup = replace(lineup, models=replace(lineup.models, release=release))
            self._keep()
        self._model_metrics.revision.set(self.lineup.revision or 0)
        self._refused = None
        self._report()

    def _take(self, release: Release | None) -> None:
        begun = time.monotonic()
        old = self.lineup
        models = load_release(self._settings, release) if release else load_models(self._settings)
        _require_same_questions(old.models, models)
        if models.metadata == old.models.metadata:  # from copies of ours; the folders are in order again
            self._to_mend = False
            log.info("the folders of the models are in order again")
            self._note(release)
            return
        # A process that comes up slowly, on a machine that is busy, holds up nobody here.
        new = self._maker.make(models, self._given_up)
        try:
            self._await_flags(old.models, models, begun)
        except CanarioError:
            new.close_shadow()
            new.close_challenger()
            raise
        self.lineup = new
        self._metrics.models_changed(old.models.metadata, models.metadata)
        self._refused, self._to_mend = None, False
        self._keep()
        self._model_metrics.revision.set(new.revision or 0)
        self._model_metrics.reloads.inc()
        self._report()
        log.info(
            "other models serve",
            extra={
                "revision": new.revision,
                "change": release.last.kind if release else None,
                "by": release.last.by if release else None,
                **{str(role): f"{each.name} {each.version}" for role, each in models.metadata.items()},
                "seconds": round(time.monotonic() - begun, 3),
            },
        )
        # In a thread of its own: the next change is not to wait for the end of this lineup.
        threading.Thread(target=self._end, args=(old,), name="models-end", daemon=True).start()

    def _given_up(self) -> bool:
        """Whether there is something newer to do than to wait for a new lineup."""
        return self._closed.is_set() or self._signature() != self._seen

    def _await_flags(self, old: Models, new: Models, begun: float) -> None:
        """Let a challenger that is new see users only after Unleash was heard: the share must be its own."""
        before = old.challenger.metadata.sha256 if old.challenger else None
        if new.challenger is None or new.challenger.metadata.sha256 == before:
            return
        end = begun + FLAGS_SECONDS
        while self._assigner.fetched_at < begun + FLAGS_SETTLE_SECONDS:
            if time.monotonic() > end or self._closed.wait(0.05):
                raise CanarioError(
                    f"Unleash was not heard for {FLAGS_SECONDS:.0f} s: the flag's share may be an older one, "
                    "not meant for the new challenger"
                )

    def _end(self, lineup: Lineup) -> None:
        # Requests of the old lineup wait for its challenger no longer than this.
        self._closed.wait(self._settings.guest_deadline_seconds * 1.1 + GRACE_SECONDS)
        lineup.close_shadow()
        lineup.close_challenger()
        now = self.lineup.challenger  # the old one may have left its breaker open
        self._metrics.breaker_open.set(now is not None and now.breaker.is_open)

    def _refuse(self, release: Release | None, kind: str, reason: str) -> None:
        revision = release.revision if release else None
        refusal = Refusal(revision=revision, reason=reason)
        self._model_metrics.refusals.labels(kind).inc()
        if self._refused is None or reason != self._refused.reason:
            if kind == "start":
                log.error("not all models are in order, and what can be had is served: %s", reason)
            else:
                log.error(
                    "new models are refused, the previous ones serve on: %s",
                    reason,
                    extra={"revision": revision},
                )
        self._refused = refusal
        self._retry_at = time.monotonic() + RETRY_SECONDS
        self._report()

    def _report(self) -> None:
        """Replace the worker's report when there is another: the challenger's process comes and goes."""
        told = _report_of(self.lineup, self._refused)
        if told != self._written:
            self._written = told
            self._model_metrics.challenger_down.set(told.challenger_trouble is not None)
            self._reports.write(told)

    def _keep(self) -> None:
        # In a thread of its own: a large model takes a slow disk a while.
        models = self.lineup.models
        threading.Thread(target=self._copies.keep, args=(models,), name="models-kept", daemon=True).start()


def _report_of(lineup: Lineup, refused: Refusal | None) -> WorkerReport:
    """What this worker serves."""
    return WorkerReport(
        pid=os.getpid(),
        revision=lineup.revision,
        models=served(lineup.models.metadata),
        refused=refused,
        challenger_trouble=lineup.challenger_trouble,
    )


def _models(release: Release) -> tuple[Entry, Entry | None]:
    return release.roles.champion, release.roles.challenger


def _require_same_questions(old: Models, new: Models) -> None:
    """Clients, and the schema that they read, must not notice. Raises ArtifactError."""
    ours, theirs = (
        Artifact(Path(f"{each.name} {each.version}"), each, b"")
        for each in (old.champion.metadata, new.champion.metadata)
    )
    try:
        require_same_interface(ours, theirs)
    except ArtifactError as error:
        raise ArtifactError(f"the champion cannot become one that clients would notice: {error}") from error
    strange = [
        each.name
        for each in new.champion.metadata.features
        if not each.gaps and not old.interface.knows(each.name)
    ]
    if strange:
        raise ArtifactError(
            f"the champion cannot become one that needs {strange[0]!r}, which no request brings yet: let it "
            "be the challenger first, until clients send it"
        )


def _signature(file: Path) -> Signature:
    """Changes when the file is replaced; None where there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
