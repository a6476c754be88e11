"""What a person is told after a rollback: board, Unleash, messages and command line say it alike. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from common.figures import moment

UNKNOWN: Final = "unknown version"  # was rolled back by a job that could not tell which: it could be any


@dataclass(frozen=True)
class Aftermath:
    """After one rollback.

    Attributes:
        at: when the flag went off; None where nobody says.
        why: as the tag on the flag's page has it; None where there is none.
        version: the blocked one, by its label (flags.canary.marks); "" where it is not known which, and None
            where none is.
    """

    flag: str
    at: datetime | None
    why: str | None
    version: str | None

    @property
    def sentence(self) -> str:
        """What happened."""
        when = f" at {moment(self.at)}" if self.at else ""
        because = f" because of {self.why}" if self.why else ""
        return f"The challenger was rolled back{when}{because}: everybody has the champion."

    @property
    def blocked(self) -> str:
        """What gets no more users."""
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
        return self.sentence, self.blocked, ways_on(self.flag)


def ways_on(flag: str) -> str:
    """What a person can do then, each with its one command."""
    return (
        f'Try it again: `./canario lift {flag} --reason "..."`, and a begun plan goes on.'
        " A new version: `./canario models challenger FOLDER`, then `./canario rollout begin`."
        " Keep it off: nothing to do."
    )
