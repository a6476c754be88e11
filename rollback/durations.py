"""Durations of the policy file, see common.durations."""

from common.durations import Duration, format_duration, parse_duration

__all__ = ["Duration", "format_duration", "parse_duration"]
