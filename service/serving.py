"""From a parsed request to an answer: ask the flag, then the model that it wants, then the champion."""

import time
from collections.abc import Callable
from typing import NamedTuple

from common.names import Model
from service.artifact import Metadata
from service.assignment import Assigner
from service.guest.guest import Failure, Guest
from service.model import Answer, InvalidAnswerError, Row
from service.models import Models
from service.schema import Parsed
from service.shadow import Sample, Shadow
from service.telemetry import Telemetry


class Served(NamedTuple):
    """An answer, who gave it, who should have given it, and why."""

    request_id: str
    answer: Answer
    model: Model
    assigned: Model
    reason: str
    metadata: Metadata
    seconds: float  # how long the request waited for models


class Predictor:
    """Answers requests. Without a challenger everybody gets the champion, whatever the flag says."""

    def __init__(
        self,
        models: Models,
        guest: Guest | None,
        assigner: Assigner,
        telemetry: Telemetry,
        shadow: Shadow | None = None,
    ) -> None:
        self._champion, self._metadata, self._shadow = models.champion, models.metadata, shadow
        self._guest, self._assigner, self._telemetry = guest, assigner, telemetry

    def predict(self, request: Parsed, identify: Callable[[Model], str]) -> Served:
        """The answer to `request`.

        Args:
            identify: gives the request its id when it is known who is assigned.

        Raises:
            InvalidAnswerError: the champion has no finite answer to this row.
            Exception: whatever else the champion raises; there is nobody to fall back on.
        """
        assignment = self._assigner.assign(request.user_id, request.context)
        self._telemetry.assigned(assignment.model, assignment.reason)
        request_id = identify(assignment.model)
        start = time.perf_counter()
        model, reason, answer = Model.CHAMPION, str(assignment.reason), None
        if assignment.model is Model.CHALLENGER:
            said = self._guest.ask(request.row) if self._guest else Failure("no_challenger")
            if isinstance(said, Answer):
                model, answer = Model.CHALLENGER, said
            else:
                reason = f"fallback_{said.reason}"
        if answer is None:
            answer, took = self._ask_champion(request.row)
            if assignment.model is Model.CHAMPION:
                self._show_challenger(request, request_id, answer, took)
        seconds = time.perf_counter() - start
        self._telemetry.answered(model, answer.class_name)
        return Served(request_id, answer, model, assignment.model, reason, self._metadata[model], seconds)

    def _show_challenger(self, request: Parsed, request_id: str, answer: Answer, seconds: float) -> None:
        """Leave the request for the challenger. Not that of a canary's user: it has been asked already."""
        if self._shadow and self._assigner.shadowed(request.user_id, request.context):
            user, row, context = request
            self._shadow.offer(Sample(request_id, time.time(), user, context, row, answer, seconds))

    def _ask_champion(self, row: Row) -> tuple[Answer, float]:
        """The champion's answer, and the seconds that it took."""
        self._telemetry.called(Model.CHAMPION)
        start = time.perf_counter()
        try:
            answer = self._champion.answer(row)
        except Exception as error:
            self._telemetry.failed(
                Model.CHAMPION, "invalid" if isinstance(error, InvalidAnswerError) else "exception"
            )
            self._telemetry.finished(Model.CHAMPION, time.perf_counter() - start)
            raise
        seconds = time.perf_counter() - start
        self._telemetry.finished(Model.CHAMPION, seconds)
        return answer, seconds
