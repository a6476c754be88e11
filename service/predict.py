"""POST /predict, and what each prediction is: ask the flag, the model that it wants, or else the champion."""

import math
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import orjson
from flask import Blueprint, Request, Response, g, request
from pydantic import BaseModel, Field, RootModel
from spectree import SpecTree

from common.names import Model
from service.api.openapi import responses, schema_of
from service.api.predict_schema import without_default
from service.api.request import parse
from service.challenger.client import Failure
from service.challenger.shadow import Sample, Shadow
from service.feedback.memory import Assigned
from service.metrics.service import CHALLENGER_FAILURES
from service.models.artifact import Metadata, Question
from service.models.lineup import Lineup
from service.models.onnx_model import Answer, InvalidAnswerError, Row
from service.parts import Parts


class Answered(BaseModel):
    """Who answered, and why this model."""

    request_id: str
    model: Model = Field(description="Who answered.")
    assigned: Model = Field(description="Who should have answered by the flag.")
    reason: str = Field(
        description="flag_on, flag_off, flag_missing, flag_without_strategy, unleash_unknown, canary_percent,"
        " or fallback_..."
    )
    model_name: str
    model_version: str


class ClassProbability(BaseModel):
    """A class, and how probable the model finds it."""

    prediction: int | str = Field(description="Its label.")
    class_name: str
    probability: float


class OutputPrediction(BaseModel):
    """One of several answers to a row."""

    prediction: int | str | float = Field(description="As of one output.")
    class_name: str | None
    probability: float | None
    top: list[ClassProbability] = Field(
        default=[], description="As of one output.", json_schema_extra=without_default
    )


class Prediction(Answered):
    """The answer, and why this model gave it."""

    prediction: int | str | float = Field(
        description="Label of the class that the model chose; a regressor's value."
    )
    class_name: str | None = Field(description="Name of that class; null of a regressor.")
    probability: float | None = Field(description="Probability of that class; null of a regressor.")
    top: list[ClassProbability] = Field(
        default=[],
        description="The most probable classes, only where `top_k` asks for them; none of a regressor.",
        json_schema_extra=without_default,
    )
    outputs: dict[str, OutputPrediction] = Field(
        default={},
        description="All answers by name, only of a model of several outputs; the fields above are of its "
        "primary one.",
        json_schema_extra=without_default,
    )


class RowPrediction(BaseModel):
    """The answer to one of several rows."""

    request_id: str = Field(description="Of this row, for feedback.")
    prediction: int | str | float = Field(description="As of one row.")
    class_name: str | None
    probability: float | None
    top: list[ClassProbability] = Field(
        default=[], description="As of one row.", json_schema_extra=without_default
    )
    outputs: dict[str, OutputPrediction] = Field(
        default={}, description="As of one row.", json_schema_extra=without_default
    )


class Predictions(Answered):
    """The answers to `rows`."""

    predictions: list[RowPrediction] = Field(description="One a row, in their order.")
    ranking: list[int] = Field(
        default=[],
        description="Places of the rows from 0, the best first, only where `rank` asks for it; none of a "
        "model of more than two classes.",
        json_schema_extra=without_default,
    )


class PredictResponse(RootModel[Prediction | Predictions]):
    """The answer to `features`, or the answers to `rows`."""


class Predicted(NamedTuple):
    """What came of a call for one user: n answers by one model.

    Attributes:
        ids: of each row, for feedback.
    """

    ids: list[str]
    model: Model
    assigned: Model
    reason: str
    metadata: Metadata
    answers: list[Answer]

    def who(self) -> dict[str, str]:
        """The fields of `Answered` behind the request's id."""
        return {
            "model": self.model,
            "assigned": self.assigned,
            "reason": self.reason,
            "model_name": self.metadata.name,
            "model_version": self.metadata.version,
        }


