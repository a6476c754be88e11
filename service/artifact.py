"""A model on disk: a folder with `model.onnx` and `model.json`, verified before it is served.

`model.json` says what the model is (name, version, features, classes) and the sha256 of `model.onnx`.
No pickle is ever loaded.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from common.config import ConfigError, StrictModel, load_yaml
from common.errors import CanarioError
from service.guest.faults import Fault

MODEL_FILE = "model.onnx"
METADATA_FILE = "model.json"

Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class ArtifactError(CanarioError):
    """A model folder that must not be served. The text names the folder and what does not fit."""


class ClassLabel(StrictModel):
    """One class of a classifier: the label that the training data had, and its name for people."""

    label: int | str
    name: Annotated[str, Field(min_length=1, max_length=128)]


class Metadata(StrictModel):
    """The content of `model.json`."""

    format: Literal[1]
    name: Name
    version: Name
    features: Annotated[list[str], Field(min_length=1)]
    classes: Annotated[list[ClassLabel], Field(min_length=2)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    training: dict[str, Any] = Field({}, description="How it was trained, for people.")
    faults: Fault | None = Field(
        None, description="What a drill makes the model do; see service.guest.faults."
    )
    parity: dict[str, float] = Field({}, description="What the parity gate measured.")

    @field_validator("features")
    @classmethod
    def _features_are_distinct(cls, features: list[str]) -> list[str]:
        if twice := sorted({name for name in features if features.count(name) > 1}):
            raise ValueError(f"named twice: {', '.join(twice)}")
        return features

    @model_validator(mode="after")
    def _classes_are_distinct(self) -> "Metadata":
        for kind, values in (
            ("label", [str(each.label) for each in self.classes]),
            ("name", [each.name for each in self.classes]),
        ):
            if len(set(values)) < len(values):
                raise ValueError(f"two classes have the same {kind}")
        return self


@dataclass(frozen=True)
class Artifact:
    """A verified folder: its metadata, and the bytes of the model that the sha256 was taken of."""

    folder: Path
    metadata: Metadata
    onnx: bytes


def load_artifact(folder: Path) -> Artifact:
    """Read and verify the artifact in `folder`.

    Raises:
        ArtifactError: a file is missing or unreadable, `model.json` does not fit its schema, or the sha256
            of `model.onnx` is not the one that `model.json` names.
    """
    if not folder.is_dir():
        raise ArtifactError(
            f"{folder}: there is no such model folder; make the example models with `python -m service.train`"
        )
    try:
        metadata = load_yaml(folder / METADATA_FILE, Metadata)  # JSON is YAML, and so faults have lines
        onnx = (folder / MODEL_FILE).read_bytes()
    except ConfigError as error:
        raise ArtifactError(str(error)) from error
    except OSError as error:
        raise ArtifactError(f"{folder / MODEL_FILE}: cannot be read: {error.strerror}") from error
    found = hashlib.sha256(onnx).hexdigest()
    if found != metadata.sha256:
        raise ArtifactError(
            f"{folder / MODEL_FILE}: its sha256 is {found}, but {METADATA_FILE} says {metadata.sha256}; "
            "the file was changed or cut short after the export: export the model again"
        )
    return Artifact(folder, metadata, onnx)


def require_same_interface(champion: Artifact, challenger: Artifact) -> None:
    """Refuse a challenger that cannot stand in for the champion.

    Raises:
        ArtifactError: features or classes differ, or are in another order.
    """
    ours, theirs = champion.metadata, challenger.metadata
    if ours.features != theirs.features:
        raise ArtifactError(
            f"{challenger.folder}: the challenger takes {len(theirs.features)} features, the champion in "
            f"{champion.folder} takes {len(ours.features)}"
            f"{_first_difference(ours.features, theirs.features)}; "
            "both must take the same features in the same order"
        )
    if ours.classes != theirs.classes:
        raise ArtifactError(
            f"{challenger.folder}: the challenger's classes are {_names(theirs)}, those of the champion in "
            f"{champion.folder} are {_names(ours)}; both must have the same classes in the same order"
        )


def _names(metadata: Metadata) -> str:
    return ", ".join(f"{each.label}={each.name}" for each in metadata.classes)


def _first_difference(ours: list[str], theirs: list[str]) -> str:
    for index, (our, their) in enumerate(zip(ours, theirs, strict=False)):
        if our != their:
            return f" (feature {index} is {their!r} instead of {our!r})"
    return ""
