"""Takes feedback: finds the model that it is about, counts it once, and logs it."""

from collections.abc import Collection
from typing import NamedTuple

from common.names import Model
from service.feedback.memory import Memory
from service.feedback.request_ids import RequestIds
from service.records import RecordLog, Users
from service.telemetry import Telemetry

UNKNOWN = "unknown"  # the label `model` where nobody knows who was assigned
OTHER = "other"
MOST_OUTCOMES = 20

_NUMBERS = {Model.CHAMPION: 1, Model.CHALLENGER: 2}
_MODELS = {number: model for model, number in _NUMBERS.items()}


class Told(NamedTuple):
    """What became of a feedback.

    Attributes:
        assigned: the model that it counts for; None when nobody knows.
        is_duplicate: told before for this request, and therefore neither counted nor logged.
        counted_as: the label `outcome` of the metric.
    """

    assigned: Model | None
    is_duplicate: bool
    counted_as: str


class Outcomes:
    """Bounds the label `outcome`: those allowed, or else the first MOST_OUTCOMES, keep their names."""

    def __init__(self, allowed: Collection[str]) -> None:
        self._named, self._is_closed = set(allowed), bool(allowed)

    def label(self, outcome: str) -> str:
        """`outcome`, or `other`."""
        if outcome in self._named:
            return outcome
        if self._is_closed or len(self._named) >= MOST_OUTCOMES:
            return OTHER
        self._named.add(outcome)
        return outcome


class Feedback:
    """Threads may share it; what it remembers, the workers of the service share."""

    def __init__(  # noqa: PLR0913, PLR0917 - these are what feedback is made of
        self,
        request_ids: RequestIds,
        memory: Memory,
        outcomes: Outcomes,
        log: RecordLog,
        users: Users,
        telemetry: Telemetry,
    ) -> None:
        self._request_ids, self._memory, self._outcomes = request_ids, memory, outcomes
        self._log, self._users, self._telemetry = log, users, telemetry

    def expect(self, request_id: str, is_ours: bool, user_id: str, assigned: Model) -> str:
        """Remember an assignment; the id under which feedback can name the request.

        Args:
            is_ours: whether the service made `request_id`. Such an id gets the assignment into it; a client's
                stays as it is, and is remembered.
        """
        self._memory.users.put(user_id, _NUMBERS[assigned])
        if is_ours:
            return self._request_ids.sign(request_id, assigned)
        self._memory.requests.put(request_id, _NUMBERS[assigned])
        return request_id

    def about_request(self, request_id: str, outcome: str, value: float | None) -> Told:
        """Take feedback about a request. The same outcome of the same request counts once."""
        assigned = self._recall_request(request_id)
        label = self._outcomes.label(outcome)
        # A line break is in neither, so different pairs are different texts.
        if not self._memory.told.add(f"{request_id}\n{outcome}"):
            return Told(assigned, True, label)
        self._take(request_id, None, outcome, value, assigned, label)
        return Told(assigned, False, label)

    def about_user(self, user_id: str, outcome: str, value: float | None) -> Told:
        """Take feedback about a user, for the model last assigned to them. Each counts: some buy twice."""
        number = self._memory.users.get(user_id)
        assigned = _MODELS.get(number) if number else None
        label = self._outcomes.label(outcome)
        self._take(None, self._users.name(user_id), outcome, value, assigned, label)
        return Told(assigned, False, label)

    def _recall_request(self, request_id: str) -> Model | None:
        number = self._memory.requests.get(request_id)
        return _MODELS.get(number) if number else self._request_ids.assigned(request_id)

    def _take(  # noqa: PLR0913, PLR0917
        self,
        request_id: str | None,
        user: str | None,
        outcome: str,
        value: float | None,
        assigned: Model | None,
        label: str,
    ) -> None:
        self._telemetry.outcome(assigned or UNKNOWN, label)
        self._log.record(
            {
                "kind": "feedback",
                "request_id": request_id,
                "user": user,
                "outcome": outcome,
                "value": value,
                "known": assigned is not None,
                "assigned": assigned,
            }
        )
