"""A worker that takes other models while it runs, and those that it does not take."""

import json
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from click.testing import CliRunner
from flask import Flask
from flask.testing import FlaskClient

from common.config import ConfigError
from common.model_store import METADATA_FILE, MODEL_FILE, ROLES_FILE, ModelStore
from common.names import Model
from common.release import Entry, Note, challenged, promoted, settled, taken_back
from service.__main__ import main
from service.app import close, create_app
from service.challenger.client import ChallengerClient
from service.challenger.pool import Run
from service.challenger.process import SupervisedWorker
from service.models import reload
from service.models.artifact import ArtifactError
from service.models.load import LastGood, load_models, load_or_last_good
from service.models.reports import Reports, WorkerReport
from service.settings import Settings
from tests.unit.service.conftest import ROW, flag, keep_on_disk, rollout
from tests.unit.waiting import never, until

NOTE = Note("a test")
A, B = "breast-cancer-logistic-regression", "breast-cancer-random-forest"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(reload, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(reload, "FLAGS_SECONDS", 0.3)
    monkeypatch.setattr(reload, "FLAGS_SETTLE_SECONDS", 0.05)


@pytest.fixture
def store(models: dict[Model, Path], tmp_path: Path) -> ModelStore:
    made = ModelStore(tmp_path / "models")
    made.install(models[Model.CHAMPION], models[Model.CHALLENGER], NOTE)
    return made


@pytest.fixture
def with_store(settings: Settings, store: ModelStore) -> Settings:
    changed: dict[str, Any] = {"champion": None, "challenger": None, "models": store.folder}
    return Settings.model_validate(dict(settings) | changed)


@pytest.fixture
def app(with_store: Settings) -> Iterator[Flask]:
    """Everybody has the challenger, by flags that are known from the disk; Unleash is down."""
    keep_on_disk(with_store, flag(rollout(100)))
    made = create_app(with_store)
    yield made
    close(made)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def answer(client: FlaskClient) -> tuple[str, str, str, str]:
    told = client.post("/predict", json={"user_id": "u", "features": ROW}).get_json()
    return told["assigned"], told["model"], told["reason"], told["model_name"]


def report(app: Flask) -> WorkerReport:
    (told,) = app.extensions["canario"].reports.all()
    assert isinstance(told, WorkerReport)
    return told


def metric(client: FlaskClient, series: str) -> float:
    for line in client.get("/metrics", buffered=True).text.splitlines():
        name, _, value = line.rpartition(" ")
        if name == series:
            return float(value)
    raise AssertionError(f"no series {series}")


def hear(app: Flask) -> None:
    """As if Unleash had answered."""
    app.extensions["canario"].assigner.fetched_at = time.monotonic()


def test_a_promotion_and_the_way_back_are_followed(
    app: Flask, client: FlaskClient, store: ModelStore
) -> None:
    until(lambda: answer(client)[3] == B)
    assert answer(client) == ("challenger", "challenger", "flag_on", B)
    challenger: ChallengerClient = app.extensions["canario"].reloader.lineup.challenger
    store.change(lambda now: promoted(now, NOTE))
    until(lambda: report(app).revision == 2)
    assert answer(client) == ("challenger", "champion", "fallback_no_challenger", B)
    assert client.get("/readyz").get_json()["models"].keys() == {"champion"}
    until(lambda: not challenger.worker.is_up)
    assert app.extensions["canario"].reloader.lineup.shadow is None
    store.change(lambda now: taken_back(now, NOTE))
    until(lambda: report(app).revision == 3)
    assert answer(client)[1:] == ("champion", "fallback_no_challenger", A)
    assert metric(client, "model_reloads_total") == 2
    assert metric(client, "models_revision") == 3


def test_who_follows_begins_again_after_a_fault(
    app: Flask, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        fault = Mock(side_effect=ValueError("a bug"))
        broken.setattr("service.models.reload._signature", fault)
        until(lambda: fault.called)
    store.change(lambda now: promoted(now, NOTE))
    until(lambda: report(app).revision == 2)


def test_a_number_alone_starts_no_other_process(app: Flask, client: FlaskClient, store: ModelStore) -> None:
    challenger = app.extensions["canario"].reloader.lineup.challenger
    entry = store.read().roles.challenger
    store.change(lambda now: challenged(now, entry, NOTE))
    until(lambda: report(app).revision == 2)
    assert app.extensions["canario"].reloader.lineup.challenger is challenger
    store.change(settled)
    never(lambda: report(app).revision != 2 or metric(client, "model_reloads_total") != 0)


def without_challenger(app: Flask, store: ModelStore) -> Entry | None:
    """As revision 2; the challenger that there was before."""
    challenger = store.read().roles.challenger
    store.change(lambda now: challenged(now, None, NOTE))
    until(lambda: report(app).revision == 2)
    return challenger


def test_a_new_challenger_waits_for_unleash(app: Flask, client: FlaskClient, store: ModelStore) -> None:
    """The share that a worker knows may have been meant for another model."""
    challenger = without_challenger(app, store)
    store.change(lambda now: challenged(now, challenger, NOTE))
    until(lambda: report(app).refused is not None)
    refused = report(app).refused
    assert refused
    assert refused.revision == 3
    assert "Unleash was not heard" in refused.reason
    assert answer(client)[2] == "fallback_no_challenger"
    assert metric(client, 'model_reload_failures_total{reason="flags"}') == 1
    app.extensions["canario"].reloader._retry_at = 0

    def heard_and_taken() -> bool:
        hear(app)
        return report(app).revision == 3

    until(heard_and_taken)
    assert answer(client)[1] == "challenger"


def test_a_challenger_that_comes_up_slowly_is_waited_for(
    app: Flask, client: FlaskClient, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    challenger = without_challenger(app, store)
    monkeypatch.setattr("service.challenger.process.WAIT_SECONDS", 0.01)
    come_up = SupervisedWorker._await_ready
    comes_up = threading.Event()

    def slowly(self: SupervisedWorker, run: Run) -> bool:
        comes_up.wait(10)
        return come_up(self, run)

    monkeypatch.setattr(SupervisedWorker, "_await_ready", slowly)
    store.change(lambda now: challenged(now, challenger, NOTE))

    def taken() -> bool:
        hear(app)
        return report(app).revision == 3

    never(lambda: taken() or report(app).refused, 0.3)
    comes_up.set()
    until(taken)
    assert report(app).refused is None
    assert answer(client)[1] == "challenger"


def test_a_newer_change_is_not_held_up_by_a_challenger_that_does_not_come_up(
    app: Flask, client: FlaskClient, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    challenger = without_challenger(app, store)
    waits = threading.Event()

    def does_not_come_up(self: SupervisedWorker, run: Run) -> bool:
        waits.set()
        return not self._closed.wait(60)

    monkeypatch.setattr(SupervisedWorker, "_await_ready", does_not_come_up)
    store.change(lambda now: challenged(now, challenger, NOTE))
    assert waits.wait(10)
    store.change(lambda now: challenged(now, None, NOTE))
    until(lambda: report(app).revision == 4)
    assert report(app).refused is None
    assert metric(client, 'model_reload_failures_total{reason="model"}') == 0


def cut_model(folder: Path) -> None:
    (folder / MODEL_FILE).write_bytes(b"no model")


def other_sha(folder: Path) -> None:
    told = json.loads((folder / METADATA_FILE).read_text(encoding="utf-8"))
    (folder / METADATA_FILE).write_text(json.dumps(told | {"sha256": "0" * 64}), encoding="utf-8")


def other_features(folder: Path) -> None:
    told = json.loads((folder / METADATA_FILE).read_text(encoding="utf-8"))
    told["features"][3]["name"] = "shoe size"
    (folder / METADATA_FILE).write_text(json.dumps(told), encoding="utf-8")


def other_classes(folder: Path) -> None:
    told = json.loads((folder / METADATA_FILE).read_text(encoding="utf-8"))
    told["classes"].reverse()
    (folder / METADATA_FILE).write_text(json.dumps(told), encoding="utf-8")


DAMAGES = {
    cut_model: "its sha256 is",
    other_sha: "its sha256 is",
    other_features: "needs 'shoe size'",
    other_classes: "classes",
    shutil.rmtree: "no such model folder",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_bad_model_leaves_the_old_ones_serving(
    app: Flask,
    client: FlaskClient,
    store: ModelStore,
    damage: Callable[[Path], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR)
    until(lambda: answer(client)[1] == "challenger")
    challenger = store.read().roles.challenger
    assert challenger
    damage(store.path(challenger))
    store.change(lambda now: promoted(now, NOTE))
    until(lambda: report(app).refused is not None)
    refused = report(app).refused
    assert refused
    assert DAMAGES[damage] in refused.reason
    assert report(app).revision == 1
    assert answer(client) == ("challenger", "challenger", "flag_on", B)
    assert metric(client, 'model_reload_failures_total{reason="model"}') == 1
    assert [record for record in caplog.records if "the previous ones serve on" in record.message]


@pytest.mark.parametrize("content", [None, "", '{"format": 1}'])
def test_a_pointer_that_is_none_leaves_the_old_ones_serving(
    app: Flask, client: FlaskClient, store: ModelStore, content: str | None
) -> None:
    kept = store.roles_file.read_bytes()
    if content is None:
        store.roles_file.unlink()
    else:
        store.roles_file.write_text(content, encoding="utf-8")
    until(lambda: report(app).refused is not None)
    assert answer(client)[1] == "challenger"
    assert metric(client, 'model_reload_failures_total{reason="unreadable"}') >= 1
    store.roles_file.write_bytes(kept)
    until(lambda: report(app).refused is None)


def test_a_refused_model_is_tried_again(
    app: Flask, store: ModelStore, models: dict[Model, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload, "RETRY_SECONDS", 0.1)
    challenger = store.read().roles.challenger
    assert challenger
    cut_model(store.path(challenger))
    store.change(lambda now: promoted(now, NOTE))
    until(lambda: report(app).refused is not None)
    store.add(models[Model.CHALLENGER])  # it has arrived now
    until(lambda: report(app).revision == 2)
    assert report(app).refused is None


def kept(settings: Settings) -> LastGood:
    """The copies that a service leaves that has served these models."""
    copies = LastGood(settings)
    copies.keep(load_models(settings))
    return copies


def remove_copies(settings: Settings) -> None:
    shutil.rmtree(LastGood(settings).store.folder)


def append_in_place(folder: Path) -> None:
    with (folder / MODEL_FILE).open("ab") as file:
        file.write(b"\0")


def no_metadata(folder: Path) -> None:
    (folder / METADATA_FILE).write_text("{", encoding="utf-8")


BROKEN = (append_in_place, no_metadata, other_sha, shutil.rmtree)


def named(settings: Settings, models: dict[Model, Path], tmp_path: Path) -> Settings:
    """Settings that name folders, which a test may damage."""
    folders = {role: shutil.copytree(models[role], tmp_path / "named" / role) for role in Model}
    return Settings.model_validate(
        dict(settings) | {"champion": folders[Model.CHAMPION], "challenger": folders[Model.CHALLENGER]}
    )


@pytest.fixture(params=["roles.json", "named folders"])
def either(
    request: pytest.FixtureRequest,
    settings: Settings,
    with_store: Settings,
    models: dict[Model, Path],
    tmp_path: Path,
) -> Settings:
    """Both ways to say what is served."""
    return with_store if request.param == "roles.json" else named(settings, models, tmp_path)


def folder_of(settings: Settings, role: Model) -> Path:
    if settings.models is None:
        folder = settings.champion if role is Model.CHAMPION else settings.challenger
        assert folder
        return folder
    roles = ModelStore(settings.models).read().roles
    entry = roles.champion if role is Model.CHAMPION else roles.challenger
    assert entry
    return settings.models / entry.folder


@pytest.mark.parametrize("damage", BROKEN)
@pytest.mark.parametrize("role", Model)
def test_a_worker_that_starts_while_a_folder_is_damaged_serves_its_copy(
    either: Settings, role: Model, damage: Callable[[Path], None]
) -> None:
    kept(either)
    damage(folder_of(either, role))
    loaded = load_or_last_good(either)
    assert loaded.refused
    assert str(folder_of(either, role)) in loaded.refused
    assert [each.name for each in loaded.models.metadata.values()] == [A, B]
    assert loaded.models.left_out is None


@pytest.mark.parametrize("damage", BROKEN)
def test_without_a_copy_of_the_challenger_the_champion_serves_alone(
    either: Settings, damage: Callable[[Path], None]
) -> None:
    damage(folder_of(either, Model.CHALLENGER))
    loaded = load_or_last_good(either)
    assert loaded.models.metadata.keys() == {Model.CHAMPION}
    assert loaded.models.left_out == loaded.refused is not None


def test_without_a_copy_of_the_champion_there_is_nothing_to_serve(either: Settings) -> None:
    append_in_place(folder_of(either, Model.CHAMPION))
    with pytest.raises(ArtifactError, match="sha256"):
        load_or_last_good(either)


def test_a_copy_that_is_damaged_too_is_not_served(either: Settings) -> None:
    copies = kept(either)
    for folder in [folder_of(either, Model.CHAMPION), *copies.store.folder.glob("breast-*")]:
        append_in_place(folder)
    with pytest.raises(ArtifactError, match="sha256"):
        load_or_last_good(either)


def test_other_folders_are_not_replaced_by_copies(
    settings: Settings, models: dict[Model, Path], tmp_path: Path
) -> None:
    """Who names a folder that is no good wants to hear of it, not to be served what was before."""
    before = named(settings, models, tmp_path)
    kept(before)
    bad = Path(shutil.copytree(models[Model.CHAMPION], tmp_path / "bad"))
    append_in_place(bad)
    with pytest.raises(ArtifactError, match="sha256"):
        load_or_last_good(Settings.model_validate(dict(before) | {"champion": bad}))


def test_a_service_that_starts_without_roles_serves_those_it_served_last(
    with_store: Settings, store: ModelStore
) -> None:
    kept(with_store)
    store.change(lambda now: promoted(now, NOTE))
    loaded = load_or_last_good(with_store)
    assert loaded.refused is None
    store.roles_file.write_text("{", encoding="utf-8")
    for folder in store.folder.glob("breast-*"):
        shutil.rmtree(folder)
    loaded = load_or_last_good(with_store)
    assert loaded.refused
    assert ROLES_FILE in loaded.refused
    assert [each.name for each in loaded.models.metadata.values()] == [A, B]
    remove_copies(with_store)
    with pytest.raises(ConfigError, match=ROLES_FILE):
        load_or_last_good(with_store)


def test_only_what_is_served_is_kept(with_store: Settings, store: ModelStore) -> None:
    copies = kept(with_store)
    assert len(list(copies.store.folder.glob("breast-*"))) == 2
    unfinished = copies.store.folder / ".unfinished-of-a-worker-that-died"
    unfinished.mkdir()
    store.change(lambda now: promoted(now, NOTE))
    copies.keep(load_models(with_store))
    (one,) = copies.store.folder.glob("breast-*")
    assert one.name == store.read().roles.champion.folder
    assert one.stat().st_nlink == (store.folder / one.name).stat().st_nlink
    assert (one / MODEL_FILE).stat().st_ino != (store.folder / one.name / MODEL_FILE).stat().st_ino
    assert not unfinished.exists()


def test_a_worker_that_lags_behind_does_not_replace_newer_copies(
    with_store: Settings, store: ModelStore
) -> None:
    older = load_models(with_store)
    store.change(lambda now: promoted(now, NOTE))
    copies = kept(with_store)
    copies.keep(older)
    assert copies.store.read().revision == 2


@pytest.mark.parametrize("role", Model)
def test_what_was_damaged_at_the_start_is_taken_when_it_is_mended(
    either: Settings,
    models: dict[Model, Path],
    role: Model,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(reload, "RETRY_SECONDS", 0.1)
    if role is Model.CHAMPION:
        kept(either)
    keep_on_disk(either, flag(rollout(100)))
    folder = folder_of(either, role)
    append_in_place(folder)
    app = create_app(either)
    try:
        client = app.test_client()
        told = report(app)
        assert told.refused
        assert str(folder) in told.refused.reason
        assert str(folder) in caplog.text
        assert metric(client, 'model_reload_failures_total{reason="start"}') == 1
        if role is Model.CHALLENGER:
            assert answer(client)[1:] == ("champion", "fallback_no_challenger", A)
            assert told.challenger_trouble == told.refused.reason
            assert told.revision is None
            assert client.get("/readyz").get_json()["challenger"] == "down"
            assert metric(client, "challenger_down") == 1
            assert (
                'prediction_errors_total{model="challenger"' not in client.get("/metrics", buffered=True).text
            )
        else:
            assert answer(client)[1] == "challenger"
            assert client.get("/readyz").get_json()["challenger"] == "runs"
        (folder / MODEL_FILE).write_bytes((models[role] / MODEL_FILE).read_bytes())

        def mended() -> bool:
            hear(app)
            return report(app).refused is None

        until(mended)
        assert answer(client)[1] == "challenger"
        assert report(app).challenger_trouble is None
        assert client.get("/readyz").get_json()["challenger"] == "runs"
        assert metric(client, "challenger_down") == 0
    finally:
        close(app)


def test_a_challenger_that_cannot_start_is_told(
    with_store: Settings, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 256 MiB are the least that settings allow.
    monkeypatch.setattr("service.models.lineup.MEBIBYTE", 128 * 1024)
    bearer = "a-token-of-this-test"
    app = create_app(
        Settings.model_validate(dict(with_store) | {"admin_token": bearer, "guest_memory_mb": 512})
    )
    try:
        client = app.test_client()
        told = client.get("/admin/models", headers={"Authorization": f"Bearer {bearer}"}).get_json()
        (worker,) = told["workers"]
        assert "under its memory limit of 64 MB; set CANARIO_GUEST_MEMORY_MB" in worker["challenger_trouble"]
        assert client.get("/readyz").get_json()["challenger"] == "down"
        assert metric(client, "challenger_down") == 1
    finally:
        close(app)


def test_a_check_starts_the_challenger_within_its_limits(
    with_store: Settings, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {
        "CANARIO_MODELS": str(store.folder),
        "CANARIO_UNLEASH_URL": with_store.unleash_url,
        "CANARIO_UNLEASH_SDK_TOKEN": "default:production.not-a-secret",
        "CANARIO_STATE_DIR": str(with_store.state_dir),
    }
    runner = CliRunner(env=environment)
    done = runner.invoke(main, ["--check"])
    assert (done.exit_code, done.stderr) == (0, "")
    monkeypatch.setattr("service.models.lineup.MEBIBYTE", 64 * 1024)
    done = runner.invoke(main, ["--check"])
    assert done.exit_code == 2
    assert "under its memory limit of 64 MB; set CANARIO_GUEST_MEMORY_MB to more" in done.stderr


def test_reports_of_dead_workers_do_not_count(tmp_path: Path) -> None:
    reports = Reports(tmp_path)
    reports.write(WorkerReport(pid=1))
    (tmp_path / "1.json").write_text(WorkerReport(pid=1).model_dump_json(), encoding="utf-8")  # no sibling
    (tmp_path / "99999999.json").write_text("{", encoding="utf-8")
    assert len(reports.all()) == 1
    reports.end()
    assert reports.all() == []


def test_a_state_folder_that_cannot_be_written_costs_nothing_else(
    with_store: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    models = load_models(with_store)
    monkeypatch.setattr(Path, "write_bytes", refuse)
    monkeypatch.setattr(Path, "write_text", refuse)
    LastGood(with_store).keep(models)
    assert "cannot be kept" in caplog.text
    Reports(tmp_path / "r").write(WorkerReport(pid=1))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"champion": None, "challenger": None}, "no model is named"),
        ({"models": "/models"}, "both say what is served"),
        ({"models": "/models", "champion": None}, "both say what is served"),
    ],
)
def test_the_settings_say_once_what_is_served(settings: Settings, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Settings.model_validate(dict(settings) | changes)


def ask(client: FlaskClient, bearer: str) -> dict[str, Any]:
    """What /admin/models tells."""
    response = client.get("/admin/models", headers={"Authorization": f"Bearer {bearer}"}, buffered=True)
    assert response.status_code == 200, response.text
    told: dict[str, Any] = response.get_json()
    return told


def test_the_admin_route_tells_what_each_worker_serves(with_store: Settings, store: ModelStore) -> None:
    bearer = "a-token-of-this-test"
    app = create_app(Settings.model_validate(dict(with_store) | {"admin_token": bearer}))
    try:
        client = app.test_client()
        assert client.get("/admin/models", buffered=True).status_code == 401
        told = ask(client, bearer)
        assert told["wanted"]["revision"] == 1
        assert told["wanted"]["change"] == "installed"
        assert [worker["revision"] for worker in told["workers"]] == [1]
        assert told["expected_workers"] == with_store.workers
        (report,) = with_store.workers_dir.glob("*.json")
        report.with_name("self.json").write_bytes(report.read_bytes())
        assert ask(client, bearer)["workers"] == told["workers"]
        for damaged in (b"", b"{", b"null", b"\xff", report.read_bytes()[:-9]):
            report.write_bytes(damaged)
            (worker,) = ask(client, bearer)["workers"]
            assert worker["revision"] is None
            assert str(report) in worker["refused"]["reason"]
        store.roles_file.unlink()
        told = ask(client, bearer)
        assert told["wanted"] is None
        assert ROLES_FILE in told["trouble"]
    finally:
        close(app)