class Predictor:
    """Predicts on `parts`, by whatever protocol a request came."""

    def __init__(self, parts: Parts) -> None:
        self._assigner, self._memory = parts.assigner, parts.memory
        self._metrics, self._users, self._log = parts.metrics, parts.users, parts.log
        self._segments = parts.segments
        spans = parts.spans
        self._assign = spans.of_flag(parts.assigner.assign, parts.log.user_key)
        self._champion = spans.of_model(Model.CHAMPION, _champion)
        self._challenger = spans.of_model(Model.CHALLENGER, _challenger)
        self._with_features = parts.settings.log_features

    def predict(  # noqa: PLR0913, PLR0917 - what a request is
        self,
        lineup: Lineup,
        user_id: str,
        rows: Row,
        context: dict[str, str],
        ids: Sequence[str],
        until: float = math.inf,
    ) -> Predicted:
        """The answers to `rows`, all by the model that the flag wants for this user.

        When the challenger fails or is late for one row, the champion answers all of them.

        Args:
            lineup: that served when the request began; it keeps to it.
            rows: as the interface of its models has them, shape (n, features).
            ids: of each row. What the service has made gets the assignment into it.
            until: moment by the monotonic clock, until when the challenger may be asked.

        Raises:
            InvalidAnswerError: the champion has no finite answer.
            Exception: whatever else the champion raises; there is nobody to fall back on.
        """
        assigned, why = self._assign(user_id, context)
        self._metrics.assignments.labels(assigned, why).inc()
        bucket = self._assigner.bucket(user_id, context)
        told, made = Assigned(assigned, bucket), g.made_request_id
        count = partial(self._count, user_id, bucket, context)
        ids = [self._memory.remember(each, made, user_id, told) for each in ids]
        start = time.perf_counter()
        model, reason, answers = Model.CHAMPION, str(why), None
        form = lineup.models.interface
        taken = shown = rows if form.is_one else form.of_champion(rows)
        if assigned is Model.CHALLENGER:
            theirs = rows if form.is_one else form.of_challenger(rows)
            said = self._challenger(lineup, theirs, until) if lineup.challenger else Failure("no_challenger")
            if isinstance(said, Failure):
                reason = f"fallback_{said.reason}"
                if said.reason in CHALLENGER_FAILURES:  # otherwise it was not called
                    count(Model.CHALLENGER, bad=True)
            elif theirs is not None:
                model, answers, shown = Model.CHALLENGER, said, theirs
                count(Model.CHALLENGER, bad=False)
        if answers is None:
            try:
                answers, took = self._ask_champion(lineup, taken)
            except Exception:
                count(Model.CHAMPION, bad=True)
                raise
            count(Model.CHAMPION, bad=False)
            # A canary's user is not shadowed: the challenger has been asked already.
            if assigned is Model.CHAMPION and lineup.shadow and self._assigner.shadowed(user_id, context):
                now, each = time.time(), took / len(answers)
                samples = [
                    Sample(of, now, user_id, context, taken, answer, each)
                    for of, answer in zip(ids, answers, strict=True)
                ]
                self._offer(lineup.shadow, rows if form.is_one else form.of_challenger(rows), samples)
        seconds = round(time.perf_counter() - start, 6)
        predicted = Predicted(ids, model, assigned, reason, lineup.models.metadata[model], answers)
        self._record(predicted, user_id, shown, context, seconds)
        return predicted

    def _count(
        self, user_id: str, bucket: int, context: Mapping[str, str], model: Model, *, bad: bool
    ) -> None:
        """Count a call by user, and by segment where there are any."""
        failed = self._users.count(model, user_id, bucket, bad=bad)
        if self._segments.listed:
            self._segments.count(model, context, bucket, bad=bad, failed=failed)

    def _offer(self, shadow: Shadow, rows: Row | None, samples: list[Sample]) -> None:
        """Let the challenger see copies of what the champion answered."""
        if rows is None:
            shadow.lack(len(samples))
            return
        for at, sample in enumerate(samples):
            shadow.offer(sample._replace(row=rows[at : at + 1]))

    def _record(
        self, predicted: Predicted, user_id: str, rows: Row, context: dict[str, str], seconds: float
    ) -> None:
        """Count the answers that reach a user, and log one record for each."""
        ids, model, assigned, reason, metadata, answers = predicted
        user, trace = self._log.user_key(user_id), g.trace_id
        for at, answer in enumerate(answers):
            self._metrics.answered(model, answer)
            record: dict[str, Any] = {
                "kind": "prediction",
                "request_id": ids[at],
                "user": user,
                "context": context,
                "assigned": assigned,
                "model": model,
                "reason": reason,
                "model_name": metadata.name,
                "model_version": metadata.version,
                "prediction": answer.label,
                "class_name": answer.class_name,
                "probability": answer.probability,
                "seconds": seconds,
            }
            if answer.more:
                record["outputs"] = answer.by_name(metadata)
            if trace:
                record["trace_id"] = trace
            if self._with_features:
                record["features"] = rows[at].tolist()
            self._log.record(record)

    def _ask_champion(self, lineup: Lineup, rows: Row) -> tuple[list[Answer], float]:
        """The champion's answers, and the seconds that they took together. Raises as `predict`."""
        self._metrics.calls.labels(Model.CHAMPION).inc()
        start = time.perf_counter()
        try:
            answers = self._champion(lineup, rows)
        except Exception as error:
            reason = (
                "invalid" if isinstance(error, InvalidAnswerError) else getattr(error, "reason", "exception")
            )
            self._metrics.errors.labels(Model.CHAMPION, reason).inc()
            self._metrics.latency.labels(Model.CHAMPION).observe(time.perf_counter() - start)
            raise
        seconds = time.perf_counter() - start
        self._metrics.latency.labels(Model.CHAMPION).observe(seconds)
        return answers, seconds


