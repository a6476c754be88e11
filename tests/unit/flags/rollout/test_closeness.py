"""Where a class is rare, agreement says nothing: the default plan looks at scores and at the rarer class."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from flags.rollout.closeness import Closeness, of_closeness
from flags.rollout.schema import Stage, load_plan
from service.challenger.closeness import Closeness as Counting
from service.models.artifact import Metadata
from service.models.onnx_model import Answer

RARE = 0.016  # of the requests are fraud
SAMPLES = 10_000


def rules() -> Stage:
    stage = load_plan().shadow
    assert stage is not None
    assert stage.samples == SAMPLES
    return stage


def metadata(classes: list[str], scores: list[float] | None = None) -> Metadata:
    task: dict[str, Any] = {
        "task": "classification",
        "classes": [{"label": name, "name": name} for name in classes],
    }
    return Metadata.model_validate(
        {
            "format": 2,
            "name": "m",
            "version": "1",
            "features": [{"name": "a", "type": "number", "example": 1.0}],
            "sha256": "0" * 64,
            "scores": scores or [],
            **(task if classes else {"task": "regression", "tolerance": {}}),
        }
    )


def counted(
    champion: Any, challenger: Any, classes: list[str], edges: list[float] | None = None
) -> Closeness:
    """What the service counts of these probabilities, shape (n, classes), each of a user of its own."""
    counting = Counting(metadata(classes, edges), metadata(classes))
    answers = [
        Answer(classes[row.argmax()], classes[row.argmax()], float(row.max()), row.tolist())
        for row in champion
    ]
    users = [str(at) for at in range(len(answers))]
    pairs: Counter[str] = Counter()
    chosen: Counter[tuple[str, str]] = Counter()
    scores: Counter[tuple[str, int]] = Counter()
    for at in range(0, len(answers), 64):
        part = slice(at, at + 64)
        found = counting.count(users[part], answers[part], challenger[part].argmax(axis=1), challenger[part])
        pairs += found.pairs
        chosen += found.classes
        scores += found.scores
    return Closeness(pairs, chosen, scores)


def judged(seen: Closeness) -> dict[str, bool]:
    return {one.name: one.holds for one in of_closeness(rules(), seen)}


@pytest.fixture(scope="module")
def fraud() -> dict[str, Any]:
    """Probabilities of two classes that models give the same requests: `champion`, and others."""
    rows, labels = make_classification(
        30_000, 12, n_informative=6, weights=[1 - RARE], flip_y=0.002, class_sep=1.2, random_state=3
    )
    train, test, of_train, of_test = train_test_split(rows, labels, train_size=0.5, random_state=0)
    test, of_test = test[:SAMPLES], of_test[:SAMPLES]
    random = np.random.default_rng(0)
    models = {
        "champion": LogisticRegression().fit(train, of_train),
        "forest": RandomForestClassifier(100, min_samples_leaf=5, random_state=0, n_jobs=1).fit(
            train, of_train
        ),
    }
    found = {name: model.predict_proba(test) for name, model in models.items()}
    # It has learned nothing: whom it finds suspicious is chance, as often as the champion finds somebody.
    found["useless"] = random.permutation(found["champion"])
    found["constant"] = np.tile([1 - RARE, RARE], (len(test), 1))
    found["upside down"] = found["champion"][:, ::-1]
    found["truth"] = of_test
    return found


def edges_of(champion: Any) -> list[float]:
    """As its model.json has them."""
    return sorted(set(np.quantile(champion[:, 1], np.linspace(0.05, 0.95, 19)).tolist()))


def test_a_useless_challenger_agrees_and_does_not_pass(fraud: dict[str, Any]) -> None:
    champion, useless = fraud["champion"], fraud["useless"]
    assert roc_auc_score(fraud["truth"], useless[:, 1]) == pytest.approx(0.5, abs=0.06)
    agreement = float((champion.argmax(axis=1) == useless.argmax(axis=1)).mean())
    limit = rules().agreement
    assert limit is not None
    assert agreement > limit  # what the plan went by before
    assert judged(counted(champion, useless, ["fine", "fraud"], edges_of(champion))) == {
        "rank correlation": False,
        "rarer class": False,
        "score shift": True,
    }


@pytest.mark.parametrize(
    ("name", "holds"),
    [("champion", True), ("forest", True), ("useless", False), ("constant", False), ("upside down", False)],
)
def test_the_default_plan_tells_models_apart(fraud: dict[str, Any], name: str, holds: bool) -> None:
    champion = fraud["champion"]
    found = judged(counted(champion, fraud[name], ["fine", "fraud"], edges_of(champion)))
    assert all(found.values()) is holds, found


def test_each_is_told_in_a_line(fraud: dict[str, Any]) -> None:
    seen = counted(fraud["champion"], fraud["champion"], ["fine", "fraud"])
    told = [one.sentence for one in of_closeness(rules(), seen)]
    assert told[0].startswith(
        "both models put two requests into the same order in 100% of 5,000 pairs: 1.00 ("
    )
    assert "requests for which one model chose fraud, both did for 100% (" in told[1]
    assert told[2] == "the distributions of their scores are 0% apart, 50% allowed"
    assert not any("\n" in each for each in told)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param(Closeness(), [True, True, True], id="a service that does not count it"),
        pytest.param(
            Closeness({}, {}, {}), [False, True, True], id="nothing yet, of regressors without scores"
        ),
        pytest.param(
            Closeness({"same": 0.0}, {("a", "champion"): 0.0}, {("champion", 0): 0.0}),
            [False, False, False],
            id="nothing yet",
        ),
        pytest.param(
            Closeness({"same": 500.0}, {("a", by): 1000.0 for by in ("champion", "challenger", "both")}, {}),
            [True, True, True],
            id="one class alone",
        ),
        pytest.param(
            Closeness(
                {"same": 3.0}, {("a", "champion"): 9.0, ("a", "challenger"): 8.0, ("b", "challenger"): 1.0}
            ),
            [False, False, True],
            id="too few",
        ),
    ],
)
def test_what_is_not_known_is_not_taken_for_good(seen: Closeness, expected: list[bool]) -> None:
    assert [one.holds for one in of_closeness(rules(), seen)] == expected


def test_values_are_compared_by_order_and_by_the_champions_parts() -> None:
    random = np.random.default_rng(1)
    champion = random.normal(100, 20, 4000)
    edges = np.quantile(champion, np.linspace(0.05, 0.95, 19)).tolist()

    def of_values(challenger: Any) -> dict[str, bool]:
        counting = Counting(metadata([], edges), metadata([]))
        users = [str(at) for at in range(len(champion))]
        answers = [Answer(float(value)) for value in champion]
        return judged(
            Closeness(*counting.count(users, answers, np.zeros(len(champion), np.intp), challenger[:, None]))
        )

    good = {"rank correlation": True, "rarer class": True, "score shift": True}
    assert of_values(champion) == good
    assert of_values(champion + random.normal(0, 10, 4000)) == good
    assert of_values(champion / 1000) == good | {"score shift": False}  # kEUR for EUR
    assert of_values(random.normal(100, 20, 4000)) == good | {"rank correlation": False}


def test_pairs_of_one_user_and_without_an_order_are_none() -> None:
    counting = Counting(metadata(["a", "b"]), metadata(["a", "b"]))

    def answers(*seconds: float) -> list[Answer]:
        return [Answer("a", "a", 1 - p, [1 - p, p]) for p in seconds]

    def pairs(users: list[str], ours: list[float], theirs: list[float]) -> dict[str, int]:
        table = np.array([[1 - p, p] for p in theirs])
        return dict(counting.count(users, answers(*ours), np.zeros(len(ours), np.intp), table).pairs)

    assert pairs(["u", "u"], [0.1, 0.2], [0.1, 0.2]) == {}
    assert pairs(["u", "v"], [0.2, 0.2], [0.1, 0.2]) == {}
    assert pairs(["u", "v"], [0.1, 0.2], [0.2, 0.2]) == {"tied": 1}
    assert pairs(["u"], [0.1], [0.4]) == {}
    assert pairs(["v", "w"], [0.2, 0.3], [0.3, 0.3]) == {"opposite": 1}  # with the one of the batch before


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=60), st.integers(1, 9))
def test_counts_do_not_depend_on_batches(both: list[tuple[float, float]], size: int) -> None:
    ours = [Answer("a", "a", 1 - p, [1 - p, p]) for p, _ in both]
    theirs = np.array([[1 - q, q] for _, q in both])
    users = [f"u{at % 3}" for at in range(len(both))]

    def total(step: int) -> tuple[Any, ...]:
        counting = Counting(metadata(["a", "b"]), metadata(["a", "b"]))
        sums: list[Counter[Any]] = [Counter(), Counter(), Counter()]
        for at in range(0, len(both), step):
            part = slice(at, at + step)
            found = counting.count(users[part], ours[part], theirs[part].argmax(axis=1), theirs[part])
            sums[0].update(found.pairs)
            sums[1].update(found.classes)
            sums[2].update(found.scores)
        return tuple(sums)

    whole = total(len(both))
    assert total(size) == whole
    for by in ("champion", "challenger"):
        assert sum(count for (whose, _), count in whole[2].items() if whose == by) == len(both)
        assert sum(count for (_, whose), count in whole[1].items() if whose == by) == len(both)
