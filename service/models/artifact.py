"""A model on disk: a folder with `model.onnx` and `model.json`, verified before it is served.

`model.json` says what the model is (name, version, task, features, classes) and the sha256 of `model.onnx`;
`service.export` writes both. No pickle is ever loaded. Of a model that runs elsewhere there is `remote.json`,
which says where, in place of `model.onnx`; `service.remote` writes it.
"""

import json
import shlex
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from common.config import ConfigError, StrictModel, load_json
from common.errors import CanarioError
from common.model_store import METADATA_FILE, REMOTE_FILE, model_file, require_intact
from service.remote.description import Remote

FORMAT = 2

LONGEST_STRING = 256  # characters of a string feature in a request
# A row goes to the challenger's process in one packet, and Linux takes about 208 KiB. As JSON a number has at
# most 26 bytes, and a string 6 for each character.
LARGEST_ROW_BYTES = 200_000
NUMBER_BYTES, STRING_BYTES = 26, 6 * LONGEST_STRING + 3

Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Task = Literal["classification", "regression"]
FeatureType = Literal["number", "string"]
OutputName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
MOST_OUTPUTS = 32
# Tensors of each answer in the Open Inference Protocol.
RESERVED_OUTPUTS = frozenset(
    {"prediction", "class_name", "probability", "probabilities", "request_id", "model", "version"}
)


class ArtifactError(CanarioError):
    """A model folder that must not be served. The text names the folder and what does not fit."""


class ClassLabel(StrictModel):
    """One class of a classifier: the label that the training data had, and its name for people."""

    label: int | str
    name: Annotated[str, Field(min_length=1, max_length=128)]


class Feature(StrictModel):
    """One value of a row: its name and type, and an ordinary value of it."""

    name: Annotated[str, Field(min_length=1, max_length=128)]
    type: FeatureType
    example: int | float | str
    gaps: bool = Field(
        False, description="Whether a request may bring null, or leave it out: NaN to the model."
    )

    @model_validator(mode="after")
    def _example_fits(self) -> "Feature":
        if isinstance(self.example, str) is not (self.type == "string"):
            raise ValueError(f"the example {self.example!r} is no {self.type}")
        if self.gaps and self.type == "string":
            raise ValueError("only numbers can have gaps: ONNX knows no string that is missing")
        return self


class Tolerance(StrictModel):
    """Regressors agree when they differ by `absolute` + `relative` * |the champion's value| at most."""

    absolute: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    relative: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.05


def _row_bytes(features: list[Feature]) -> int:
    return sum(STRING_BYTES if each.type == "string" else NUMBER_BYTES for each in features)


class Question(StrictModel):
    """What a model answers: a class, or a value."""

    task: Task
    classes: Annotated[list[ClassLabel], Field(max_length=1000)] = Field(
        [], description="Of a classifier, in the order of its probabilities."
    )
    unit: Annotated[str, Field(min_length=1, max_length=32)] | None = Field(
        None, description="Unit of a regressor's value."
    )
    tolerance: Tolerance | None = Field(None, description="When two regressors agree.")

    @cached_property
    def width(self) -> int:
        """How many numbers its answer is: a class and the probability of each, or a value."""
        return 1 + len(self.classes)

    @model_validator(mode="after")
    def _fits_its_task(self) -> Self:
        if self.task == "regression":
            if self.classes:
                raise ValueError("a regressor has no classes")
            if self.tolerance is None:
                raise ValueError("a regressor needs a tolerance: when do two of them agree?")
        elif len(self.classes) < 2:
            raise ValueError("a classifier needs two classes at least")
        elif self.unit is not None or self.tolerance is not None:
            raise ValueError("unit and tolerance are for regressors")
        return self

    @model_validator(mode="after")
    def _classes_are_distinct(self) -> Self:
        for kind, values in (
            ("label", [str(each.label) for each in self.classes]),
            ("name", [each.name for each in self.classes]),
        ):
            if len(set(values)) < len(values):
                raise ValueError(f"two classes have the same {kind}")
        return self


class Output(Question):
    """One of several answers to a row."""

    name: OutputName


