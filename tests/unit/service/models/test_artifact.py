"""A model folder that does not fit is refused with a sentence."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
import pytest
from onnx import helper
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from common.model_store import ModelStore
from common.names import Model
from common.release import ReleaseError
from service.export import export
from service.export.parity import ask_estimator, check_parity
from service.export.rows import read_table
from service.models.artifact import Artifact, ArtifactError, Metadata, load_artifact, require_same_interface
from service.models.onnx_model import OnnxModel
from service.train import TREES, example_models, train
from tests.unit.service.model_files import edit


@pytest.fixture
def folder(models: dict[Model, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(models[Model.CHAMPION], tmp_path / "champion"))


def test_the_example_models_are_what_they_are_said_to_be(models: dict[Model, Path]) -> None:
    champion, challenger = (load_artifact(models[role]).metadata for role in Model)
    assert len(champion.features) == len(challenger.features) == 30
    assert [each.name for each in champion.classes] == ["malignant", "benign"]
    assert champion.training["seed"] == 42
    assert (champion.training["rows"], champion.training["test_rows"]) == (398, 171)
    assert champion.training["test_accuracy"] > 0.95
    assert challenger.training["test_accuracy"] > 0.92
    assert challenger.parity["greatest_difference"] < 1e-5
    assert example_models()[Model.CHALLENGER][1][-1].n_estimators == TREES == 200


def test_training_twice_gives_the_same_bytes(models: dict[Model, Path], tmp_path: Path) -> None:
    again = train(Model.CHALLENGER, tmp_path / "again")
    assert again.metadata.sha256 == load_artifact(models[Model.CHALLENGER]).metadata.sha256


def test_a_changed_model_is_refused(folder: Path) -> None:
    with (folder / "model.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ArtifactError, match=r"model\.onnx: its sha256 is [0-9a-f]{64}, but model\.json says"):
        load_artifact(folder)


@pytest.mark.parametrize("missing", ["model.json", "model.onnx"])
def test_a_missing_file_is_named(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(ArtifactError, match=rf"{missing}: cannot be read"):
        load_artifact(folder)


def test_a_missing_folder_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"python -m service\.train"):
        load_artifact(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda each: each.pop("sha256"), r"sha256: Field required"),
        (lambda each: each.pop("format"), r"model\.json:1: format: Field required"),
        (lambda each: each.update(name="a b"), r"model\.json:3: name: "),
        (lambda each: each["features"].append(each["features"][0]), r"named twice: mean radius"),
        (lambda each: each["classes"].pop(), r"a classifier needs two classes at least"),
        (lambda each: each["classes"][1].update(name="malignant"), r"two classes have the same name"),
    ],
)
def test_metadata_that_does_not_fit_is_refused_with_its_line(
    folder: Path, change: Callable[[dict[str, Any]], Any], sentence: str
) -> None:
    with pytest.raises(ArtifactError, match=sentence):
        load_artifact(edit(folder, change))


def test_model_json_is_read_as_json_and_not_as_yaml(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker reads it while it answers requests, and YAML in Python takes seconds for 10,000 features."""

    def parse(*_: object) -> None:
        raise AssertionError("the YAML parser was asked")

    monkeypatch.setattr("common.config._Loader", parse)
    changed = edit(folder, lambda each: each["features"][0].update(example=1e-05))  # text to YAML
    assert load_artifact(changed).metadata.features[0].example == 1e-05


# As the first version of the export wrote it.
FORMAT_1 = {
    "format": 1,
    "name": "breast-cancer-forest",
    "version": "1",
    "features": ["mean radius", "mean texture"],
    "classes": [{"label": 0, "name": "malignant"}, {"label": 1, "name": "benign"}],
    "sha256": "0" * 64,
    "training": {"seed": 42},
    "parity": {"rows": 171.0},
}


@pytest.mark.parametrize("written", [FORMAT_1, {"format": 3, "mode": "new"}, {"format": "two"}])
def test_another_format_is_one_sentence_with_the_command_that_helps(
    folder: Path, written: dict[str, Any]
) -> None:
    (folder / "model.json").write_text(json.dumps(written), encoding="utf-8")
    with pytest.raises(ArtifactError) as refused:
        load_artifact(folder)
    said = str(refused.value)
    assert said.count("\n") == 0
    assert f"is of format {written['format']!r}, and this version of Canario reads format 2" in said
    name = written.get("name", "NAME")
    assert f"./canario export MODULE:FUNCTION --name {name} --version " in said
    assert f"--out {folder}`" in said


def test_another_number_of_features_than_the_model_takes_is_refused(folder: Path) -> None:
    edit(folder, lambda each: each["features"].pop())
    with pytest.raises(ArtifactError, match="the model takes 30 features, but its metadata names 29"):
        OnnxModel(load_artifact(folder))


def test_another_number_of_classes_than_the_model_has_is_refused(folder: Path) -> None:
    edit(folder, lambda each: each["classes"].append({"label": 2, "name": "unclear"}))
    with pytest.raises(ArtifactError, match=r"answered a row with 3 numbers instead of 4 \(its class"):
        OnnxModel(load_artifact(folder))


