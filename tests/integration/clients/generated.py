"""The client that openapi-python-client made calls every route; runs in the venv of clients.

`generated.py URL < asked.json`, JSON out: the status of each operation.
"""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def main() -> None:
    """Call each operation of the package `made` with the arguments that stand on standard input."""
    asked = json.load(sys.stdin)
    made = import_module("made")
    client = made.AuthenticatedClient(base_url=sys.argv[1], token=asked["token"])
    told: dict[str, Any] = {}
    for file in sorted(Path(str(made.__file__)).parent.glob("api/*/*.py")):
        if file.stem != "__init__":
            operation = import_module(f"made.api.{file.parent.name}.{file.stem}")
            told[file.stem] = [
                _call(operation, client, arguments) for arguments in asked["calls"].get(file.stem, [{}])
            ]
    json.dump(told, sys.stdout)


def _call(operation: Any, client: Any, arguments: dict[str, Any]) -> list[Any]:
    body = arguments.get("body")
    if isinstance(body, dict) and (kind := operation.sync_detailed.__annotations__["body"]) is not Any:
        arguments = arguments | {"body": kind.from_dict(body)}
    said = operation.sync_detailed(client=client, **arguments)
    return [said.status_code, type(said.parsed).__name__]


if __name__ == "__main__":
    main()