class Metadata(Question):
    """The content of `model.json`. What it answers first, of several outputs, is the primary one."""

    format: Literal[2]
    name: Name
    version: Name
    features: Annotated[list[Feature], Field(min_length=1, max_length=10_000)]
    output: OutputName | None = Field(None, description="Name of the primary one of several outputs.")
    more: Annotated[list[Output], Field(max_length=MOST_OUTPUTS - 1)] = Field(
        [], description="The other outputs."
    )
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    training: dict[str, Any] = Field({}, description="How it was trained, for people.")
    faults: dict[str, Any] | None = Field(
        None, description="What a drill makes the model do, a Fault of service.challenger.faults."
    )
    scores: Annotated[list[float], Field(max_length=100)] = Field(
        [],
        description="Edges between twentieths of its scores on the held-out rows, the least first: values of "
        "a regressor, probabilities of the second of two classes, of the chosen one of more.",
    )
    parity: dict[str, float] = Field({}, description="What the parity gate measured.")

    @cached_property
    def names(self) -> list[str]:
        """Of the features."""
        return [each.name for each in self.features]

    @cached_property
    def has_strings(self) -> bool:
        """Whether a feature is a string, and so rows are arrays of objects."""
        return any(each.type == "string" for each in self.features)

    @cached_property
    def is_of_one_type(self) -> bool:
        """Whether all features are numbers, or all are strings."""
        return len({each.type for each in self.features}) == 1

    @cached_property
    def gaps(self) -> frozenset[str]:
        """Names of the features that may be missing in a row."""
        return frozenset(each.name for each in self.features if each.gaps)

    @cached_property
    def largest_row_bytes(self) -> int:
        """Of a row with strings on its way to the challenger's process, as JSON."""
        return _row_bytes(self.features)

    @cached_property
    def questions(self) -> list[Question]:
        """What it answers to a row, the primary one first."""
        return [self, *self.more]

    @cached_property
    def output_names(self) -> list[str]:
        """Of several outputs, the primary one first; empty where there is one."""
        return [str(self.output), *(each.name for each in self.more)] if self.more else []

    @cached_property
    def row_width(self) -> int:
        """How many numbers all answers to a row are."""
        return sum(each.width for each in self.questions)

    @field_validator("features")
    @classmethod
    def _features_are_distinct(cls, features: list[Feature]) -> list[Feature]:
        counts = Counter(each.name for each in features)
        if twice := sorted(name for name, count in counts.items() if count > 1):
            raise ValueError(f"named twice: {', '.join(twice)}")
        return features

    @field_validator("features")
    @classmethod
    def _a_row_fits_into_a_packet(cls, features: list[Feature]) -> list[Feature]:
        strings = sum(each.type == "string" for each in features)
        if strings and _row_bytes(features) > LARGEST_ROW_BYTES:
            most = LARGEST_ROW_BYTES // STRING_BYTES
            raise ValueError(
                f"{strings} strings and {len(features) - strings} numbers are too many together: "
                f"a model with strings may have up to {most} features of any type"
            )
        return features

    @model_validator(mode="after")
    def _outputs_have_names(self) -> "Metadata":
        if (self.output is None) is bool(self.more):
            raise ValueError("output and more go together: a model of one output has neither")
        names = self.output_names
        if len(set(names)) < len(names):
            raise ValueError("two outputs have the same name")
        if taken := sorted(RESERVED_OUTPUTS & set(names)):
            raise ValueError(f"an output cannot be called {taken[0]}: so is a part of each answer")
        return self


@dataclass(frozen=True)
class Artifact:
    """A verified folder: its metadata, and the bytes of the model that the sha256 was taken of.

    Attributes:
        remote: where the model runs, if not here; then there is no `onnx`.
    """

    folder: Path
    metadata: Metadata
    onnx: bytes
    remote: Remote | None = None


