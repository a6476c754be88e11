"""What can go wrong with the stack, each with the exit code of the command line.

CanarioError
└── StackError            1  a step failed, or something that should run does not
    ├── MachineLacks      3  the machine has not what is needed; the text has the command that brings it
    ├── Refused           4  not done, because it would harm; the text says what to do first
    └── Interrupted     130  Ctrl-C or SIGTERM
"""

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


class Interrupted(StackError):
    """The user, or the system, asked to stop."""

    exit_code = 130
