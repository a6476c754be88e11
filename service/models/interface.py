"""What requests bring and what each model takes of it, where the two models take other features.

A row of a request has the features of the champion, then those that only the challenger takes. Each model
gets its own. A feature that is missing is a gap to the model that takes gaps in it, and else that model's
error: the champion's is the client's 422, the challenger's leaves the user with the champion.
"""

from functools import cached_property
from typing import Any

import numpy as np

from service.models.artifact import Feature, Metadata
from service.models.onnx_model import Row


class RequestForm(Metadata):
    """The champion's metadata with the features of both models.

    Attributes:
        ignored: names that may still come and that nobody takes.
        taken_by: of a feature that not both models take, which one does.
    """

    ignored: frozenset[str] = frozenset()
    taken_by: dict[str, str] = {}  # noqa: RUF012 - pydantic copies it


def columns_of_champion(metadata: Metadata) -> int:
    """How many of the features of a request the champion takes; they come first."""
    more = metadata.taken_by if isinstance(metadata, RequestForm) else {}
    return len(metadata.features) - sum(by == "challenger" for by in more.values())


class Interface:
    """Of the models that serve together.

    Args:
        retired: names that models before took: they may still come, and go to nobody.

    Attributes:
        champion: its metadata.
        metadata: of the rows of requests: the champion's, where both models take the same.
        is_one: whether both take the rows of requests as they are.
    """

    def __init__(
        self, champion: Metadata, challenger: Metadata | None, retired: frozenset[str] = frozenset()
    ) -> None:
        self.champion, self._challenger = champion, challenger
        known = set(champion.names)
        theirs = set(challenger.names) if challenger else known
        # The champion does without them, so that no request is refused because of them.
        more = [
            each.model_copy(update={"gaps": True})
            for each in (challenger.features if challenger else [])
            if each.name not in known
        ]
        ignored = retired - known - theirs
        self.metadata: Metadata = champion
        if more or ignored or known != theirs:
            taken_by = {name: "champion" for name in known - theirs}
            taken_by |= {each.name: "challenger" for each in more}
            fields: dict[str, Any] = {name: getattr(champion, name) for name in Metadata.model_fields}
            fields |= {"features": [*champion.features, *more], "ignored": ignored, "taken_by": taken_by}
            self.metadata = RequestForm.model_construct(**fields)
        self.is_one = self.metadata is champion and self._places is None and not self._strict

    def knows(self, name: str) -> bool:
        """Whether a request may bring a feature of this name."""
        return name in self.metadata.names or name in getattr(self.metadata, "ignored", ())

    def of_champion(self, rows: Row) -> Row:
        """The champion's part of the rows of a request, shape (n, its features)."""
        columns = len(self.champion.features)
        if len(self.metadata.features) == columns:
            return rows
        return _as_taken(rows[:, :columns], self.champion)

    def of_challenger(self, rows: Row) -> Row | None:
        """The challenger's part; None where a row lacks what it needs."""
        if self._places is not None and self._challenger is not None:
            rows = _as_taken(rows[:, self._places], self._challenger)
        if self._strict and _has_gap(rows[:, self._strict]):
            return None
        return rows

    @cached_property
    def _places(self) -> list[int] | None:
        """Of the challenger's features in a row; None where it takes rows as they are."""
        names = self.metadata.names
        theirs = self._challenger.names if self._challenger else names
        return None if theirs == names else [names.index(name) for name in theirs]

    @cached_property
    def _strict(self) -> list[int]:
        """The places, in the challenger's own order, of features that may be missing and that it needs."""
        features: list[Feature] = self._challenger.features if self._challenger else []
        return [at for at, each in enumerate(features) if each.name in self.metadata.gaps and not each.gaps]


def _as_taken(rows: Row, metadata: Metadata) -> Row:
    """In the form of the model's own rows, of one piece."""
    if metadata.has_strings:
        return np.ascontiguousarray(rows, dtype=np.object_)
    return np.ascontiguousarray(rows, dtype=np.float32)


def _has_gap(rows: Row) -> bool:
    if rows.dtype == np.float32:
        return bool(np.isnan(rows).any())
    return any(value is None for value in rows.ravel())