def load_artifact(folder: Path) -> Artifact:
    """Read and verify the artifact in `folder`.

    Raises:
        ArtifactError: a file is missing or unreadable, `model.json` does not fit its schema, or the sha256
            of `model.onnx` is not the one that `model.json` names, or it needs other files.
    """
    if not folder.is_dir():
        raise ArtifactError(
            f"{folder}: there is no such model folder; make the example models with "
            "`python -m service.train`, or your own with `./canario export`"
        )
    try:
        file = model_file(folder)
        metadata = load_json(folder / METADATA_FILE, Metadata)
        remote = load_json(file, Remote) if file.name == REMOTE_FILE else None
        content = file.read_bytes()
    except ConfigError as error:
        raise ArtifactError(_of_another_format(folder) or str(error)) from error
    except OSError as error:
        raise ArtifactError(f"{file}: cannot be read: {error.strerror}") from error
    try:
        require_intact(file, content, metadata.sha256)
    except CanarioError as error:
        raise ArtifactError(str(error)) from error
    if remote is None:
        return Artifact(folder, metadata, content)
    if len(metadata.questions) != len(remote.outputs):
        raise ArtifactError(
            f"{file}: names {len(remote.outputs)} outputs, and {METADATA_FILE} {len(metadata.questions)}"
        )
    for asked, output in zip(metadata.questions, remote.outputs, strict=True):
        if (asked.task == "regression") is (output.value is None):
            raise ArtifactError(f"{file}: a classifier has `probabilities`, a regressor `value`")
    if remote.input and not metadata.is_of_one_type:
        raise ArtifactError(f"{file}: numbers and strings do not fit into the one tensor {remote.input}")
    return Artifact(folder, metadata, b"", remote)


def _of_another_format(folder: Path) -> str | None:
    """The sentence for a `model.json` of another format, of which every field would be a fault; or None."""
    file = folder / METADATA_FILE
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or found.get("format") in (None, FORMAT):
        return None
    name, version = (str(found.get(key) or key.upper()) for key in ("name", "version"))
    again = f"--name {shlex.quote(name)} --version {shlex.quote(version)} --out {shlex.quote(str(folder))}"
    return (
        f"{file}: is of format {found['format']!r}, and this version of Canario reads format {FORMAT}: "
        f"export the model again with `./canario export MODULE:FUNCTION {again}` "
        "(the example models with `python -m service.train`)"
    )


def require_same_interface(champion: Artifact, challenger: Artifact) -> None:
    """Refuse a challenger that cannot stand in for the champion. It may take other features.

    Raises:
        ArtifactError: task, unit or classes differ, or are in another order, or a feature has another type.
    """
    ours, theirs = champion.metadata, challenger.metadata
    if ours.output_names != theirs.output_names:
        raise ArtifactError(
            f"{challenger.folder}: the challenger answers {_outputs(theirs)}, the champion in "
            f"{champion.folder} {_outputs(ours)}; both must have the same outputs in the same order"
        )
    for mine, its in zip(ours.questions, theirs.questions, strict=True):
        if (mine.task, mine.unit) != (its.task, its.unit):
            raise ArtifactError(
                f"{challenger.folder}: the challenger is a {_kind(its)}, the champion in {champion.folder} a "
                f"{_kind(mine)}; both must answer the same question"
            )
    types = {each.name: each.type for each in ours.features}
    for each in theirs.features:
        if types.get(each.name, each.type) != each.type:
            raise ArtifactError(
                f"{challenger.folder}: {each.name!r} is a {each.type} to the challenger and a "
                f"{types[each.name]} to the champion in {champion.folder}; a feature of both has one type"
            )
    for mine, its in zip(ours.questions, theirs.questions, strict=True):
        if mine.classes != its.classes:
            raise ArtifactError(
                f"{challenger.folder}: the challenger's classes are {_names(its)}, those of the champion in "
                f"{champion.folder} are {_names(mine)}; both must have the same classes in the same order"
            )


def _outputs(metadata: Metadata) -> str:
    return f"the outputs {', '.join(metadata.output_names)}" if metadata.more else "one question"


def _names(asked: Question) -> str:
    return ", ".join(f"{each.label}={each.name}" for each in asked.classes)


def _kind(asked: Question) -> str:
    return f"{asked.task} in {asked.unit}" if asked.unit else asked.task
