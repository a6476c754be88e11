"""Changes to the files of a model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    file = folder / "model.json"
    metadata = json.loads(file.read_text(encoding="utf-8"))
    change(metadata)
    file.write_text(json.dumps(metadata, indent=2), encoding="utf-8")
    return folder
