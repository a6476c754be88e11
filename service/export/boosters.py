"""XGBoost, LightGBM and CatBoost, where they are installed (requirements-boosting.txt)."""

import sys
import tempfile
from pathlib import Path
from typing import Any

from onnx import ModelProto, load_model
from skl2onnx import update_registered_converter
from skl2onnx.common.shape_calculator import (
    calculate_linear_classifier_output_shapes,
    calculate_linear_regressor_output_shapes,
)

from service.models.artifact import ArtifactError

_OPTIONS = {"nocl": [True, False], "zipmap": [True, False, "columns"]}


def register() -> None:
    """Let skl2onnx convert what of XGBoost and LightGBM is imported, also inside a pipeline.

    Raises:
        ArtifactError: the converters are not installed.
    """
    for name in ("xgboost", "lightgbm"):
        if name not in sys.modules:  # then no model of it was brought
            continue
        try:
            (_xgboost if name == "xgboost" else _lightgbm)(sys.modules[name])
        except ModuleNotFoundError as error:
            raise ArtifactError(
                f"a model of {name} needs {error.name} for the export: "
                "pip install -r requirements-boosting.txt"
            ) from error


def _xgboost(module: Any) -> None:
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost  # noqa: PLC0415

    for kind in ("XGBClassifier", "XGBRFClassifier"):
        update_registered_converter(
            getattr(module, kind),
            f"XGBoost{kind}",
            calculate_linear_classifier_output_shapes,
            convert_xgboost,
            options=_OPTIONS,
        )
    for kind in ("XGBRegressor", "XGBRFRegressor", "XGBRanker"):
        update_registered_converter(
            getattr(module, kind), f"XGBoost{kind}", calculate_linear_regressor_output_shapes, convert_xgboost
        )


def _lightgbm(module: Any) -> None:
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm  # noqa: PLC0415

    update_registered_converter(
        module.LGBMClassifier,
        "LightGbmLGBMClassifier",
        calculate_linear_classifier_output_shapes,
        convert_lightgbm,
        options=_OPTIONS,
    )
    update_registered_converter(
        module.LGBMRegressor,
        "LightGbmLGBMRegressor",
        calculate_linear_regressor_output_shapes,
        convert_lightgbm,
        options={"split": None},
    )
    update_registered_converter(
        module.LGBMRanker, "LgbmRanker", calculate_linear_regressor_output_shapes, convert_lightgbm
    )


def is_ranker(estimator: Any) -> bool:
    """Whether it scores rows for their order: to scikit-learn it is no regressor, and says a value as one."""
    return type(estimator).__name__ in {"XGBRanker", "LGBMRanker"}


def is_catboost(estimator: Any) -> bool:
    """Whether it is a model of CatBoost, which exports itself."""
    return type(estimator).__module__.partition(".")[0] == "catboost"


def catboost(estimator: Any) -> ModelProto:
    """CatBoost's own export.

    Raises:
        ArtifactError: it has none for this model.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        try:
            estimator.save_model(str(file), format="onnx")
        except Exception as error:
            what = str(error).strip().partition("\n")[0]
            raise ArtifactError(
                f"CatBoost cannot write this model as ONNX: {what}. It does so for numbers only: encode "
                "categories before"
            ) from error
        return load_model(str(file))
