"""Trains models and lays them down as MLflow does, in the venv of boosting: `mlflow_models.py FOLDER`."""

import os
import pickle
import sys
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import skops.io
import xgboost
from sklearn.linear_model import LogisticRegression

FEATURES = ["amount", "hour", "age"]


class Evil:
    """Runs a command when it is loaded."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch evil-was-here",)


def main(folder: Path) -> None:
    """Write a folder with MLmodel for each, and rows.csv."""
    random = np.random.default_rng(0)
    rows = pd.DataFrame(random.normal(size=(400, 3)), columns=FEATURES)
    labels = (rows["amount"] + rows["hour"] + random.normal(size=400) > 0).astype(int)
    rows[200:].to_csv(folder / "rows.csv", index=False)
    linear = LogisticRegression().fit(rows, labels)
    trees = lightgbm.LGBMClassifier(n_estimators=10, verbose=-1, n_jobs=1).fit(rows, labels)
    boosted = xgboost.XGBClassifier(n_estimators=10, n_jobs=1).fit(rows, labels)
    logged = {
        "pickle": ("sklearn", "model.pkl", "pickled_model", "serialization_format: cloudpickle"),
        "skops": ("sklearn", "model.skops", "pickled_model", "serialization_format: skops"),
        "trees": ("lightgbm", "model.skops", "data", "serialization_format: skops"),
        "boosted": ("xgboost", "model.ubj", "data", "model_class: xgboost.sklearn.XGBClassifier"),
        "evil": ("sklearn", "model.pkl", "pickled_model", "serialization_format: pickle"),
        "strange": ("xgboost", "model.ubj", "data", "model_class: os.system"),
    }
    for name, (flavour, file, key, more) in logged.items():
        made = folder / name
        made.mkdir()
        text = f"flavors:\n  {flavour}:\n    {key}: {file}\n    {more}\n"
        (made / "MLmodel").write_text(text, encoding="utf-8")
    (folder / "pickle" / "model.pkl").write_bytes(pickle.dumps(linear))
    (folder / "evil" / "model.pkl").write_bytes(pickle.dumps(Evil()))
    skops.io.dump(linear, folder / "skops" / "model.skops")
    skops.io.dump(trees, folder / "trees" / "model.skops")
    boosted.save_model(folder / "boosted" / "model.ubj")
    boosted.save_model(folder / "strange" / "model.ubj")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
