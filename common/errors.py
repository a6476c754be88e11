"""The root of every error that Canario raises on purpose.

    CanarioError
    ├── ConfigError              common.config: a setting or a file that cannot be used
    ├── ArtifactError            service.artifact: a model folder that must not be served
    ├── AdminError               flags.admin: Unleash's admin API said no, or said nothing
    └── PrometheusError          rollback.prometheus: a query without a usable answer

A command line prints such an error as one sentence and exits; anything else is a bug and keeps its traceback.
"""


class CanarioError(Exception):
    """An expected failure: its text says what is wrong, where, and what to do."""