def _champion(lineup: Lineup, rows: Row) -> list[Answer]:
    return lineup.models.champion.answers(rows)


def _challenger(lineup: Lineup, rows: Row | None, until: float) -> list[Answer] | Failure:
    if lineup.challenger is None:
        return Failure("no_challenger")
    return lineup.challenger.lack() if rows is None else lineup.challenger.ask(rows, until)


def blueprint(parts: Parts, spec: SpecTree) -> Blueprint:
    """The prediction route on `parts`."""
    routes = Blueprint("predict", __name__)
    reloader, most = parts.reloader, parts.settings.max_rows
    predictor = Predictor(parts)

    @routes.post("/predict")
    @spec.validate(
        json=schema_of(reloader.lineup.models.interface, most),
        resp=responses(PredictResponse, 400, 413, 415, 422, 503),
        tags=["predict"],
        skip_validation=True,
    )
    def predict() -> Response:
        """Predict for a user, from the `features` of one row, or from several `rows`.

        The flag decides by `user_id` (and `context`) whether the champion or the challenger answers. When the
        challenger fails or is late, the champion answers, and `reason` says so.
        """
        lineup = reloader.lineup  # models may change meanwhile; a request keeps those that it began with
        form = lineup.models.interface
        asked: Request = request._get_current_object()  # type: ignore[attr-defined] # each use of the proxy costs
        user_id, rows, context, is_one, top_k, rank = parse(asked, schema_of(form, most), form.metadata)
        request_id = g.request_id
        ids = [request_id] if is_one else row_ids(len(rows))
        said = predictor.predict(lineup, user_id, rows, context, ids)
        if is_one:
            request_id = g.request_id = said.ids[0]
        body: dict[str, Any] = {"request_id": request_id} | said.who()
        each = [told(answer, said.metadata, top_k) for answer in said.answers]
        if is_one:
            body |= each[0]
        else:
            body["predictions"] = [{"request_id": of} | row for of, row in zip(said.ids, each, strict=True)]
            if rank:
                body["ranking"] = ranking(said.answers)
        return Response(orjson.dumps(body), content_type="application/json")

    return routes


def told(answer: Answer, metadata: Metadata, top_k: int) -> dict[str, Any]:
    """An answer as its row of the response has it."""
    row: dict[str, Any] = {
        "prediction": answer.label,
        "class_name": answer.class_name,
        "probability": answer.probability,
    }
    if top_k:
        row["top"] = top(answer, metadata, top_k)
    if answer.more:
        row["outputs"] = answer.by_name(metadata)
        if top_k:
            answers = zip(row["outputs"].values(), (answer, *answer.more), metadata.questions, strict=True)
            for output, each, asked in answers:
                output["top"] = top(each, asked, top_k)
    return row


def top(answer: Answer, metadata: Question, most: int) -> list[dict[str, Any]]:
    """The most probable classes of an answer, the first first; none of a regressor."""
    ranked = sorted(
        zip(answer.probabilities or (), metadata.classes, strict=False), key=lambda each: -each[0]
    )
    return [
        {"prediction": each.label, "class_name": each.name, "probability": min(max(sure, 0.0), 1.0)}
        for sure, each in ranked[:most]
    ]


def ranking(answers: list[Answer]) -> list[int]:
    """Places of the answers, the best first: by value, or by the probability of the second of two classes."""
    if any(len(each.probabilities or ()) > 2 for each in answers):
        return []
    scores = [each.probabilities[1] if each.probabilities else float(each.label) for each in answers]
    return sorted(range(len(scores)), key=scores.__getitem__, reverse=True)


def row_ids(rows: int) -> list[str]:
    """Ids of this request's rows: its own with their number behind."""
    return [f"{g.request_id}.{at}" for at in range(rows)]
