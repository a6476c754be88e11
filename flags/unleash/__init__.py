"""Unleash's admin API: the one door to it."""
