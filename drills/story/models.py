"""The two models of a stack, asked without the service: what the shadow report must find."""

from collections.abc import Sequence
from pathlib import Path

from common.errors import CanarioError
from common.model_store import ModelStore
from drills.story.truth import User
from service.artifact import load_artifact
from service.model import OnnxModel, array_of


class ModelsError(CanarioError):
    """The stack's models are not those that the story is about."""


def true_agreement(folder: Path, rows: Sequence[Sequence[float]], users: Sequence[User]) -> float:
    """Share of the users for whose features both models of the models folder say the same class.

    Raises:
        ModelsError: there is no challenger, or the models do not take these rows.
        ConfigError, ArtifactError: the models cannot be read.
    """
    store = ModelStore(folder)
    roles = store.read().roles
    if roles.challenger is None:
        raise ModelsError(
            "there is no challenger: give one that role by `python3 -m stack exec python -m flags models`"
        )
    models = [OnnxModel(load_artifact(store.path(each))) for each in (roles.champion, roles.challenger)]
    if any(len(each.metadata.features) != len(rows[0]) or each.metadata.has_strings for each in models):
        raise ModelsError(
            "the story's users bring the example models' features, and these are other models: try it in a"
            " stack of its own, CANARIO_HOME=/tmp/story make story"
        )
    said = [[model.answer(array_of([list(row)], model.metadata)).label for row in rows] for model in models]
    return sum(said[0][each.row] == said[1][each.row] for each in users) / len(users)
