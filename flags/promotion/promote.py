"""The challenger becomes the champion, and the way back; every step can be repeated.

    promote   1 roles.json: the challenger is champion, the champion is previous, there is no challenger
              2 every worker serves that
              3 the flag's share is set to 0
              4 roles.json: settled, a new challenger may come
    back      the same, with the previous champion instead

From step 1 on a worker serves the old or the new models. Old: the flag chooses between old champion and
challenger, as before. New: everybody gets the champion, whatever the flag says. So the share is set to 0 only
when no worker cares any more, and nobody is ever sent back to the old champion. A run that is cut off
anywhere is finished by the next one.
"""

# ruff: noqa: N818  (names of errors say what happened, as in flags.unleash.errors)

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from common.errors import CanarioError
from common.model_store import ModelStore
from common.release import Note, Release, ReleaseError, challenged, promoted, restored, settled, taken_back
from flags.canary.share import read_state, set_share
from flags.canary.state import CanaryState
from flags.mlflow_registry import move_alias
from flags.promotion.fleet import Crew, Fleet
from flags.unleash.admin import UnleashAdmin
from flags.unleash.errors import ChangedMeanwhile

PATIENCE_SECONDS: Final = 90.0  # longer than a worker waits for the process of a challenger
_FIRST_WAIT_SECONDS: Final = 0.1
_LONGEST_WAIT_SECONDS: Final = 2.0  # the admin routes take 60 calls a minute


class Refused(ReleaseError):
    """A worker cannot serve the models; they have their old roles again."""


class Unfinished(ReleaseError):
    """Some steps are done, and the text says which; the same command goes on with the others."""


@dataclass(frozen=True)
class Done:
    """What is so now.

    Attributes:
        release: who has which role.
        state: what Unleash says about the flag; None where it was not asked.
        seconds: until every worker served it; 0 where nothing was left to do.
        alias: what came of the alias in MLflow; "" where none is moved.
    """

    release: Release
    state: CanaryState | None
    seconds: float
    alias: str = ""


