"""Decisions as they are kept, explained and judged again."""
