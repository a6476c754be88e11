"""Flags in Unleash: the desired ones, what changes them, and the users that may."""