def test_what_is_no_model_is_refused(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"no model")
    edit(
        folder,
        lambda each: each.update(sha256="a5f5d9ca50f6d37a8a0f0ad0c35c8ce5dfde6fa60f4e8a6b2c9da34b0d0d4d1b"),
    )
    with pytest.raises(ArtifactError, match="its sha256 is"):
        load_artifact(folder)
    artifact = load_artifact_unverified(folder)
    with pytest.raises(ArtifactError, match="ONNX Runtime cannot load the model"):
        OnnxModel(artifact)


def load_artifact_unverified(folder: Path) -> Artifact:
    found = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    return load_artifact(edit(folder, lambda each: each.update(sha256=found)))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda each: each["features"][0].update(type="string", example="x"),
            "'mean radius' is a string to the challenger and a number to the champion",
        ),
        (lambda each: each["classes"].reverse(), "the challenger's classes are 1=benign, 0=malignant"),
    ],
)
def test_a_challenger_that_cannot_stand_in_is_refused(
    models: dict[Model, Path], folder: Path, change: Callable[[dict[str, Any]], Any], sentence: str
) -> None:
    with pytest.raises(ArtifactError, match=sentence):
        require_same_interface(load_artifact(models[Model.CHAMPION]), load_artifact(edit(folder, change)))


def test_a_model_that_answers_otherwise_than_scikit_learn_is_not_exported(tmp_path: Path) -> None:
    iris = load_iris()
    names = {"features": iris.feature_names, "class_names": list(iris.target_names)}
    fitted = make_pipeline(LogisticRegression(max_iter=1000)).fit(iris.data, iris.target)
    about = {"name": "iris", "version": "1", "rows": iris.data, "training": {}}
    artifact = export(fitted, tmp_path / "iris", **names, **about)
    assert artifact.metadata.parity["rows"] > 150
    other = make_pipeline(LogisticRegression(max_iter=1000, C=0.01)).fit(iris.data, iris.target)
    ask = ask_estimator(other, artifact.metadata)
    with pytest.raises(ArtifactError, match=r"iris: row 0: the model itself says .* is not exported"):
        check_parity(ask, OnnxModel(artifact), read_table(iris.data, iris.feature_names))


@pytest.fixture
def greedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model that adds the first byte of a secret, in the working folder, to its answer."""
    secrets = tmp_path / "here" / "secrets"
    secrets.mkdir(parents=True)
    (secrets / "token").write_text("sekrit", encoding="utf-8")
    monkeypatch.chdir(secrets.parent)
    elsewhere = onnx.TensorProto(
        name="theirs", data_type=onnx.TensorProto.UINT8, dims=[1, 1], data_location=onnx.TensorProto.EXTERNAL
    )
    for key, value in (("location", "secrets/token"), ("length", "1")):
        entry = elsewhere.external_data.add()
        entry.key, entry.value = key, value
    number = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["theirs"], ["byte"], to=number),
            helper.make_node("Add", ["x", "byte"], ["y"]),
        ],
        "greedy",
        [helper.make_tensor_value_info("x", number, [None, 1])],
        [helper.make_tensor_value_info("y", number, [None, 1])],
        [elsewhere],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return written(tmp_path / "greedy", model.SerializeToString())


def written(folder: Path, content: bytes) -> Path:
    folder.mkdir()
    (folder / "model.onnx").write_bytes(content)
    told = {
        **{"format": 2, "name": "n", "version": "1", "task": "regression", "tolerance": {}},
        "features": [{"name": "x", "type": "number", "example": 0.0}],
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    (folder / "model.json").write_text(json.dumps(told), encoding="utf-8")
    return folder


def test_a_model_that_reads_another_file_is_refused_at_every_door(greedy: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"model\.onnx: the model has external data"):
        load_artifact(greedy)
    with pytest.raises(ReleaseError, match=r"model\.onnx: the model has external data"):
        ModelStore(tmp_path / "store").add(greedy)


def test_onnx_runtime_itself_finds_no_other_file(greedy: Path) -> None:
    """Should the look at the file have missed one."""
    metadata = Metadata.model_validate_json((greedy / "model.json").read_bytes())
    artifact = Artifact(greedy, metadata, (greedy / "model.onnx").read_bytes())
    with pytest.raises(ArtifactError, match="External data path does not exist"):
        OnnxModel(artifact)


def test_a_file_in_onnx_runtimes_own_format_is_refused(models: dict[Model, Path], tmp_path: Path) -> None:
    """Nobody looks into that for other files."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.optimized_model_filepath = str(tmp_path / "model.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    ort.InferenceSession(str(models[Model.CHAMPION] / "model.onnx"), options)
    artifact = load_artifact(models[Model.CHAMPION])
    with pytest.raises(ArtifactError, match="protobuf"):
        OnnxModel(Artifact(tmp_path, artifact.metadata, (tmp_path / "model.ort").read_bytes()))
