"""The Helm chart, rendered by Helm's own library; `python -m deploy.render` makes a Kustomize base of it.

It also copies into the chart the rules, the dashboard and the rollouts that the chart ships: Helm reads no
file outside the chart, and symbolic links do not survive every archive and checkout. Needs
requirements-kubernetes.txt, which `make test` installs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from helm_python import Chart

REPOSITORY = Path(__file__).resolve().parent.parent
CHART = REPOSITORY / "deploy" / "chart"
BASE = REPOSITORY / "deploy" / "kustomize"
SHIPPED = CHART / "files"
# Which files of the repository the chart ships, by the folder in `files` that has them.
SOURCES = {
    "rules": (REPOSITORY / "monitoring" / "rules", "*.yml"),
    "dashboards": (REPOSITORY / "monitoring" / "grafana" / "dashboards", "*.json"),
    "rollouts": (REPOSITORY / "rollouts", "*/*"),
}
HEAD = (
    "# Made from deploy/chart by `python -m deploy.render`: change the chart, or patch this in an overlay.\n"
)
PARTS = ("service", "rollback", "rollout", "board")
# Addresses and names of Secrets that an overlay replaces; the flags are provisioned by hand.
BASE_VALUES: dict[str, Any] = {
    "unleash": {"url": "http://unleash:4242"},
    "prometheus": {"url": "http://prometheus:9090"},
    "provision": {"mode": "none"},
    **{part: {"secret": {"existing": f"canario-{part}"}} for part in PARTS},
}

Document = dict[str, Any]


class _Loader(yaml.CSafeLoader):
    """`=` is a value in YAML 1.1, and a text in Kubernetes."""


def _text(_loader: _Loader, node: yaml.Node) -> str:
    return str(node.value)


_Loader.add_constructor("tag:yaml.org,2002:value", _text)


def documents(
    chart: Chart, values: Document, *, name: str = "canario", namespace: str = "ml"
) -> list[Document]:
    """All objects in the order of their files.

    Raises:
        helm_python.HelmError: values do not fit; the text says which, and what would.
    """
    texts = chart.render(values, name=name, namespace=namespace)
    return [
        document
        for path, text in sorted(texts.items())
        if path.endswith(".yaml")
        for document in yaml.load_all(text, Loader=_Loader)
        if document
    ]


def base(chart: Chart) -> dict[str, str]:
    """The files of the Kustomize base by name."""
    made: dict[str, list[Document]] = {}
    for document in documents(chart, BASE_VALUES):
        del document["metadata"]["namespace"]
        labels = document["metadata"]["labels"]
        for of_helm in ("helm.sh/chart", "app.kubernetes.io/managed-by"):
            del labels[of_helm]
        made.setdefault(f"{labels['app.kubernetes.io/component']}.yaml", []).append(document)
    files = {
        name: HEAD + yaml.safe_dump_all(made[name], sort_keys=False, width=10_000) for name in sorted(made)
    }
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": sorted(files),
    }
    return files | {"kustomization.yaml": HEAD + yaml.safe_dump(kustomization, sort_keys=False)}


def shipped() -> dict[str, str]:
    """The chart's copies of files of the repository, by their path in `files`."""
    return {
        f"{folder}/{file.relative_to(source)}": file.read_text(encoding="utf-8")
        for folder, (source, pattern) in SOURCES.items()
        for file in sorted(source.glob(pattern))
    }


def found(folder: Path) -> dict[str, str]:
    """What is in a folder that this command writes, by path."""
    return {
        str(file.relative_to(folder)): file.read_text(encoding="utf-8")
        for file in folder.rglob("*")
        if file.is_file()
    }


def write(folder: Path, wanted: dict[str, str]) -> None:
    """Make the folder hold just what is wanted."""
    there = found(folder)
    if there == wanted:
        return
    for name in there.keys() - wanted.keys():
        (folder / name).unlink()
    for name, text in wanted.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    print(f"wrote {folder}")


def main() -> None:
    """Write deploy/chart/files, and deploy/kustomize from the chart."""
    from helm_python import Chart  # noqa: PLC0415 - a library of 85 MB, for this command alone

    write(SHIPPED, shipped())
    write(BASE, base(Chart.load(CHART)))  # rendered from the chart as it is now, copies included


if __name__ == "__main__":
    main()
