"""Models as engineers may have them, each as a function that `./canario export` can be given."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris, load_wine, make_classification
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, PolynomialFeatures, StandardScaler
from sklearn.svm import LinearSVC

Brought = tuple[Any, Any]


def iris() -> Brought:
    """Three classes, labels 0 to 2, rows in an array."""
    data = load_iris()
    return make_pipeline(RandomForestClassifier(30, random_state=0)).fit(data.data, data.target), data.data


def wine() -> Brought:
    """Three classes, labels that are strings, features of a DataFrame, a search around the pipeline."""
    data = load_wine(as_frame=True)
    labels = np.array(["barolo", "grignolino", "barbera"])[data.target]
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    return GridSearchCV(pipeline, {"logisticregression__C": [0.1, 1.0]}, cv=2).fit(
        data.data, labels
    ), data.data


def fraud() -> Brought:
    """A rare class that is chosen from a low probability on."""
    rows, labels = make_classification(600, 4, n_redundant=0, weights=[0.9], random_state=1)
    frame = pd.DataFrame(rows.astype(np.float32), columns=["amount", "hour", "age", "visits"])
    tuned = TunedThresholdClassifierCV(LogisticRegression(), scoring="balanced_accuracy")
    return tuned.fit(frame, np.where(labels, "fraud", "fine")), frame


def diabetes() -> Brought:
    """A regressor."""
    data = load_diabetes(as_frame=True)
    return make_pipeline(StandardScaler(), Ridge()).fit(data.data, data.target), data.data


def diabetes_forest() -> Brought:
    """A challenger of the above."""
    data = load_diabetes(as_frame=True)
    return RandomForestRegressor(30, random_state=0).fit(data.data, data.target), data.data


def squares() -> Brought:
    """A regressor for which large numbers are too large."""
    data = load_diabetes(as_frame=True)
    return make_pipeline(PolynomialFeatures(2), Ridge()).fit(data.data, data.target), data.data


def _customers(rows: int = 200) -> tuple[pd.DataFrame, Any]:
    random = np.random.default_rng(0)
    plan = random.choice(["free", "plus", "größer"], rows)
    frame = pd.DataFrame(
        {
            "months as customer": random.normal(20, 5, rows),
            "plan": plan,
            "label": random.choice(["web", "shop"], rows),  # the name that skl2onnx gives an output
            "vip": random.random(rows) > 0.5,
            "visits": random.integers(0, 9, rows),
        }
    )
    leaves = (plan == "free") & (frame["visits"].to_numpy() < 5)
    return frame, np.where(leaves, "leaves", "stays")


def churn(encoder: Any = None) -> Brought:
    """Numbers and strings, by name."""
    frame, labels = _customers()
    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), ["months as customer", "visits"]),
            ("strings", encoder or OneHotEncoder(handle_unknown="ignore"), ["plan", "label"]),
        ],
        remainder="passthrough",
    )
    return make_pipeline(columns, LogisticRegression()).fit(frame, labels), frame


def churn_with_gaps() -> Brought:
    """Numbers that may be missing beside strings."""
    frame, labels = _customers()
    frame = frame.assign(visits=frame["visits"].astype(float))
    frame.loc[::7, "visits"] = np.nan
    frame.loc[::5, "months as customer"] = np.nan
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    columns = ColumnTransformer(
        [
            ("numbers", numbers, ["months as customer", "visits"]),
            ("strings", OneHotEncoder(handle_unknown="ignore"), ["plan", "label"]),
        ],
        remainder="passthrough",
    )
    return make_pipeline(columns, LogisticRegression()).fit(frame, labels), frame


def diabetes_with_gaps() -> Brought:
    """A regressor behind an imputer, its rows in one tensor."""
    data = load_diabetes(as_frame=True)
    rows = data.data.copy()
    rows.loc[::4, "bmi"] = np.nan
    rows.loc[::6, "bp"] = np.nan
    return make_pipeline(SimpleImputer(strategy="median"), Ridge()).fit(rows, data.target), rows


def churn_by_number() -> Brought:
    """A challenger of the above that has another encoder."""
    return churn(OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1))


def words() -> Brought:
    """Strings alone, in an array."""
    frame, labels = _customers()
    rows = frame[["plan", "label"]].to_numpy(dtype=object)
    return make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()).fit(rows, labels), rows


def wide(columns: int) -> Brought:
    """So many strings."""
    frame, labels = _customers(50)
    rows = pd.DataFrame({f"f{at}": np.roll(frame["plan"], at) for at in range(columns)})
    return make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()).fit(rows, labels), rows


# What the export refuses:


def strict_encoder() -> Brought:
    return churn(OneHotEncoder())


def unfitted() -> Brought:
    return make_pipeline(StandardScaler(), LogisticRegression()), [[1.0]]


def no_probabilities() -> Brought:
    data = load_iris(as_frame=True)
    return LinearSVC().fit(data.data, data.target), data.data


def no_converter() -> Brought:
    frame, labels = _customers()
    pipeline = Pipeline([("mine", _Mine()), ("logistic", LogisticRegression())])
    return pipeline.fit(frame[["visits"]], labels), frame[["visits"]]


class _Mine(StandardScaler):
    """A step that skl2onnx does not know."""


def gaps() -> Brought:
    fitted, frame = churn()
    frame = frame.copy()
    frame.loc[3, "visits"] = np.nan
    return fitted, frame


def nameless() -> Brought:
    fitted, frame = churn()
    frame = frame.copy()
    frame.loc[3, "plan"] = None
    return fitted, frame


def empty() -> Brought:
    fitted, frame = churn()
    return fitted, frame.assign(visits=np.nan)


def endless() -> Brought:
    fitted, frame = churn()
    return fitted, frame.assign(visits=np.inf)


def dates() -> Brought:
    fitted, frame = churn()
    return fitted, frame.assign(visits=pd.Timestamp("2026-11-23"))


def no_rows() -> Brought:
    fitted, frame = churn()
    return fitted, frame.head(0)


def two_values() -> Brought:
    data = load_diabetes()
    return Ridge().fit(data.data, np.stack([data.target, data.target], axis=1)), data.data


def two_questions() -> Brought:
    data = load_iris()
    fitted = RandomForestClassifier(3).fit(data.data, np.stack([data.target, data.target], axis=1))
    return fitted, data.data


def only_a_model() -> Any:
    return churn()[0]


def no_model() -> Brought:
    return "a model", [[1.0]]


def raises() -> Brought:
    raise RuntimeError("no such table")
