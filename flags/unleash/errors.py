"""Every error that `flags` raises on purpose, but those of models' roles (common.release).

    CanarioError
    ├── AdminError            Unleash's admin API said no, or said nothing
    │   ├── Unreachable       no answer: no connection, TLS, a timeout, a cut line
    │   ├── Unauthorized      401: it does not know the token, or the password
    │   ├── Forbidden         403: it knows the user, who may not do this
    │   ├── NotFound          404
    │   ├── Rejected          any other 4xx, with Unleash's reason
    │   ├── ServerFault       5xx
    │   └── UnexpectedAnswer  no JSON, another shape, a redirect: perhaps not Unleash at all
    └── FlagError             Unleash answered, and the flag is not in a state to do this with
        ├── FlagMissing
        ├── FlagArchived
        ├── EnvironmentMissing
        ├── StrategyMissing   no gradual rollout
        ├── StrategyDisabled
        ├── StrategyAmbiguous more than one active strategy: no one share
        ├── ShareUnreadable   the rollout is no whole number from 0 to 100
        ├── StickinessUnsafe  users would change models from call to call
        ├── ChangedMeanwhile  somebody else was faster
        ├── Quarantined       the challenger's version was rolled back before
        └── NotVerified       the order was taken, and the flag read back says otherwise

The first family is cured where Canario is configured or where Unleash runs, the second in the Unleash UI.
"""

# ruff: noqa: N818  (the names say what happened, as in httpx; the suffix would say it twice)

from common.errors import CanarioError


class AdminError(CanarioError):
    """A call of the admin API failed.

    Attributes:
        status: the HTTP status, None where no answer came.
        details: Unleash's own words, "" where it gave none.
    """

    def __init__(self, message: str, *, status: int | None = None, details: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.details = details


class Unreachable(AdminError):
    """No answer came. A change that was asked for may have been made, or not."""


class Unauthorized(AdminError):
    """401."""


class Forbidden(AdminError):
    """403."""


class NotFound(AdminError):
    """404."""


class Rejected(AdminError):
    """Any other 4xx: 400 bad data or an archived flag, 409 a name that exists, 429 too many calls."""


class ServerFault(AdminError):
    """5xx, after the retries that the call allows."""


class UnexpectedAnswer(AdminError):
    """An answer that Unleash would not give."""


class FlagError(CanarioError):
    """The flag needs a person before this can be done; the text says what to do in the Unleash UI."""


class FlagMissing(FlagError):
    """Unleash has no such flag in this project."""


class FlagArchived(FlagError):
    """The flag lies in Unleash's archive: for every SDK it does not exist."""


class EnvironmentMissing(FlagError):
    """The project has no such environment."""


class StrategyMissing(FlagError):
    """No gradual rollout strategy that could carry a share."""


class StrategyDisabled(FlagError):
    """The gradual rollout strategy is switched off by itself."""


class StrategyAmbiguous(FlagError):
    """Unleash lets a user in when any active strategy matches, and there are several."""


class ShareUnreadable(FlagError):
    """The rollout is no whole number from 0 to 100; Unleash takes any text."""


class StickinessUnsafe(FlagError):
    """The share is not drawn by user id."""


class ChangedMeanwhile(FlagError):
    """Unleash's value is not the one that the caller's decision rests on; nothing was overwritten."""


class Quarantined(FlagError):
    """This version of the challenger was taken away before, and nobody gave a reason to try it again."""


class NotVerified(FlagError):
    """Unleash took an order, and what it says afterwards contradicts it."""
