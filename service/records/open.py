"""Opens the prediction log that the settings ask for."""

from service.records.files import LogFiles
from service.records.log import Limits, NoLog, PredictionLog, RecordLog
from service.settings import Settings
from service.telemetry import Telemetry

MEBIBYTE = 1024 * 1024


def open_log(settings: Settings, telemetry: Telemetry) -> RecordLog:
    """The log, or one that forgets. Call it after the fork of a worker."""
    if not settings.log_predictions:
        return NoLog()
    folder = settings.log_dir or settings.state_dir / "log"
    return PredictionLog(
        LogFiles(folder, settings.log_file_mb * MEBIBYTE, settings.log_files),
        Limits(settings.log_queue_records, settings.log_queue_mb * MEBIBYTE),
        settings.log_flush_seconds,
        telemetry.logged,
        telemetry.log_dropped,
    )
