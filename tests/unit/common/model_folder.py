"""As much of a model as a store looks at."""

import hashlib
import json
from pathlib import Path

from common.model_store import METADATA_FILE, MODEL_FILE


def model(folder: Path, name: str, content: bytes = b"onnx") -> Path:
    """A folder that holds as much of a model as a store looks at."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx = content + name.encode()
    (folder / MODEL_FILE).write_bytes(onnx)
    told = {"name": name, "version": "1", "sha256": hashlib.sha256(onnx).hexdigest(), "features": []}
    (folder / METADATA_FILE).write_text(json.dumps(told), encoding="utf-8")
    return folder
