"""The comparison before a model is offered: as the shadow stage judges, on rows from a file."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression

from flags.rollout.schema import load_plan
from service.export import export
from service.models.artifact import Artifact, ArtifactError
from service.nightly import differences

Make = Callable[[str], Artifact]
ROWS, LABELS = make_classification(4000, 6, n_informative=4, weights=[0.9], random_state=0)
FRAME = pd.DataFrame(ROWS, columns=list("abcdef"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Make:
    def _made(kind: str) -> Artifact:
        labels = np.random.default_rng(1).permutation(LABELS) if kind == "useless" else LABELS
        names = list("bcdef") if kind == "narrow" else list("abcdef")
        fitted = LogisticRegression(C=0.5 if kind == "another" else 1.0).fit(FRAME[names], labels)
        folder = tmp_path_factory.mktemp(kind)
        return export(fitted, folder, name=kind, version="1", rows=FRAME[names].head(200))

    return _made


@pytest.mark.parametrize(
    ("kind", "passes"), [("champion", True), ("another", True), ("narrow", True), ("useless", False)]
)
def test_a_challenger_is_compared_as_in_shadow(made: Make, kind: str, passes: bool) -> None:
    rules = load_plan().shadow
    assert rules is not None
    found = differences(made("champion"), made(kind), FRAME, rules)
    assert (found == []) is passes, found
    if not passes:
        assert any(each.startswith("rank correlation: ") for each in found)


def test_rows_that_lack_a_feature_are_told(made: Make) -> None:
    rules: Any = load_plan().shadow
    with pytest.raises(ArtifactError, match="the rows have no column 'a'"):
        differences(made("narrow"), made("champion"), FRAME.drop(columns="a"), rules)
