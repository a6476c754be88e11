"""Gunicorn's workers: how they start, read requests and share their threads."""
