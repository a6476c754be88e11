"""Shadow: the challenger sees requests that the champion answered; nobody gets to see its answers.

A request only leaves a sample in a queue of bounded length. One thread takes the samples out, some tens of
milliseconds later so that there are many, asks the challenger for all of them at once and writes down both
answers. Whatever goes wrong costs samples, which are counted, and never a request.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from common.logs import ErrorLog
from common.names import Model
from common.schedule import keep_running
from service.challenger.agreement import Compared, compare
from service.challenger.closeness import Closeness
from service.challenger.pool import NoReplyError
from service.challenger.protocol import Outcome, Reply
from service.metrics.models import DROPS, ShadowMetrics
from service.models.artifact import Metadata, Question
from service.models.onnx_model import Answer, InvalidAnswerError, Row
from service.prediction_log.log import RecordLog, stamp

log = logging.getLogger(__name__)

AGAIN_SECONDS = 1.0  # after a fault in the thread itself
DRAIN_SECONDS = 3.0  # for what waits at a graceful stop; gunicorn allows 10 s for the whole worker

Ask = Callable[[Row, float], Reply]


class Sample(NamedTuple):
    """A request, and what the champion said to it. `time` is Unix time, `seconds` what the champion took."""

    request_id: str
    time: float
    user_id: str
    context: Mapping[str, str]
    row: Row
    answer: Answer
    seconds: float


@dataclass(frozen=True)
class ShadowLimits:
    """What shadow may cost.

    Attributes:
        queue: samples that may wait.
        rows: of a batch at most; see service.challenger.protocol.rows_in_a_packet.
        linger_seconds: how long the first sample waits for others.
        batch_seconds: how long a batch may take the challenger by what the last one took: with a slow model
            batches get smaller, as they use the process that canary users wait for.
        hang_seconds: how long to wait for a batch; its process is then ended.
    """

    queue: int
    rows: int
    linger_seconds: float
    batch_seconds: float
    hang_seconds: float


class Shadow:
    """Asks the challenger about samples, in batches, from a thread of its own. Make it after the fork.

    Args:
        ask: the challenger's reply to a batch of rows; see ChallengerWorker.call_batch. It is not counted
            with calls: guardrails look at what users might have got.
        metadata: of both models, which have the same classes.
        record_log: where pairs of answers go, if it is on.
    """

    def __init__(
        self,
        ask: Ask,
        metadata: Mapping[Model, Metadata],
        metrics: ShadowMetrics,
        limits: ShadowLimits,
        record_log: RecordLog,
    ) -> None:
        self._ask, self._metrics, self._limits = ask, metrics, limits
        self._log = record_log
        self._metadata = metadata[Model.CHALLENGER]
        self._closeness = Closeness(metadata[Model.CHAMPION], self._metadata)
        metrics.expect(
            [each.name for each in self._metadata.classes],
            len(self._closeness.edges),
            self._metadata.output_names,
        )
        self._names = {role: {"name": each.name, "version": each.version} for role, each in metadata.items()}
        self._queue: deque[Sample] = deque()
        self._rows = 1  # of the next batch; the first one shows how fast the model is
        self._wake, self._closing = threading.Event(), threading.Event()
        self._end = math.inf
        self._errors = ErrorLog(log, "the challenger fails in shadow: %s")
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to work off samples."""
        self._thread = keep_running(
            "shadow", self._run, again_after=AGAIN_SECONDS, until=self._closing.is_set
        )

    def offer(self, sample: Sample) -> None:
        """Leave a sample. Never waits, never raises: without room the sample is dropped, and counted."""
        if len(self._queue) >= self._limits.queue:
            self._metrics.drops.labels("full").inc()
            return
        if self._closing.is_set():  # a request that began with this challenger, and ended after its end
            self._metrics.drops.labels("stopped").inc()
            return
        self._queue.append(sample)
        if not self._wake.is_set():
            self._wake.set()

    def close(self) -> None:
        """Work off what waits, for DRAIN_SECONDS at most. To be called before the challenger is ended."""
        self._end = time.monotonic() + DRAIN_SECONDS
        self._closing.set()
        self._wake.set()
        if self._thread:
            self._thread.join(DRAIN_SECONDS + 1)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._closing.wait(self._limits.linger_seconds)
            self._wake.clear()  # before the queue is emptied: who comes later wakes this thread again
            self._work_off()
        self._work_off()
        self._metrics.queue.set(0)

    def _work_off(self) -> None:
        """Take out what waits now. What comes meanwhile lingers in its turn, or batches would be small."""
        waiting = len(self._queue)
        self._metrics.queue.set(waiting)
        while waiting:
            most = waiting if time.monotonic() >= self._end else min(waiting, self._rows)
            waiting -= most
            self._ask_in_parts([self._queue.popleft() for _ in range(most)])

    def _ask_in_parts(self, batch: list[Sample]) -> None:
        """Ask about `batch`, and where the model raises about its halves, so that a bad row costs no other.

        Not for longer than a batch may take: a model that raises at everything would be asked twice a row.
        """
        until = time.monotonic() + self._limits.batch_seconds
        parts = [batch]
        while parts:
            part = parts.pop()
            may_halve = len(part) > 1 and time.monotonic() < until
            try:
                is_to_halve = self._compare(part, may_halve)
            except Exception:  # a bug must not end shadow for good, nor go unseen
                log.exception("a batch of shadow samples is lost")
                self._metrics.errors.labels("exception").inc(len(part))
                continue
            if is_to_halve:
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]  # the first half is next: records stay in order

    def _compare(self, batch: list[Sample], may_halve: bool) -> bool:
        """Ask about `batch`; True when the model raised and its halves are to be asked about instead."""
        patience = min(self._limits.hang_seconds, self._end - time.monotonic())
        if patience <= 0:
            self._metrics.drops.labels("stopped").inc(len(batch))
            return False
        try:
            reply = self._ask(np.concatenate([sample.row for sample in batch]), patience)
        except NoReplyError as error:
            self._rows = 1
            if error.reason in DROPS:
                self._metrics.drops.labels(error.reason).inc(len(batch))
            else:
                self._failed(batch, error.reason)
            return False
        self._metrics.latency.observe(reply.seconds)
        affordable = self._limits.batch_seconds * len(batch) / max(reply.seconds, 1e-6)
        self._rows = max(1, min(self._limits.rows, int(affordable)))
        if reply.outcome is Outcome.ANSWERED:
            self._judge(batch, reply)
            return False
        self._rows = 1  # of the next batch: it shows whether the model raises at everything
        self._errors.warn(reply.text)
        if not may_halve:
            self._failed(batch, "exception")
        return may_halve

    def _judge(self, batch: list[Sample], reply: Reply) -> None:
        try:
            compared = compare(reply.numbers, [sample.answer for sample in batch], self._metadata)
        except (ValueError, InvalidAnswerError) as error:
            self._errors.warn(str(error))
            self._failed(batch, "invalid")
            return
        self._count_closeness(batch, reply, compared)
        valid = int(np.count_nonzero(compared.valid))
        self._metrics.samples.inc(valid)
        self._metrics.agreements.inc(int(np.count_nonzero(compared.agree)))
        for name, each in zip(self._metadata.output_names, compared.outputs, strict=True):
            agreed = np.count_nonzero(each.agree & compared.valid)
            self._metrics.output_agreements.labels(name).inc(int(agreed))
        if valid < len(batch):
            self._errors.warn(
                f"{len(batch) - valid} of {len(batch)} answers are no finite number or no probability"
            )
            self._metrics.errors.labels("invalid").inc(len(batch) - valid)
        if not self._log.is_on:
            return
        seconds = reply.seconds / len(batch)
        outputs = compared.outputs or (compared,)
        answers = [_said(*each) for each in zip(outputs, self._metadata.questions, strict=True)]
        columns = compared.valid.tolist(), compared.agree.tolist(), *answers
        for at, (sample, is_valid, agree, first, *more) in enumerate(zip(batch, *columns, strict=True)):
            if not is_valid:
                self._record(sample, error="invalid")
                continue
            said = self._answer(
                Model.CHALLENGER, first._replace(more=tuple(more)) if more else first, seconds
            )
            of_each = zip(self._metadata.output_names, compared.outputs, strict=True)
            self._record(sample, said, agree, {name: bool(each.agree[at]) for name, each in of_each})

    def lack(self, rows: int) -> None:
        """Count copies that cannot be made, because requests lack what the challenger needs."""
        self._metrics.errors.labels("features").inc(rows)

    def _count_closeness(self, batch: list[Sample], reply: Reply, compared: Compared) -> None:
        valid = np.flatnonzero(compared.valid)
        first = 1 if self._metadata.classes else 0  # of the numbers that are probabilities or the value
        counted = self._closeness.count(
            [batch[at].user_id for at in valid],
            [batch[at].answer for at in valid],
            compared.chosen[valid],
            reply.numbers.reshape(len(batch), -1)[valid, first : self._metadata.width],
        )
        for order, count in counted.pairs.items():
            self._metrics.pairs.labels(order).inc(count)
        for (name, by), count in counted.classes.items():
            self._metrics.classes.labels(name, by).inc(count)
        for (role, place), count in counted.scores.items():
            self._metrics.scores.labels(role, place).inc(count)

    def _failed(self, batch: list[Sample], reason: str) -> None:
        self._metrics.errors.labels(reason).inc(len(batch))
        if self._log.is_on:
            for sample in batch:
                self._record(sample, error=reason)

    def _record(
        self,
        sample: Sample,
        said: dict[str, Any] | None = None,
        agree: bool | None = None,
        outputs: dict[str, bool] | None = None,
        error: str | None = None,
    ) -> None:
        record: dict[str, Any] = {
            "kind": "shadow",
            "request_id": sample.request_id,
            "time": stamp(sample.time),
            "user": self._log.user_key(sample.user_id),
            "context": sample.context,
            "champion": self._answer(Model.CHAMPION, sample.answer, sample.seconds),
            "challenger": said or {**self._names[Model.CHALLENGER], **_NOTHING},
            "agree": agree,
            "error": error,
        }
        if outputs:
            record["outputs_agree"] = outputs
        self._log.record(record)

    def _answer(self, role: Model, answer: Answer, seconds: float) -> dict[str, Any]:
        told = {
            **self._names[role],
            "class_name": answer.class_name,
            "prediction": answer.label,
            "probability": answer.probability,
            "seconds": seconds,
        }
        return told | {"outputs": answer.by_name(self._metadata)} if answer.more else told


def _said(compared: Compared, asked: Question) -> list[Answer]:
    """The challenger's answers to an output: classes and their probabilities, or values."""
    numbers, classes = compared.said.tolist(), asked.classes
    if not classes:
        return [Answer(number) for number in numbers]
    chosen = [classes[place] for place in compared.chosen.tolist()]
    return [Answer(each.label, each.name, number) for each, number in zip(chosen, numbers, strict=True)]


_NOTHING = {"class_name": None, "prediction": None, "probability": None, "seconds": None}
