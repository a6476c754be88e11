"""The servers of others that a stack runs, and where they come from.

PostgreSQL and Node from the venv, Unleash from npm, Prometheus and Alertmanager from Debian.
"""
