"""The prediction log: what was asked, answered and came of it, as JSON lines (docs/prediction-log.md)."""

from service.records.log import NoLog, PredictionLog, RecordLog
from service.records.users import Users, user_key

__all__ = ["NoLog", "PredictionLog", "RecordLog", "Users", "user_key"]
