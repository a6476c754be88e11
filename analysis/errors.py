"""Errors of the analysis, each with the exit code that `python -m analysis` ends with."""

from typing import ClassVar

from common.errors import CanarioError


class AnalysisError(CanarioError):
    """An expected failure of the analysis: wrong usage, or input that does not fit."""

    exit_code: ClassVar[int] = 2


class LogError(AnalysisError):
    """The log cannot be read, or there is nothing in it."""

    exit_code: ClassVar[int] = 3


class EngineError(LogError):
    """The engine cannot be started, reached or used."""
