"""deploy/chart/README.md, made from values.yaml: `python -m docs.chart` writes it.

Each value has a comment above it, which becomes its line in the table.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import yaml

REPOSITORY: Final = Path(__file__).resolve().parent.parent
CHART: Final = REPOSITORY / "deploy" / "chart"
PAGE: Final = CHART / "README.md"
HEAD: Final = """\
# Helm chart of Canario

Made from [values.yaml](values.yaml) by `python -m docs.chart`; a test fails where this page and the values
differ. [Kubernetes](../../docs/kubernetes.md) says how to install it, what was proved on what, and how
Argo CD and Flux leave weights alone.

```
helm install canario deploy/chart --namespace ml --create-namespace --values my-values.yaml
```

| value | default | meaning |
|---|---|---|
"""
_KEY: Final = re.compile(r"^(?P<indent> *)(?P<name>[A-Za-z]\w*):(?P<rest>.*)$")
LONGEST_DEFAULT: Final = 60


class Row(NamedTuple):
    """One value; `default` as it would be written."""

    name: str
    default: str
    meaning: str


def rows() -> Iterator[Row]:
    """All values that have a comment, in the order of the file."""
    path: list[str] = []
    comment: list[str] = []
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            comment.append(stripped.removeprefix("#").strip())
            continue
        found = _KEY.match(line)
        if found:
            depth = len(found["indent"]) // 2
            path = [*path[:depth], found["name"]]
            if comment:
                yield Row(".".join(path), _default(values, path), " ".join(comment))
        comment = []


def _default(values: object, path: list[str]) -> str:
    for name in path:
        assert isinstance(values, dict)  # noqa: S101 - the file was parsed by the same names
        values = values[name]
    written = yaml.safe_dump(values, default_flow_style=True, width=10_000, sort_keys=False)
    written = written.removesuffix("\n...\n").strip()
    return written if len(written) <= LONGEST_DEFAULT else "see values.yaml"


def page() -> str:
    """The page as Markdown."""
    lines = [
        f"| `{row.name}` | {'' if row.default in ('', chr(39) * 2) else f'`{row.default}`'} |"
        f" {row.meaning.replace('|', chr(92) + '|')} |"
        for row in rows()
    ]
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
