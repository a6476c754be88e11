"""What a person is told after a rollback: board, Unleash, messages and command line say it alike. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from common.figures import moment

FREE: Final = "It may be tried again: `./canario rollout begin`."
UNKNOWN: Final = "unknown version"  # was rolled back by a job that could not tell which: it could be any


@dataclass(frozen=True)
class Aftermath:
    """After one rollback.

    Attributes:
        at: when the flag went off; None where nobody says.
        why: as the tag on the flag's page has it; None where there is none.
        version: the blocked one, by its label (flags.canary.marks); "" where it is not known which, and None
            where none is.
        excluded: the users who alone lost the challenger, as country=NO; None where all did.
    """

    flag: str
    at: datetime | None
    why: str | None
    version: str | None
    excluded: str | None = None

    @property
    def sentence(self) -> str:
        """What happened."""
        when = f" at {moment(self.at)}" if self.at else ""
        because = f" because of {self.why}" if self.why else ""
        if self.excluded:
            return f"{self.excluded} was excluded{when}{because}: these users have the champion."
        return f"The challenger was rolled back{when}{because}: everybody has the champion."

    @property
    def blocked(self) -> str:
        """What gets no more users."""
        if self.excluded:
            return "All others have what they had; no version is blocked, and the stage begins anew."
        if self.version is None:
            return "No version is blocked."
        if self.version == UNKNOWN:
            return "Any version is blocked, because the service does not say which one it serves."
        return (
            f"Version {self.version.split()[0]} is blocked."
            if self.version
            else "What was served is blocked."
        )

    @property
    def lines(self) -> tuple[str, str, str]:
        """All of it."""
        ways = ways_on(self.flag) if self.version is not None else FREE
        if self.excluded:
            ways = let_in_again(self.flag, self.excluded)
        return self.sentence, self.blocked, ways


def let_in_again(flag: str, users: str) -> str:
    """The same where a segment was excluded."""
    return (
        f"Let them in again: `./canario include {flag} {users}`."
        f" Everybody to the champion: `./canario off {flag}`. Leave it so: nothing to do."
    )


def ways_on(flag: str) -> str:
    """What a person can do then, each with its one command."""
    return (
        f'Try it again: `./canario lift {flag} --reason "..."`, and a begun plan goes on.'
        " A new version: `./canario models challenger FOLDER`, then `./canario rollout begin`."
        " Keep it off: nothing to do."
    )
