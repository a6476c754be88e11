"""What can go wrong with the stack, each with the exit code of the command line.

CanarioError
└── StackError            1  a step failed, or something that should run does not
    ├── MachineLacks      3  the machine has not what is needed; the text has the command that brings it
    └── Refused           4  not done, because it would harm; the text says what to do first
"""
# ruff: noqa: N818  (the names say what happened; the suffix would say it twice)

from common.errors import CanarioError


class StackError(CanarioError):
    """A step failed. The text says which, where its log is, and what to do."""

    exit_code = 1


class MachineLacks(StackError):
    """A command or library of the machine is missing."""

    exit_code = 3


class Refused(StackError):
    """The command was understood and not carried out."""

    exit_code = 4
