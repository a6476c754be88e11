"""Flags as a file: compared with Unleash, and applied."""
