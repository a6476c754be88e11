"""Carries out a plan, step by step. Stopped at any point, the next plan holds what is left."""

from collections.abc import Iterable
from typing import assert_never

from flags.admin import UnleashAdmin
from flags.canary import turn_off, turn_on
from flags.plan import AddStrategy, ChangeField, ChangeParameter, CreateFlag, Step, Switch
from flags.snapshot import Snapshot, take


def read_current(admin: UnleashAdmin, flags: Iterable[str]) -> dict[str, Snapshot]:
    """What Unleash holds for each name.

    Raises:
        AdminError: Unleash does not answer, or not so.
        EnvironmentMissing: the project has no such environment.
    """
    return {flag: take(admin, flag) for flag in flags}


def carry_out(admin: UnleashAdmin, step: Step) -> None:
    """Do one step.

    Raises:
        AdminError: Unleash does not answer, or not so.
        ChangedMeanwhile: a person was faster; what they did stays.
        FlagError: the flag is no longer as planned for.
    """
    match step:
        case CreateFlag():
            admin.create_feature(step.flag, kind=step.kind, description=step.description)
        case AddStrategy():
            admin.add_strategy(step.flag, percent=step.percent, stickiness=step.stickiness, group=step.flag)
        case ChangeField():
            admin.change_feature(step.flag, step.name, step.new)
        case ChangeParameter():
            admin.change_parameter(step.flag, step.strategy, step.name, step.new, seen=step.old)
        case Switch(on=True):
            turn_on(admin, step.flag)
        case Switch():
            turn_off(admin, step.flag)
        case _:
            assert_never(step)
