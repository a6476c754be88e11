"""What each step of a request costs, in microseconds: where the next one who wants speed should look.

Each step runs alone in this process, with the parts of a real service that has its flags from disk; metrics
are counted in files shared by workers, as in production.
"""

import json
import logging
import os
import tempfile
import timeit
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from flask import Flask, request

from common.names import Model
from drills.load import BODY
from service.assignment.assigner import Assigner
from service.assignment.sdk import FlagCache
from service.feedback.memory import Assigned
from service.settings import Settings

REPEATS = 5
NOBODY = "http://127.0.0.1:9"
TOKEN = "default:production.bench"  # noqa: S105 - for nobody


def measure(champion: Path, challenger: Path) -> dict[str, float]:
    """Microseconds of each step, the best of REPEATS."""
    with tempfile.TemporaryDirectory(prefix="canario-steps-") as folder, _counting_in(Path(folder)):
        from service.app import close, create_app  # noqa: PLC0415 - prometheus_client looks at the environment

        settings = Settings.model_validate(
            {
                "champion": champion,
                "challenger": challenger,
                "unleash_url": NOBODY,
                "unleash_sdk_token": TOKEN,
                "state_dir": Path(folder),
            }
        )
        keep_flags(settings, canary=25, shadow=100)
        app = create_app(settings)
        logging.disable(logging.CRITICAL)  # there is no Unleash, and it need not be said
        try:
            return {name: _microseconds(step) for name, step in _steps(app)}
        finally:
            close(app)
            logging.disable(logging.NOTSET)


def _steps(app: Flask) -> Iterator[tuple[str, Callable[[], object]]]:
    from service.api.openapi import request_for  # noqa: PLC0415
    from service.api.request import parse  # noqa: PLC0415

    parts = app.extensions["canario"]
    body = BODY.read_bytes()
    lineup = parts.reloader.lineup
    champion = lineup.models.champion
    metadata = champion.metadata
    schema = request_for(metadata, 100)
    call: dict[str, Any] = {
        "path": "/predict",
        "method": "POST",
        "data": body,
        "content_type": "application/json",
    }
    client = app.test_client()
    with app.test_request_context(**call):
        request.get_data()  # kept, so that it can be parsed again and again
        parsed = parse(request, schema, metadata)
        yield "whole request, in Flask's test client", lambda: client.open(**call)
        yield "parse and validate the body", lambda: parse(request, schema, metadata)
    assigner: Assigner = parts.assigner
    metrics = parts.metrics
    (answer,) = champion.answers(parsed.rows)
    record = {
        "kind": "prediction",
        "request_id": "id",
        "context": parsed.context,
        "assigned": Model.CHAMPION,
        "model": Model.CHAMPION,
        "reason": "flag_off",
        "model_name": metadata.name,
        "model_version": metadata.version,
        "prediction": answer.label,
        "class_name": answer.class_name,
        "probability": answer.probability,
        "seconds": 0.000123,
    }
    yield "ask the flag", lambda: assigner.assign("user", {"country": "NO"})
    yield "ask the shadow flag at 100%", lambda: assigner.shadowed("user", {"country": "NO"})
    yield "champion", lambda: champion.answers(parsed.rows)
    yield "challenger, in its process", lambda: lineup.challenger.ask(parsed.rows)
    yield (
        "make and remember the request id",
        lambda: parts.memory.remember("id", True, "user", Assigned(Model.CHAMPION, 1)),
    )

    def count() -> None:
        metrics.assignments.labels(Model.CHAMPION, "flag_off").inc()
        metrics.calls.labels(Model.CHAMPION).inc()
        metrics.latency.labels(Model.CHAMPION).observe(0.001)
        metrics.predictions.labels(Model.CHAMPION, "benign").inc()

    yield "count it in the metrics", count
    yield "record it in the log", lambda: parts.log.record(record | {"user": parts.log.user_key("user")})
    yield (
        "serialise the answer",
        lambda: orjson.dumps({"request_id": "id", "model": "champion", "probability": 0.97}),
    )


def _microseconds(step: Callable[[], object]) -> float:
    timer = timeit.Timer(step)
    number, _ = timer.autorange()
    return 1e6 * min(timer.repeat(REPEATS, number)) / number


@contextmanager
def _counting_in(folder: Path) -> Iterator[None]:
    metrics = folder / "metrics"
    metrics.mkdir()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics)
    try:
        yield
    finally:
        del os.environ["PROMETHEUS_MULTIPROC_DIR"]


def keep_flags(settings: Settings, *, canary: int, shadow: int) -> None:
    """Leave flags of such shares where a former run would have left them."""

    def flag(name: str, percent: int) -> dict[str, object]:
        parameters = {"groupId": name, "rollout": str(percent), "stickiness": "userId"}
        strategy = {"name": "flexibleRollout", "constraints": [], "parameters": parameters, "variants": []}
        return {
            "name": name,
            "type": "release",
            "project": "default",
            "enabled": True,
            "strategies": [strategy],
        }

    cache = FlagCache(settings.state_dir, settings.unleash_url, TOKEN, lambda _: None)
    state = {"version": 2, "features": [flag("canary", canary), flag("shadow", shadow)]}
    cache.path.write_text(json.dumps(state), encoding="utf-8")
