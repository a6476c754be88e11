"""Unleash's users and tokens, with the least rights."""
