"""From a parsed request to an answer: ask the flag, then the model that it wants, then the champion."""

import time
from typing import NamedTuple

from common.names import Model
from service.artifact import Metadata
from service.assignment import Assigner
from service.guest.guest import Failure, Guest
from service.model import Answer, InvalidAnswerError, Row
from service.models import Models
from service.schema import Parsed
from service.telemetry import Telemetry


class Served(NamedTuple):
    """An answer, who gave it, who should have given it, and why."""

    answer: Answer
    model: Model
    assigned: Model
    reason: str
    metadata: Metadata


class Predictor:
    """Answers requests. Without a challenger everybody gets the champion, whatever the flag says."""

    def __init__(self, models: Models, guest: Guest | None, assigner: Assigner, telemetry: Telemetry) -> None:
        self._champion, self._metadata = models.champion, models.metadata
        self._guest, self._assigner, self._telemetry = guest, assigner, telemetry

    def predict(self, request: Parsed) -> Served:
        """The answer to `request`.

        Raises:
            InvalidAnswerError: the champion has no finite answer to this row.
            Exception: whatever else the champion raises; there is nobody to fall back on.
        """
        assignment = self._assigner.assign(request.user_id, request.context)
        self._telemetry.assigned(assignment.model, assignment.reason)
        model, reason, answer = Model.CHAMPION, str(assignment.reason), None
        if assignment.model is Model.CHALLENGER:
            said = self._guest.ask(request.row) if self._guest else Failure("no_challenger")
            if isinstance(said, Answer):
                model, answer = Model.CHALLENGER, said
            else:
                reason = f"fallback_{said.reason}"
        if answer is None:
            answer = self._ask_champion(request.row)
        self._telemetry.answered(model, answer.class_name)
        return Served(answer, model, assignment.model, reason, self._metadata[model])

    def _ask_champion(self, row: Row) -> Answer:
        self._telemetry.called(Model.CHAMPION)
        start = time.perf_counter()
        try:
            return self._champion.answer(row)
        except InvalidAnswerError:
            self._telemetry.failed(Model.CHAMPION, "invalid")
            raise
        except Exception:
            self._telemetry.failed(Model.CHAMPION, "exception")
            raise
        finally:
            self._telemetry.finished(Model.CHAMPION, time.perf_counter() - start)
