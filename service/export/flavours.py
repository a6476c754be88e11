"""A model as MLflow has logged it, in its flavour: sklearn, xgboost or lightgbm.

A pickle is code that runs when it is loaded. skops, in which MLflow 3 logs unless told otherwise, loads types
that it trusts, and no others unless it is told so. XGBoost's own files hold no code.
"""

import importlib
import pickle
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from common.config import load_yaml
from service.models.artifact import ArtifactError

XGBOOST: Final = ("XGBClassifier", "XGBRegressor", "XGBRFClassifier", "XGBRFRegressor")
ALLOW: Final = "loading it runs whatever code is in it: if you trust who logged it, say --unpickle"


class _MlModel(BaseModel):
    """Of a model's MLmodel, what is read here."""

    flavors: dict[str, dict[str, Any]]


def load_flavour(folder: Path, *, unpickle: bool) -> Any:
    """The fitted estimator in a folder with MLmodel.

    Args:
        unpickle: it may be code.

    Raises:
        ConfigError: MLmodel cannot be read.
        ArtifactError: it has none of the flavours, it needs `unpickle`, or something is missing to load it.
    """
    flavours = load_yaml(folder / "MLmodel", _MlModel).flavors
    try:
        if told := flavours.get("xgboost"):
            return _xgboost(_file(folder, told, "data"), str(told.get("model_class", "")))
        for name, key in (("lightgbm", "data"), ("sklearn", "pickled_model")):
            if told := flavours.get(name):
                return _object(_file(folder, told, key), str(told.get("serialization_format", "")), unpickle)
    except ModuleNotFoundError as error:
        raise ArtifactError(
            f"to load it, {error.name} is needed here, in the version that it was trained with; "
            "`./canario models` takes --python PATH for a Python that has it"
        ) from error
    raise ArtifactError(f"{folder}: has the flavours {', '.join(flavours)}, and none that is exported here")


def _file(folder: Path, told: dict[str, Any], key: str) -> Path:
    file = (folder / str(told.get(key, ""))).resolve()
    if not (file.is_relative_to(folder.resolve()) and file.is_file()):
        raise ArtifactError(f"{folder}: its MLmodel names no file of it: {told.get(key)}")
    return file


def _xgboost(file: Path, kind: str) -> Any:
    name = kind.rpartition(".")[2]
    if name not in XGBOOST:
        raise ArtifactError(
            f"its class {kind or 'Booster'} is none that is exported: log one of {', '.join(XGBOOST)}"
        )
    model = getattr(importlib.import_module("xgboost"), name)()
    try:
        model.load_model(file)
    except Exception as error:
        raise ArtifactError(f"XGBoost cannot load it: {str(error).strip().partition(chr(10))[0]}") from error
    return model


def _object(file: Path, form: str, unpickle: bool) -> Any:
    if file.suffix == ".lgb":
        raise ArtifactError("it is a Booster of LightGBM: log its LGBMClassifier or LGBMRegressor")
    if form == "skops":
        return _of_skops(file, unpickle)
    if not unpickle:
        raise ArtifactError(f"it is a pickle, and {ALLOW}")
    try:
        # cloudpickle writes what pickle reads, where it is installed
        return pickle.loads(file.read_bytes())  # noqa: S301 - allowed explicitly, in a process for this
    except ModuleNotFoundError:
        raise
    except Exception as error:
        raise ArtifactError(f"it cannot be loaded: {type(error).__name__}: {error}") from error


def _of_skops(file: Path, unpickle: bool) -> Any:
    skops: Any = importlib.import_module("skops.io")
    try:
        strange = skops.get_untrusted_types(file=file)
    except Exception as error:
        raise ArtifactError(f"skops cannot read it: {type(error).__name__}: {error}") from error
    if strange and not unpickle:
        raise ArtifactError(f"it holds {strange[0]}, which skops does not trust, and {ALLOW}")
    try:
        return skops.load(file, trusted=strange)
    except ModuleNotFoundError:
        raise
    except Exception as error:
        raise ArtifactError(f"skops cannot load it: {type(error).__name__}: {error}") from error
