"""Takes feedback: finds the model that it is about, counts it once, and logs it."""

import logging
from typing import NamedTuple

from common.names import Model
from service.feedback.memory import Memory
from service.feedback.outcomes import OTHER, Outcomes
from service.feedback.request_ids import RequestIds
from service.guest.complaints import Complaints
from service.records import RecordLog, Users
from service.telemetry import Telemetry

log = logging.getLogger(__name__)

UNKNOWN = "unknown"  # the label `model` where nobody knows who was assigned

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


class Feedback:
    """Threads may share it; what it remembers, the workers of the service share."""

    def __init__(  # noqa: PLR0913, PLR0917 - these are what feedback is made of
        self,
        request_ids: RequestIds,
        memory: Memory,
        outcomes: Outcomes,
        record_log: RecordLog,
        users: Users,
        telemetry: Telemetry,
    ) -> None:
        self._request_ids, self._memory, self._outcomes = request_ids, memory, outcomes
        self._log, self._users, self._telemetry = record_log, users, telemetry
        self._no_room = Complaints(
            log, f"outcomes are counted as {OTHER!r}, e.g. %s: list yours in CANARIO_FEEDBACK_OUTCOMES"
        )

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
        # A line break is in neither, so different pairs are different texts.
        if not self._memory.told.add(f"{request_id}\n{outcome}"):
            return Told(assigned, True, self._outcomes.label(outcome, assigned is not None)[0])
        return self._take(request_id, None, outcome, value, assigned)

    def about_user(self, user_id: str, outcome: str, value: float | None) -> Told:
        """Take feedback about a user, for the model last assigned to them. Each counts: some buy twice."""
        number = self._memory.users.get(user_id)
        assigned = _MODELS.get(number) if number else None
        return self._take(None, self._users.name(user_id), outcome, value, assigned)

    def _recall_request(self, request_id: str) -> Model | None:
        number = self._memory.requests.get(request_id)
        return _MODELS.get(number) if number else self._request_ids.assigned(request_id)

    def _take(
        self,
        request_id: str | None,
        user: str | None,
        outcome: str,
        value: float | None,
        assigned: Model | None,
    ) -> Told:
        label, why = self._outcomes.label(outcome, assigned is not None)
        self._telemetry.outcome(assigned or UNKNOWN, label)
        if why:
            self._telemetry.outcome_unnamed(why)
        if why == "full":
            self._no_room.tell(outcome)
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
        return Told(assigned, False, label)
