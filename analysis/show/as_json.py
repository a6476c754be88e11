"""A report for a program: the answer, its warnings, and every figure by name."""

import json
from math import isfinite
from typing import Any

from analysis.reports.document import Report


def as_json(report: Report) -> str:
    """Standard JSON: what is no number (NaN, infinities) becomes null, which other languages can read."""
    fields = {
        "title": report.title,
        "answer": report.answer,
        "tone": report.tone,
        "warnings": list(report.warnings),
        "numbers": report.numbers,
    }
    return json.dumps(_standard(fields), indent=2, allow_nan=False, ensure_ascii=False)


def _standard(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _standard(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_standard(each) for each in value]
    if isinstance(value, float):
        return float(value) if isfinite(value) else None  # numpy's float64 is a float, too
    return value
