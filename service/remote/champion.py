"""A champion that runs elsewhere: asked by a deadline, and left alone for a while when it fails."""

import logging

from common.logs import ErrorLog
from service.challenger.client import Breaker
from service.challenger.protocol import Outcome
from service.models.artifact import Artifact
from service.models.onnx_model import Answer, NoAnswerError, Row, interpret_rows
from service.remote.description import Remote
from service.remote.endpoint import AnswerError, EndpointRefuses
from service.remote.worker import RemoteModel

log = logging.getLogger(__name__)


class RemoteChampion:
    """A champion that runs elsewhere. There is nobody to fall back on: who asks for it may be refused."""

    def __init__(self, artifact: Artifact, remote: Remote, deadline_seconds: float) -> None:
        self.metadata = artifact.metadata
        self._model, self._url, self._deadline = RemoteModel(artifact, remote), remote.url, deadline_seconds
        self._errors = ErrorLog(log, "the remote champion fails: %s")
        self._breaker = Breaker()

    def close(self) -> None:
        """Close the connections that are kept."""
        self._model.endpoint.close()

    def answers(self, rows: Row) -> list[Answer]:
        """Its answers to `rows`, shape (n, features).

        Raises:
            NoAnswerError: there are none.
            InvalidAnswerError: they are no classes with probabilities, or no finite values.
        """
        if not self._breaker.admits():
            raise NoAnswerError("open", f"{self._url} has failed again and again, and is left alone a while")
        try:
            reply = self._model.ask(rows, self._deadline)
        except TimeoutError:
            failed = "timeout", f"{self._url} does not answer within {self._deadline:.3g} s"
        except EndpointRefuses as error:
            failed = "down", str(error)
        except AnswerError as error:
            failed = "invalid", str(error)
        except OSError as error:
            failed = "crash", f"{self._url} ended the connection: {error}"
        else:
            if reply.outcome is Outcome.ANSWERED:
                self._breaker.succeeded()
                return interpret_rows(reply.numbers, len(rows), self.metadata)
            failed = "exception", reply.text
        self._breaker.failed()
        self._errors.warn(failed[1])
        raise NoAnswerError(*failed)
