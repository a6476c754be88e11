"""Which share the weights should have, by what Unleash says of the flag. Pure.

A weight knows no users. Where a flag keeps some users with the champion, by a constraint or a segment, no
weight can do that, so the challenger gets none: the header can (docs/mesh.md).
"""

from dataclasses import dataclass

from flags.canary.state import CanaryState


@dataclass(frozen=True)
class Wanted:
    """A share in per cent, and why it is that; and how many per cent of the requests are copied."""

    percent: int
    why: str
    mirror: int = 0

    def copying(self, shadow: "Wanted") -> "Wanted":
        """This share, and copies as the flag of the shadow says."""
        return Wanted(self.percent, f"{self.why}; {shadow.why}", shadow.percent)


def wanted(state: CanaryState) -> Wanted:
    """The share that the weights should have now."""
    if reason := _none(state):
        return Wanted(0, reason)
    by = f", set by {state.changed_by}" if state.changed_by else ""
    return Wanted(state.percent or 0, f"the flag {state.flag} says {state.percent}%{by}")


def _none(state: CanaryState) -> str | None:
    """Why nobody may have the challenger; None where the share counts."""
    flag = state.flag
    if state.archived or not state.exists:
        return f"the flag {flag} is {'archived' if state.archived else 'missing'}"
    if not state.enabled:
        return f"the flag {flag} is off" + (f", by {state.changed_by}" if state.changed_by else "")
    if state.trouble:
        return state.trouble
    if state.lapsed:
        return f"the safety timeout (lease) of {flag} has run out: nobody guards the challenger"
    segments = len(state.segments) - (state.lease_until is not None)
    if state.constraints or segments:
        limits = ", ".join(state.constraints) or f"{segments} segments"
        return f"the flag {flag} is only for some users ({limits}), and a weight knows none: use the header"
    return None