class Promoter:
    """Changes the roles of models, and the flag with them. Anybody may do so at the same time.

    Args:
        patience_seconds: for every worker to serve the models.
        alias: in MLflow, moved to each new champion that is from a registry there; "" for none.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what it acts on
        self,
        store: ModelStore,
        admin: UnleashAdmin,
        flag: str,
        fleet: Fleet,
        patience_seconds: float = PATIENCE_SECONDS,
        alias: str = "",
    ) -> None:
        self._store, self._admin, self._flag, self._fleet = store, admin, flag, fleet
        self._patience, self._alias = patience_seconds, alias

    def promote(self, note: Note, *, expect: int | None = 100) -> Done:
        """Make the challenger the champion, and the share 0.

        Args:
            expect: the share that the challenger must have in a flag that is on; None: any, also off.

        Raises:
            ChangedMeanwhile: the share is not `expect`; or it was lowered or turned off during the promotion,
                which is undone then: whoever stops a challenger does not want it as a champion.
            Refused: the workers cannot serve it; nothing has changed.
            Unfinished: run it again, or `back`.
            ReleaseError: there is no challenger, or somebody else was faster.
            AdminError, FlagError: the flag could not be read; nothing was changed.
        """
        return self._named(self._promoted(note, expect))

    def _promoted(self, note: Note, expect: int | None) -> Done:
        release = self._store.read()
        if release.last.kind == "promoted":
            if release.roles.settled:
                return Done(release, read_state(self._admin, self._flag), 0.0)
            return self._finish(release, resumed=True)
        if release.roles.challenger is None:
            promoted(release, note)  # says so
        for entry in (release.roles.challenger, release.roles.champion):  # the way back must be there too
            if entry is not None:
                self._store.verify(entry)
        state = read_state(self._admin, self._flag)
        if expect is not None and (state.percent != expect or not state.enabled):
            raise ChangedMeanwhile(
                f"the challenger has {_share(state)} of {self._flag}, not {expect}%: nothing was promoted. "
                "Go on with the rollout, or say --any-share"
            )
        share = state.percent if state.enabled else None
        release = self._store.change(lambda now: promoted(now, note, share), expect=release.revision)
        return self._finish(release)

    def back(self, note: Note) -> Done:
        """Make the previous champion the champion again. Asks nobody before the models are back.

        Raises:
            Refused: the workers cannot serve it any more; nothing has changed.
            Unfinished: run it again; the text says whether the models are back.
            ReleaseError: there is no previous champion.
        """
        return self._named(self._taken_back(note))

    def _taken_back(self, note: Note) -> Done:
        release = self._store.read()
        if release.last.kind != "taken_back":
            if release.roles.previous is not None:
                self._store.verify(release.roles.previous)
            release = self._store.change(lambda now: taken_back(now, note), expect=release.revision)
        elif release.roles.settled:
            return Done(release, read_state(self._admin, self._flag), 0.0)
        return self._finish(release)

    def challenge(self, artifact: Path | None, note: Note) -> Done:
        """Make the model in the folder `artifact` the challenger; None: there is to be none.

        What an earlier promotion or way back has left to do is done first.

        Raises:
            ReleaseError: the flag has a share, and the new challenger would get it at once.
            Refused: the workers cannot serve it, or it does not fit the champion; nothing has changed.
            Unfinished: some workers do not answer.
        """
        release = self._store.read()
        if artifact and not release.roles.settled:
            self._finish(release, resumed=True)
        state = read_state(self._admin, self._flag) if artifact else None
        if state and (state.exposed or state.percent not in {0, None}):
            raise ReleaseError(
                f"the flag {self._flag} gives the challenger {_share(state)}, and a new one would get that "
                f"at once: `./canario set {self._flag} 0` first"
            )
        entry = self._store.add(artifact) if artifact else None
        release = self._store.read()
        if entry is None or release.roles.challenger != entry:
            release = self._store.change(lambda now: challenged(now, entry, note), expect=release.revision)
        seconds = self._converge(release)
        return Done(self._settle(release), state, seconds)

    def _named(self, done: Done) -> Done:
        """Move the alias in MLflow to the champion, where there is one to move."""
        if not self._alias:
            return done
        return replace(done, alias=move_alias(self._alias, self._store.path(done.release.roles.champion)))

    def _finish(self, release: Release, *, resumed: bool = False) -> Done:
        seconds = self._converge(release)
        try:
            if release.last.kind == "promoted":
                self._require_exposure(release, resumed=resumed)
            state = set_share(self._admin, self._flag, 0, enable=False)
        except _Stopped as error:
            self._restore(release, str(error))
            raise ChangedMeanwhile(str(error)) from None
        except CanarioError as error:
            raise Unfinished(
                f"every worker serves the champion {release.roles.champion} for everybody, but the flag is "
                f"not at 0%: {error}. Run it again before there is a new challenger"
            ) from error
        return Done(self._settle(release), state, seconds)

    def _settle(self, release: Release) -> Release:
        return self._store.change(settled, expect=release.revision)

    def _require_exposure(self, release: Release, *, resumed: bool) -> None:
        """See that nobody has stopped the challenger since. A share of 0 may be this promotion's own."""
        share = release.last.share
        if share is None:
            return
        state = read_state(self._admin, self._flag)
        is_ours = resumed and state.percent == 0
        lowered = state.percent is not None and state.percent < share and not is_ours
        if not state.enabled or lowered:
            who = f" by {state.changed_by}" if state.changed_by else ""
            raise _Stopped(
                f"the challenger was stopped{who} while it was promoted (from {share}% to {_share(state)}): "
                "the models have their old roles again"
            )

    def _restore(self, release: Release, why: str) -> None:
        note = Note("promote", why[:500])
        self._converge(
            self._store.change(lambda now: restored(now, note), expect=release.revision), restoring=True
        )

    def _converge(self, release: Release, *, restoring: bool = False) -> float:
        """Seconds until every worker served `release`."""
        begun, wait, trouble = time.monotonic(), _FIRST_WAIT_SECONDS, "no answer yet"
        while True:
            try:
                crews = self._fleet()
                if all(crew.serves(release.revision) for crew in crews):
                    return time.monotonic() - begun
                reason = _refusal(crews, release.revision)
                trouble = _behind(crews, release.revision)
            except CanarioError as error:
                reason, trouble = None, str(error)
            if reason is not None and not restoring:
                self._restore(release, reason)
                raise Refused(f"the workers refuse the models, which have their old roles again: {reason}")
            if time.monotonic() - begun > self._patience:
                raise Unfinished(
                    f"roles.json says revision {release.revision} ({release.last.kind}), and after "
                    f"{self._patience:.0f} s not every worker serves it: {trouble}. Run it again"
                )
            self._require_current(release)
            time.sleep(wait)
            wait = min(1.5 * wait, _LONGEST_WAIT_SECONDS)

    def _require_current(self, release: Release) -> None:
        now = self._store.read()
        if now.revision != release.revision:
            raise ReleaseError(
                f"{now.last.by} has changed the roles meanwhile ({now.last.kind}): this change is over"
            )


class _Stopped(CanarioError):
    """The challenger was taken away from users while it was promoted."""


def _refusal(crews: Sequence[Crew], revision: int) -> str | None:
    """What a worker says against `revision`, if one does."""
    refusals = (worker.refused for crew in crews for worker in crew.workers)
    return next((each.reason for each in refusals if each and each.revision == revision), None)


def _behind(crews: Sequence[Crew], revision: int) -> str:
    told = []
    for crew in crews:
        ready = sum(worker.revision == revision for worker in crew.workers)
        told.append(f"{ready} of {max(crew.expected_workers, len(crew.workers))} workers do")
        told += [worker.refused.reason for worker in crew.workers if worker.refused]
    return "; ".join(told) or "no service is named"


def _share(state: CanaryState) -> str:
    if not state.exists:
        return "no share (the flag is missing)"
    share = "no one share" if state.percent is None else f"{state.percent}%"
    return share if state.enabled else f"{share}, turned off"
