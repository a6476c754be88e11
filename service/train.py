"""Trains the example: champion and challenger on scikit-learn's breast cancer data.

python -m service.train --out DIR     writes DIR/champion and DIR/challenger
"""

import sys
from pathlib import Path

import click
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from common.errors import CanarioError
from common.names import Model
from service.export import export
from service.models.artifact import Artifact

SEED = 42
TEST_SHARE = 0.3
TREES = 200


def example_models() -> dict[Model, tuple[str, Pipeline]]:
    """Name and unfitted pipeline of each role."""
    return {
        Model.CHAMPION: (
            "breast-cancer-logistic-regression",
            make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, random_state=SEED)),
        ),
        Model.CHALLENGER: (
            "breast-cancer-random-forest",
            make_pipeline(RandomForestClassifier(n_estimators=TREES, random_state=SEED, n_jobs=-1)),
        ),
    }


def train(role: Model, folder: Path, version: str = "1") -> Artifact:
    """Fit the example model of `role` on 70% of the data and export it to `folder`.

    Raises:
        ArtifactError: the ONNX model does not give scikit-learn's answers on the other 30%.
    """
    data = load_breast_cancer()
    train_rows, test_rows, train_labels, test_labels = train_test_split(
        data.data, data.target, test_size=TEST_SHARE, random_state=SEED, stratify=data.target
    )
    name, pipeline = example_models()[role]
    pipeline.fit(train_rows, train_labels)
    return export(
        pipeline,
        folder,
        name=name,
        version=version,
        features=[str(feature) for feature in data.feature_names],
        class_names=[str(target) for target in data.target_names],
        rows=test_rows,
        training={
            "data": "scikit-learn breast_cancer, 70/30 stratified",
            "seed": SEED,
            "rows": len(train_rows),
            "test_rows": len(test_rows),
            "test_accuracy": round(float(accuracy_score(test_labels, pipeline.predict(test_rows))), 6),
            "test_roc_auc": round(
                float(roc_auc_score(test_labels, pipeline.predict_proba(test_rows)[:, 1])), 6
            ),
        },
    )


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".canario/models"),
    show_default=True,
    help="Folder to write champion/ and challenger/ into.",
)
def main(out: Path) -> None:
    """Train the example models and write their artifact folders.

    The champion is a logistic regression, the challenger a random forest of 200 trees. Each is exported to
    ONNX only if ONNX Runtime gives scikit-learn's answers on the held-out 30%.

    Exit codes: 0 both written; 2 a model failed its parity gate or could not be written.
    """
    for role in Model:
        try:
            artifact = train(role, out / role)
        except (CanarioError, OSError) as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(2)
        about = artifact.metadata
        click.echo(
            f"{role:<10} {about.name} {about.version}: accuracy {about.training['test_accuracy']:.3f}, "
            f"differs from scikit-learn by {about.parity['greatest_difference']:.1e} at most "
            f"-> {artifact.folder}"
        )


if __name__ == "__main__":
    main()
