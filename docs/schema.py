"""docs/rollout.schema.json, made from the models that read a file: `python -m docs.schema` writes it.

Editors complete a file by it. What a file means together, as a guardrail whose signal is missing, only
`./canario check` tells.
"""

import json
from pathlib import Path
from typing import Any, Final

from common.rollouts import OUR_SERVICE
from docs.settings import REPOSITORY
from flags.mesh.routes import RoutedFile
from flags.rollout.schema import RolloutPlan
from flags.rollout.settings import TEMPLATES as PLANS
from rollback.guardrails.file import Policy
from rollback.rollouts import TEMPLATES as GUARDRAILS

FILE: Final = REPOSITORY / "docs" / "rollout.schema.json"


def schema() -> dict[str, Any]:
    """JSON schema of rollouts/NAME/rollout.yaml, with guardrails and plan."""
    made = RoutedFile.model_json_schema()
    made["title"] = "A rollout of Canario"
    signals = made["properties"]["signals"]
    made["properties"]["signals"] = {"anyOf": [{"const": OUR_SERVICE}, signals]}
    parts: tuple[tuple[str, type[Policy | RolloutPlan], dict[str, Path]], ...] = (
        ("guardrails", Policy, GUARDRAILS),
        ("plan", RolloutPlan, PLANS),
    )
    for name, model, templates in parts:
        inline = model.model_json_schema(ref_template="#/$defs/{model}")
        made["$defs"] |= inline.pop("$defs", {})
        made["properties"][name] |= {
            "anyOf": [
                {"enum": sorted(templates), "description": "A template."},
                {"type": "string", "description": "A file beside this one."},
                inline,
            ]
        }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def text() -> str:
    """As it stands in the file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
