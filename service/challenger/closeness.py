"""How close the challenger's answers are where agreement says nothing: order of scores, rarer classes, shift.

Where 1.6% of the requests are fraud, a model that never says so agrees with another one on nearly all. So
three more things are counted, each without memory of single requests:

    pairs      of two requests, one after the other: do both models put them into the same order? Of two
               classes one request is in the twentieth where the champion sees the rarer class, the other is
               not: among the many ordinary ones two good models have no order in common
    classes    how often each model chose a class, and both of them did
    scores     into which part of the champion's usual scores a score falls
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from common.names import Model
from service.models.artifact import Metadata
from service.models.onnx_model import Answer

SAME, OPPOSITE, TIED = "same", "opposite", "tied"
BOTH = "both"
# Of probabilities, where the champion's model.json has none: finer at both ends, where rare classes are.
USUAL_EDGES = (
    0.001,
    0.003,
    0.01,
    0.03,
    0.1,
    0.2,
    0.3,
    0.4,
    0.5,
    0.6,
    0.7,
    0.8,
    0.9,
    0.97,
    0.99,
    0.997,
    0.999,
)

Table = npt.NDArray[np.floating[Any]]


def score_edges(champion: Metadata) -> list[float]:
    """Between the parts of its usual scores; none of a regressor whose model.json has none."""
    return list(champion.scores) or (list(USUAL_EDGES) if champion.classes else [])


class Counted(NamedTuple):
    """What a batch adds.

    Attributes:
        pairs: by order; none of two requests of one user, nor where the champion has no order.
        classes: by name of the class and by whom.
        scores: by model and place between the edges.
    """

    pairs: Counter[str]
    classes: Counter[tuple[str, str]]
    scores: Counter[tuple[str, int]]


class _Before(NamedTuple):
    user: str
    champion: Table
    challenger: Table
    chosen: int


class Closeness:
    """Counts batch after batch; a pair may begin in one batch and end in the next. For one thread."""

    def __init__(self, champion: Metadata, challenger: Metadata) -> None:
        self._names = [each.name for each in challenger.classes]
        self._places = {name: at for at, name in enumerate(self._names)}
        self.edges = score_edges(champion)
        self._before: _Before | None = None
        self._rarer: tuple[float, int] | None = None  # the edge of that twentieth, and on which side it lies
        if len(self._names) == 2 and champion.scores:
            is_above = champion.scores[len(champion.scores) // 2] < 0.5
            self._rarer = (champion.scores[-1], 1) if is_above else (champion.scores[0], -1)

    def count(
        self, users: Sequence[str], champion: Sequence[Answer], chosen: npt.NDArray[np.intp], numbers: Table
    ) -> Counted:
        """What these answers add.

        Args:
            users: of each request.
            champion: its answers.
            chosen: the challenger's classes, shape (n,).
            numbers: its probabilities of all classes or its value, shape (n, classes or 1).
        """
        counted = Counted(Counter(), Counter(), Counter())
        for at, (user, answer) in enumerate(zip(users, champion, strict=True)):
            theirs = numbers[at].astype(np.float64)
            if not self._names:
                ours, place = np.array([float(answer.label)]), 0
            else:
                ours, place = np.array(answer.probabilities or ()), self._places[str(answer.class_name)]
                name, other = self._names[place], self._names[int(chosen[at])]
                counted.classes[name, Model.CHAMPION] += 1
                counted.classes[other, Model.CHALLENGER] += 1
                if name == other:
                    counted.classes[name, BOTH] += 1
            if len(ours) != len(theirs):  # a champion that tells of one class only
                continue
            if self.edges:
                for role, table, its in (
                    (Model.CHAMPION, ours, place),
                    (Model.CHALLENGER, theirs, int(chosen[at])),
                ):
                    score = table[1] if len(table) == 2 else table[its if self._names else 0]
                    counted.scores[role, bisect_right(self.edges, float(score))] += 1
            self._pair(user, ours, theirs, place, counted.pairs)
        return counted

    def _pair(self, user: str, ours: Table, theirs: Table, place: int, pairs: Counter[str]) -> None:
        """Compare with the request before, if that one is still without a pair."""
        before = self._before
        if before is None:
            self._before = _Before(user, ours, theirs, place)
            return
        self._before = None
        if before.user == user:
            return
        if self._rarer and self._is_rare(before.champion) is self._is_rare(ours):
            return
        which = before.chosen
        if len(ours) == 2:  # the rarer one's are far from 1, where 32 bits tell least apart
            which = 0 if self._rarer and self._rarer[1] < 0 else 1
        order = np.sign(ours[which] - before.champion[which])
        if order:
            other = np.sign(theirs[which] - before.challenger[which])
            pairs[SAME if other == order else OPPOSITE if other else TIED] += 1

    def _is_rare(self, ours: Table) -> bool:
        """Whether the champion's probability of the second class is in the twentieth of the rarer one."""
        if self._rarer is None:
            return False
        edge, side = self._rarer
        return side * (float(ours[1]) - edge) >= 0.0
