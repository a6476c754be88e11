"""The shop's two models, trained and exported: the champion knows visits, the challenger baskets too."""

from pathlib import Path

from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from common.names import Model
from drills.story.shop import BUYS, FEATURES, LEAVES, OLD, SEED, visitors
from service.export import export

TRAINED_ON, TESTED_ON = 6000, 2000  # visitors of last year


def train(folder: Path) -> dict[Model, Path]:
    """Both models as artifact folders in `folder`, by their role.

    Raises:
        ArtifactError: the ONNX model does not give scikit-learn's answers.
    """
    known = {
        Model.CHAMPION: (FEATURES[:2], make_pipeline(StandardScaler(), LogisticRegression())),
        Model.CHALLENGER: (FEATURES, RandomForestClassifier(60, max_depth=6, random_state=SEED)),
    }
    seen = visitors("last-year", TRAINED_ON + TESTED_ON, OLD)
    ready = [int(each.ready) for each in seen]
    for role, (features, model) in known.items():
        rows = [[each.features[name] for name in features] for each in seen]
        model.fit(rows[:TRAINED_ON], ready[:TRAINED_ON])
        tested = rows[TRAINED_ON:]
        export(
            model,
            folder / role,
            name=f"about-to-buy-{'visits' if role is Model.CHAMPION else 'basket'}",
            version="1",
            features=features,
            class_names=(LEAVES, BUYS),
            rows=tested,
            training={
                "data": "simulated visitors of last year, drills/story/shop.py",
                "rows": TRAINED_ON,
                "test_accuracy": round(float(accuracy_score(ready[TRAINED_ON:], model.predict(tested))), 4),
            },
        )
    return {role: folder / role for role in known}
