"""The prediction log as three tables, wherever it lies: `open_log`."""

from analysis.log.columns import context_of, contexts, moment
from analysis.log.engine import BadLine, BadLines
from analysis.log.open import ALL, Log, open_log

__all__ = ["ALL", "BadLine", "BadLines", "Log", "context_of", "contexts", "moment", "open_log"]
