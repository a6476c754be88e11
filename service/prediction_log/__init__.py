"""The prediction log: what was asked, answered and came of it, as JSON lines (docs/prediction-log.md)."""
