"""What the controller of the weights and the door to Kubernetes raise on purpose.

RouteError            a route cannot follow the flag as it is: it names no such arms, its weights do not fit
├── NotTaken          it was written, and what is read back is not what was written
└── KubernetesError   the Kubernetes API said no, or said nothing
    ├── Unreachable   it did not answer
    ├── Refused       401: it does not know the token
    ├── Forbidden     403: the ServiceAccount lacks a right
    ├── Missing       404: there is no such object, or no such kind of object
    ├── Conflict      409: somebody changed the object since it was read
    └── Unexpected    anything else
"""

# ruff: noqa: N818  (names of errors say what happened, as in flags.unleash.errors)

from common.errors import CanarioError


class RouteError(CanarioError):
    """A route cannot follow the flag as it is."""

    exit_code = 13


class NotTaken(RouteError):
    """What is read back is not what was written."""


class KubernetesError(RouteError):
    """The Kubernetes API said no, or said nothing."""


class Unreachable(KubernetesError):
    """It did not answer."""


class Refused(KubernetesError):
    """401."""


class Forbidden(KubernetesError):
    """403."""


class Missing(KubernetesError):
    """404."""


class Conflict(KubernetesError):
    """409."""


class Unexpected(KubernetesError):
    """Any other answer."""
