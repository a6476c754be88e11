"""Guardrails: the file, what each asks Prometheus, and how it judges the answer."""
