"""Shadow: pairs of answers beside the requests, right, counted, and never at a request's cost."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from flask.testing import FlaskClient
from sklearn.datasets import load_breast_cancer

from common.names import Metric, Model
from service.challenger.launcher import WorkerSpec
from service.challenger.pool import NoReplyError
from service.challenger.process import SupervisedWorker
from service.challenger.protocol import Outcome, Reply, largest_call, pack_call, rows_in_a_packet, unpack_call
from service.challenger.shadow import Ask, Sample
from service.metrics.models import DROPS
from service.models.artifact import LONGEST_STRING, ClassLabel, Feature, FeatureType, Metadata, load_artifact
from service.models.onnx_model import Answer, OnnxModel, Row, array_of
from service.settings import Settings
from tests.unit.service.challenger_process import child_of_this_process, drill
from tests.unit.service.conftest import ROW, flag, rollout
from tests.unit.service.series import sample as series
from tests.unit.service.shadow_bench import Bench
from tests.unit.waiting import never, until

Start = Callable[..., FlaskClient]
DATA = load_breast_cancer().data.astype(np.float32)


@pytest.fixture(scope="module")
def loaded(models: dict[Model, Path]) -> dict[Model, OnnxModel]:
    return {role: OnnxModel(load_artifact(folder)) for role, folder in models.items()}


@pytest.fixture(scope="module")
def metadata(loaded: dict[Model, OnnxModel]) -> dict[Model, Metadata]:
    return {role: model.metadata for role, model in loaded.items()}


def sample_of(number: int, row: Row, answer: Answer) -> Sample:
    return Sample(f"r{number}", 1_700_000_000.5, f"u{number}", {"country": "NO"}, row, answer, 0.001)


@pytest.fixture
def samples(loaded: dict[Model, OnnxModel]) -> list[Sample]:
    rows = [DATA[index : index + 1] for index in range(300)]
    return [sample_of(number, row, loaded[Model.CHAMPION].answer(row)) for number, row in enumerate(rows)]


def answering(model: OnnxModel, sizes: list[int] | None = None) -> Ask:
    """The model itself, in this process."""

    def ask(rows: Row, _deadline: float) -> Reply:
        if sizes is not None:
            sizes.append(len(rows))
        return Reply(Outcome.ANSWERED, 0.0001 * len(rows), model.numbers(rows).tobytes())

    return ask


def test_pairs_are_those_of_the_models_asked_directly(
    loaded: dict[Model, OnnxModel], metadata: dict[Model, Metadata], samples: list[Sample]
) -> None:
    sizes: list[int] = []
    bench = Bench(answering(loaded[Model.CHALLENGER], sizes), metadata)
    bench.offer(samples)
    bench.shadow.start()
    bench.shadow.close()
    direct = [loaded[Model.CHALLENGER].answer(each.row) for each in samples]
    assert [each["request_id"] for each in bench.records] == [each.request_id for each in samples]
    for record, each, answer in zip(bench.records, samples, direct, strict=True):
        assert record["challenger"]["class_name"] == answer.class_name
        assert record["challenger"]["prediction"] == answer.label
        assert record["challenger"]["probability"] == pytest.approx(answer.probability, abs=1e-6)
        assert record["agree"] is (answer.class_name == each.answer.class_name)
    agreements = sum(
        answer.class_name == each.answer.class_name for answer, each in zip(direct, samples, strict=True)
    )
    assert 0 < agreements < len(samples)
    assert bench.count(Metric.SHADOW_SAMPLES) == len(samples)
    assert bench.count(Metric.SHADOW_AGREEMENTS) == agreements
    assert sizes == [1, 64, 64, 64, 64, 43]  # the first tells how fast the model is


def test_a_thread_that_fails_begins_again(
    loaded: dict[Model, OnnxModel],
    metadata: dict[Model, Metadata],
    samples: list[Sample],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.challenger.shadow.AGAIN_SECONDS", 0.01)
    bench = Bench(answering(loaded[Model.CHALLENGER]), metadata)
    fails_once = Mock(side_effect=[ValueError("a bug"), *[None] * 1000])
    monkeypatch.setattr(bench.metrics.queue, "set", fails_once)
    bench.shadow.start()
    bench.offer(samples[:5])

    def one_more() -> bool:
        bench.offer(samples[5:6])
        return bench.count(Metric.SHADOW_SAMPLES) > 5

    until(one_more)
    bench.shadow.close()


def test_a_record_has_both_answers(
    loaded: dict[Model, OnnxModel], metadata: dict[Model, Metadata], samples: list[Sample]
) -> None:
    bench = Bench(answering(loaded[Model.CHALLENGER]), metadata)
    bench.offer(samples[:1])
    bench.shadow.start()
    bench.shadow.close()
    (record,) = bench.records
    challenger = record.pop("challenger")
    assert record == {
        "kind": "shadow",
        "request_id": "r0",
        "time": "2023-11-14T22:13:20.500Z",
        "user": "key-of-u0",
        "context": {"country": "NO"},
        "champion": {
            "name": "breast-cancer-logistic-regression",
            "version": "1",
            "class_name": "malignant",
            "prediction": 0,
            "probability": samples[0].answer.probability,
            "seconds": 0.001,
        },
        "agree": True,
        "error": None,
    }
    assert set(challenger) == {"name", "version", "class_name", "prediction", "probability", "seconds"}
    assert challenger["seconds"] == pytest.approx(0.0001)
    json.dumps(bench.records)  # plain numbers, none of numpy's


def test_a_full_queue_drops_and_counts_and_nobody_waits(
    loaded: dict[Model, OnnxModel], metadata: dict[Model, Metadata], samples: list[Sample]
) -> None:
    asked, gate = threading.Event(), threading.Event()
    answer = answering(loaded[Model.CHALLENGER])

    def stuck(rows: Row, deadline: float) -> Reply:
        asked.set()
        gate.wait(10)
        return answer(rows, deadline)

    bench = Bench(stuck, metadata, queue=50, linger_seconds=0.0)
    bench.shadow.start()
    bench.offer(samples[:1])
    assert asked.wait(10)  # the thread now waits for the challenger with this sample
    begun = time.perf_counter()
    bench.offer(samples)
    assert time.perf_counter() - begun < 2
    assert bench.count(Metric.SHADOW_DROPS, reason="full") == 250
    gate.set()
    bench.shadow.close()
    assert bench.count(Metric.SHADOW_SAMPLES) == 51
    assert len(bench.records) == 51


def test_what_cannot_be_drained_in_time_is_dropped_and_counted(
    metadata: dict[Model, Metadata], samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.challenger.shadow.DRAIN_SECONDS", 0.2)

    def slow(_rows: Row, deadline: float) -> Reply:
        time.sleep(deadline)  # as long as a challenger may take
        raise NoReplyError("timeout")

    bench = Bench(slow, metadata, linger_seconds=5.0)
    bench.shadow.start()
    bench.offer(samples)
    begun = time.perf_counter()
    bench.shadow.close()
    assert time.perf_counter() - begun < 3
    assert bench.count(Metric.SHADOW_ERRORS, reason="timeout") == 1
    assert bench.count(Metric.SHADOW_DROPS, reason="stopped") == len(samples) - 1


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(Outcome.RAISED, 0.1, b"ValueError: no"), "exception"),
        (Reply(Outcome.ANSWERED, 0.1, b"123"), "invalid"),
        (Reply(Outcome.ANSWERED, 0.1, np.zeros(4, dtype=np.float32).tobytes()), "invalid"),
        (Reply(Outcome.ANSWERED, 0.1, np.full(3, np.nan, dtype=np.float32).tobytes()), "invalid"),
        ("timeout", "timeout"),
        ("crash", "crash"),
    ],
)
def test_a_failure_is_recorded_as_one(
    metadata: dict[Model, Metadata], samples: list[Sample], reply: Reply | str, reason: str
) -> None:
    def ask(_rows: Row, _deadline: float) -> Reply:
        if isinstance(reply, str):
            raise NoReplyError(reply)
        return reply

    bench = Bench(ask, metadata)
    bench.offer(samples[:1])
    bench.shadow.start()
    bench.shadow.close()
    assert bench.count(Metric.SHADOW_ERRORS, reason=reason) == 1
    assert bench.count(Metric.SHADOW_SAMPLES) == 0
    (record,) = bench.records
    assert (record["agree"], record["error"]) == (None, reason)
    assert record["champion"]["class_name"] == "malignant"
    assert record["challenger"]["class_name"] is None


def test_a_guest_that_is_down_costs_samples_and_no_records(
    metadata: dict[Model, Metadata], samples: list[Sample]
) -> None:
    def down(_rows: Row, _deadline: float) -> Reply:
        raise NoReplyError("down")

    bench = Bench(down, metadata)
    bench.offer(samples[:10])
    bench.shadow.start()
    bench.shadow.close()
    assert bench.count(Metric.SHADOW_DROPS, reason="down") == 10
    assert bench.records == []


def test_batches_of_a_slow_model_are_small(metadata: dict[Model, Metadata], samples: list[Sample]) -> None:
    sizes: list[int] = []

    def slow(rows: Row, _deadline: float) -> Reply:
        sizes.append(len(rows))
        return Reply(Outcome.ANSWERED, 0.05 * len(rows), np.ones(3 * len(rows), np.float32).tobytes())

    bench = Bench(slow, metadata)
    bench.offer(samples[:21])
    bench.shadow.start()
    bench.shadow.close()
    assert sizes == [1, 5, 5, 5, 5]  # 0.25 s by 0.05 s


def test_samples_wait_for_each_other(
    loaded: dict[Model, OnnxModel], metadata: dict[Model, Metadata], samples: list[Sample]
) -> None:
    sizes: list[int] = []
    bench = Bench(answering(loaded[Model.CHALLENGER], sizes), metadata, linger_seconds=0.3)
    bench.shadow.start()
    bench.shadow.offer(samples[0])
    until(lambda: len(bench.records) == 1)
    bench.offer(samples[1:10])
    never(lambda: len(sizes) > 1, 0.05)  # though the thread could ask
    bench.offer(samples[10:20])
    until(lambda: len(bench.records) == 20)
    assert sizes == [1, 19]
    bench.shadow.close()


def test_the_longest_batch_fits_into_a_packet(
    worker: tuple[SupervisedWorker, list[float]], spec: WorkerSpec, loaded: dict[Model, OnnxModel]
) -> None:
    rows = np.resize(DATA, (spec.batch_rows, 30))
    reply = worker[0].call_batch(rows, 5.0)
    assert spec.batch_rows > 800
    expected = loaded[Model.CHALLENGER].numbers(rows)
    np.testing.assert_allclose(reply.numbers.reshape(-1, 3), expected, atol=1e-6)


def made_of(types: list[FeatureType], classes: int) -> Metadata:
    """Not validated: a model may have 1,000 classes at most, and the limit must hold for more."""
    return Metadata.model_construct(
        format=2,
        name="m",
        version="1",
        task="classification",
        sha256="0" * 64,
        features=[
            Feature(name=str(at), type=each, example=0 if each == "number" else "")
            for at, each in enumerate(types)
        ],
        classes=[ClassLabel(label=at, name=str(at)) for at in range(classes)],
    )


def test_batches_of_strings_stay_below_it_too() -> None:
    strings: list[FeatureType] = ["string"] * 3
    metadata = made_of([*strings, "number"], 2)
    rows = rows_in_a_packet(metadata)
    longest = [["\x01" * LONGEST_STRING] * 3 + [-1.2345678901234567e-30]] * rows
    packet = pack_call(7, array_of(longest, metadata))
    assert rows > 1
    assert len(packet) <= largest_call(metadata, rows)
    call_id, found = unpack_call(packet, metadata)
    assert (call_id, found.tolist()) == (7, longest)


@pytest.mark.parametrize(("features", "classes"), [(1, 2), (30, 2), (2, 5000), (10_000, 2), (10_000, 10_000)])
def test_batches_stay_below_what_a_socket_takes(features: int, classes: int) -> None:
    rows = rows_in_a_packet(made_of(["number"] * features, classes))
    assert rows >= 1
    assert 4 * rows * max(features, classes) < 200_000


def test_a_batch_that_hangs_takes_no_users_channel_and_is_no_late_call(
    worker: tuple[SupervisedWorker, list[float]], spec: WorkerSpec
) -> None:
    assert spec.drill_file is not None
    made, late = worker
    pid = child_of_this_process().pid
    spec.drill_file.write_text('{"kind": "hang"}', encoding="utf-8")
    with pytest.raises(NoReplyError, match="timeout"):
        made.call_batch(DATA[:5], 0.05)
    with pytest.raises(NoReplyError, match="busy"):
        made.call_batch(DATA[:5], 0.05)
    spec.drill_file.write_text('{"kind": "none"}', encoding="utf-8")
    assert made.call(DATA[:1], 0.2).outcome is Outcome.ANSWERED
    spec.drill_file.unlink()

    def answers() -> bool:
        try:
            return made.call_batch(DATA[:5], 1.0).outcome is Outcome.ANSWERED
        except NoReplyError:
            return False

    until(answers)
    assert child_of_this_process().pid != pid  # the one that hung was ended
    assert late == []


def post(client: FlaskClient, number: int = 1) -> list[dict[str, Any]]:
    answers = []
    for index in range(number):
        response = client.post("/predict", json={"user_id": f"u{index}", "features": ROW})
        assert response.status_code == 200
        answers.append(response.get_json())
    return answers


def shadow(percent: int) -> dict[str, Any]:
    return flag(rollout(percent), name="shadow")


def test_the_service_shows_the_challenger_what_the_champion_answered(start: Start) -> None:
    client = start(flag(rollout(0)), shadow(100))
    assert {answer["model"] for answer in post(client, 20)} == {"champion"}
    until(lambda: series(client, Metric.SHADOW_SAMPLES) == 20)
    assert series(client, f"{Metric.SHADOW_LATENCY}_count") >= 1
    assert series(client, Metric.CALLS, model="challenger") == 0
    assert series(client, f"{Metric.LATENCY}_count", model="challenger") == 0


def test_a_canary_user_is_not_shadowed(start: Start) -> None:
    client = start(flag(rollout(100)), shadow(100))
    assert post(client)[0]["model"] == "challenger"
    client.application.extensions["canario"].reloader.lineup.shadow.close()
    assert series(client, Metric.SHADOW_SAMPLES) == 0


@pytest.mark.parametrize("known", [[flag(rollout(0))], [flag(rollout(0)), shadow(0)]])
def test_without_shadow_nothing_is_offered(
    start: Start, known: list[dict[str, Any]], models: dict[Model, Path]
) -> None:
    client = start(*known, challenger=models[Model.CHALLENGER])
    post(client, 3)
    client.application.extensions["canario"].reloader.lineup.shadow.close()
    assert series(client, Metric.SHADOW_SAMPLES) == 0
    assert series(client, Metric.SHADOW_DROPS, reason="full") == 0


def test_a_graceful_stop_works_off_what_waits(start: Start) -> None:
    client = start(flag(rollout(0)), shadow(100), shadow_linger_ms=10_000)
    post(client, 30)
    assert series(client, Metric.SHADOW_SAMPLES) == 0
    client.application.extensions["canario"].close()
    assert series(client, Metric.SHADOW_SAMPLES) == 30


@pytest.mark.parametrize("kind", ["segfault", "exception", "nan", "shape", "hang"])
def test_a_fault_in_shadow_is_none_of_the_canary(start: Start, settings: Settings, kind: str) -> None:
    client = start(flag(rollout(0)), shadow(100), guest_hang_seconds=0.5)
    drill(settings, kind=kind)
    assert {answer["model"] for answer in post(client, 5)} == {"champion"}
    reason = {"segfault": "crash", "hang": "timeout", "exception": "exception"}.get(kind, "invalid")

    def seen() -> float:
        return series(client, Metric.SHADOW_ERRORS, reason=reason)

    until(lambda: seen() >= 1)
    # The others come upon the end of the process, or find the channel taken until then.
    until(lambda: seen() + sum(series(client, Metric.SHADOW_DROPS, reason=each) for each in DROPS) == 5)
    assert series(client, Metric.SHADOW_SAMPLES) == 0
    assert series(client, Metric.CALLS, model="challenger") == 0
    assert all(
        series(client, Metric.ERRORS, model="challenger", reason=each) == 0
        for each in ("timeout", "exception", "invalid", "crash", "down", "open", "busy")
    )
