"""The release that was served last: what a worker that starts serves when `roles.json` is no good.

It is kept in the state folder. Running workers refuse a bad release and go on with the old one. One that must
start meanwhile has no old one; if it failed, gunicorn would give up and take the others along.
"""

import logging
import os
from pathlib import Path
from typing import NamedTuple

from common.errors import CanarioError
from common.model_store import read_release
from common.release import Release
from service.models import Models, load_models, load_release
from service.settings import Settings

log = logging.getLogger(__name__)

FILE = "last-good-models.json"


class Loaded(NamedTuple):
    """Models to serve, and why they are not those that `roles.json` wants; None where they are."""

    models: Models
    refused: str | None


def load_or_last_good(settings: Settings) -> Loaded:
    """The models that the settings want, or else those that were served last.

    Raises:
        CanarioError: as `load_models`, where there are no others.
    """
    try:
        return Loaded(load_models(settings), None)
    except CanarioError as error:
        if settings.models is None:
            raise
        try:
            models = load_release(settings, read_release(_file(settings)))
        except CanarioError:
            raise error from None
        return Loaded(models, str(error))


def remember(settings: Settings, release: Release) -> None:
    """Keep `release` as one that can be served. A state folder that cannot be written costs only this."""
    file = _file(settings)
    new = file.with_suffix(f".{os.getpid()}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(release.model_dump_json(), encoding="utf-8")
        new.replace(file)
    except OSError as error:
        log.warning("the models that are served cannot be noted in %s: %s", file, error)


def _file(settings: Settings) -> Path:
    # Services may share a state folder, and serve other models.
    return settings.state_dir / f"{settings.bind.replace('/', '_')}-{FILE}"
