"""Models of the issues of test_known_conversions.py, in the venv of boosting; prints what came of them."""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import pandas as pd
import xgboost

from service.export import convert, export, pipeline
from service.models.artifact import ArtifactError
from service.models.onnx_model import OnnxModel, array_of

RANDOM = np.random.default_rng(0)
WHOLE = pd.DataFrame({name: RANDOM.integers(0, 8, 2000).astype(float) for name in "abcd"})
WHOLE["amount"] = RANDOM.choice([0.0, 100, 250, 500, 1000], 2000)
LABELS = ((WHOLE["a"] > 3).astype(int) + (WHOLE["amount"] > 200) + (RANDOM.random(2000) < 0.3)) % 2
PRICES = 5000 + 100 * WHOLE["a"] + RANDOM.normal(size=2000)
Rows = pd.DataFrame
right = convert.convert


def exported(model: Any, rows: Rows, others: Rows) -> dict[str, Any]:
    """Whether it was exported, and how far its answers are from the model's on rows new to the gate."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            artifact = export(model, Path(folder), name="m", version="1", rows=rows)
        except ArtifactError as error:
            return {"refused": str(error)}
        served = OnnxModel(artifact)
        values = [array_of([row], artifact.metadata) for row in others.to_numpy().tolist()]
    numbers = np.stack([served.numbers(each)[0] for each in values])
    told = numbers[:, 1:] if artifact.metadata.classes else numbers
    expected = model.predict_proba(others) if artifact.metadata.classes else model.predict(others)[:, None]
    scale = max(1.0, float(np.abs(expected).max()))
    return {"refused": None, "furthest": float(np.abs(told - expected).max()) / scale}


def without_intercept(*args: Any) -> bytes:
    """A conversion that forgets what all trees start from, as before XGBoost 2 was supported."""
    model = onnx.load_model_from_string(right(*args))
    for node in model.graph.node:
        kept = [each for each in node.attribute if each.name != "base_values"]
        del node.attribute[:]
        node.attribute.extend(kept)
    return bytes(model.SerializeToString())


def xgboost_regressor() -> dict[str, Any]:
    """onnxmltools #672."""
    model = xgboost.XGBRegressor(n_estimators=20, n_jobs=1).fit(WHOLE, PRICES)
    found = {"now": exported(model, WHOLE[:400], WHOLE[1000:1400])}
    pipeline.convert = without_intercept  # type: ignore[attr-defined, assignment]
    found["as it was"] = exported(model, WHOLE[:400], WHOLE[1000:1400])
    pipeline.convert = right  # type: ignore[attr-defined]
    return found


def lightgbm_of_hours() -> dict[str, Any]:
    """onnxmltools #708: sines of hours that are the same in 32 bits, and not in the model's 64."""
    times = pd.date_range("2025-01-01", periods=30 * 24 * 12, freq="5min")
    used = np.select([times.hour == 8, times.hour == 12, times.hour == 14], [1, 2, 3], 0)
    circle = {"week": times.dayofweek / 7, "day": times.hour / 24, "hour": times.minute / 60}
    rows = pd.DataFrame(
        {f"{f.__name__} {name}": f(2 * np.pi * at) for name, at in circle.items() for f in (np.sin, np.cos)}
    )
    model = lightgbm.LGBMRegressor(verbose=-1, n_jobs=1).fit(rows, used * (times.dayofweek <= 4))
    return {"sines": exported(model, rows[-2000:], rows[:200])}


def lightgbm_of_whole_numbers() -> dict[str, Any]:
    """onnxmltools #728: whole numbers, many of them 0."""
    many = {"n_estimators": 40, "verbose": -1, "n_jobs": 1}
    plain = lightgbm.LGBMClassifier(**many)
    kinds: dict[str, Callable[[], Any]] = {
        "plain": lambda: plain.fit(WHOLE, LABELS),
        "zero is missing": lambda: lightgbm.LGBMClassifier(zero_as_missing=True, **many).fit(WHOLE, LABELS),
        "categories": lambda: plain.fit(WHOLE, LABELS, categorical_feature=[0, 1]),
        "linear": lambda: lightgbm.LGBMClassifier(linear_tree=True, **many).fit(WHOLE, LABELS),
    }
    zeros = WHOLE[1000:1400].where(RANDOM.random((400, 5)) > 0.3, 0.0)
    found = {name: exported(make(), WHOLE[:400], zeros) for name, make in kinds.items()}
    found["around 0"] = exported(plain.fit(WHOLE - 4, LABELS), WHOLE[:400] - 4, zeros - 4)
    return found


def rankers() -> dict[str, Any]:
    """Scores for an order, by both."""
    many: dict[str, Any] = {"n_estimators": 20, "n_jobs": 1}
    groups = np.repeat(np.arange(200), 10)
    kinds = {
        "lightgbm": lightgbm.LGBMRanker(verbose=-1, **many).fit(WHOLE, LABELS, group=np.full(200, 10)),
        "xgboost": xgboost.XGBRanker(**many).fit(WHOLE, LABELS, qid=groups),
    }
    return {name: exported(model, WHOLE[:400], WHOLE[1000:1400]) for name, model in kinds.items()}


if __name__ == "__main__":
    issues = {"672": xgboost_regressor, "708": lightgbm_of_hours, "728": lightgbm_of_whole_numbers}
    issues |= {"rankers": rankers}
    print(json.dumps(issues[sys.argv[1]]()))
