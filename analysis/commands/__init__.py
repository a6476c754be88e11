"""Subcommands of `python -m analysis`, one module each."""
