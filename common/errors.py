"""The root of every error that Canario raises on purpose.

    CanarioError
    ├── ConfigError              common.config: a setting or a file that cannot be used
    ├── ReleaseError             common.release: models cannot change their roles now
    ├── ArtifactError            service.models.artifact: a model folder that must not be served
    ├── AdminError               flags.unleash.errors: Unleash's admin API said no, or said nothing
    ├── FlagError                flags.unleash.errors: the flag needs a person before this can be done
    ├── PrometheusError          common.prometheus: a query without a usable answer
    ├── DecisionError            rollback.decisions.log: a kept decision that is not there or cannot be read
    ├── StackError               stack.shell: a server that does not come up, a machine that lacks something
    ├── InvalidAnswerError       service.models.onnx_model: a model answered nonsense
    └── RequestError             service.api.problems: a request that is answered with a problem document

A command line prints such an error as one sentence and exits; anything else is a bug and keeps its traceback.
"""


class CanarioError(Exception):
    """An expected failure: its text says what is wrong, where, and what to do."""
