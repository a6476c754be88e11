"""Carries out a plan, step by step. Stopped at any point, the next plan holds what is left."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import assert_never

from flags.admin import UnleashAdmin
from flags.canary import turn_off, turn_on
from flags.errors import FlagError
from flags.lease import declined, ensure_lease, remove_lease
from flags.lease_segment import find
from flags.plan import Wishes
from flags.snapshot import Snapshot, gradual, take
from flags.steps import (
    AddStrategy,
    AttachLease,
    ChangeField,
    ChangeParameter,
    CreateField,
    CreateFlag,
    RemoveLease,
    SetLink,
    Step,
    Switch,
)
from flags.writes import change_parameter


def read_current(
    admin: UnleashAdmin, flags: Iterable[str], *, leased: Collection[str] = ()
) -> dict[str, Snapshot]:
    """What Unleash holds for each name; for the `leased` ones also whether a person took the lease off.

    Raises:
        AdminError: Unleash does not answer, or not so.
        EnvironmentMissing: the project has no such environment.
    """
    shots = {flag: take(admin, flag) for flag in flags}
    return {flag: _with_declined(admin, shot) if flag in leased else shot for flag, shot in shots.items()}


def _with_declined(admin: UnleashAdmin, shot: Snapshot) -> Snapshot:
    if not shot.strategies or (shot.lease and shot.lease.attached):
        return shot
    try:
        strategy = gradual(shot)
    except FlagError:  # the plan says so
        return shot
    segment = find(admin.segments.all(), shot.flag, shot.environment)
    return replace(shot, declined=declined(admin, shot.flag, strategy, segment) or "")


def carry_out(admin: UnleashAdmin, step: Step, wishes: Wishes | None = None) -> None:
    """Do one step of a plan that was made with these wishes.

    Raises:
        AdminError: Unleash does not answer, or not so.
        ChangedMeanwhile: a person was faster; what they did stays.
        FlagError: the flag is no longer as planned for.
    """
    wanted = wishes or Wishes()
    match step:
        case CreateField():
            admin.context.create(step.name, "As clients send it in the context of a request.")
        case CreateFlag():
            admin.create_feature(step.flag, kind=step.kind, description=step.description)
        case AddStrategy():
            admin.add_strategy(step.flag, percent=step.percent, stickiness=step.stickiness, group=step.flag)
        case ChangeField():
            admin.change_feature(step.flag, step.name, step.new)
        case ChangeParameter():
            change_parameter(admin, step.flag, step.strategy, step.name, step.new, seen=step.old)
        case Switch(on=True):
            turn_on(admin, step.flag, version=wanted.version, override=wanted.override)
        case Switch():
            turn_off(admin, step.flag)
        case AttachLease():
            ensure_lease(admin, step.flag, step.length)
        case RemoveLease():
            remove_lease(admin, step.flag)
        case SetLink():
            admin.links.put(step.flag, step.url, step.title, instead_of=step.link)
        case _:
            assert_never(step)
