"""What the command line prints: tables on a terminal, the same as plain text anywhere else."""

from collections.abc import Iterable, Iterator
from datetime import timedelta

from common.durations import format_duration
from common.figures import moment
from common.terminal import print_table
from flags.accounts.bootstrap import Outcome
from flags.canary.history import Change, Hold
from flags.canary.state import CanaryState
from flags.desired.plan import FlagPlan
from flags.desired.steps import on_off


def sentence(state: CanaryState) -> str:
    """A state in one line."""
    if not state.exists:
        return f"{state.flag}: {'archived' if state.archived else 'does not exist'}{_change(state, '; ')}"
    share = "no one share" if state.percent is None else f"{state.percent}% of the users"
    where = f", only where {' and '.join(state.constraints)}" if state.constraints else ""
    return (
        f"{state.flag} in {state.environment}: {on_off(state.enabled)}, {share}{where}{_change(state, '; ')}"
    )


def show_states(states: Iterable[CanaryState]) -> None:
    """A table of states, and below it what is wrong with any of them."""
    states = tuple(states)
    columns = ("flag", "environment", "state", "share", "drawn by", "only where", "lease", "last change")
    print_table(columns, [_row(state) for state in states])
    for state in states:
        for line in remarks(state):
            print(f"! {state.flag}: {line}")


def _row(state: CanaryState) -> tuple[str, ...]:
    narrowed = [*state.constraints, *(f"segment {number}" for number in state.segments)]
    switch = "archived" if state.archived else on_off(state.enabled) if state.exists else "missing"
    share = "?" if state.percent is None else f"{state.percent}%"
    variants = f" ({state.variants} variants)" if state.variants else ""
    return (
        state.flag,
        state.environment,
        switch,
        share + variants if state.exists else "-",
        state.stickiness or "-",
        "; ".join(narrowed) or "-",
        _lease(state),
        _change(state, "") or "-",
    )


def _lease(state: CanaryState) -> str:
    left = state.lease_left
    if left is None:
        return "-"
    return f"{format_duration(timedelta(seconds=int(left.total_seconds())))} left" if left else "over"


def remarks(state: CanaryState) -> Iterator[str]:
    """What a person should know of a state beside its row."""
    if state.trouble:
        yield state.trouble
    if state.exposed and state.lapsed and state.lease_until:
        yield (
            f"its lease ran out at {moment(state.lease_until)}, so everybody has the champion until the"
            " rollback job renews it: see whether the job and Prometheus run"
        )
    if state.quarantined:
        lift = f'`./canario lift {state.flag} --reason "..."`'
        yield f"blocked: {', '.join(state.quarantined)}; {lift} unblocks it"


def show_history(changes: Iterable[Change], held: Hold | None) -> None:
    """Who changed what and when, the latest first, and what keeps automation from raising the share."""
    rows = [
        (
            moment(one.at),
            one.who,
            one.words,
            f"{one.before.reach}% -> {one.after.reach}%" if one.before.reach != one.after.reach else "-",
        )
        for one in reversed(tuple(changes))
    ]
    print_table(("when", "who", "what", "users"), rows)
    if held:
        print(f"! automation stays at {held.limit}% at most: {held.who}, {held.words}, {moment(held.at)}")


def _change(state: CanaryState, before: str) -> str:
    if state.changed_by is None or state.changed_at is None:
        return ""
    return f"{before}{state.change_in_words} by {state.changed_by} at {moment(state.changed_at)}"


def show_plan(plans: Iterable[FlagPlan]) -> None:
    """Each flag with its steps (+), what is kept (=) and what needs a person (!)."""
    for plan in plans:
        lines = [f"  + {step}" for step in plan.steps]
        lines += [f"  = kept: {kept}" for kept in plan.kept]
        lines += [f"  ! {plan.conflict}"] if plan.conflict else []
        print("\n".join([plan.flag, *(lines or ["  as the file says"])]))


def show_outcomes(outcomes: Iterable[Outcome]) -> None:
    """What became of each user's token; the secrets stay in their files."""
    rows = [
        (one.username, one.action.value, f"{one.expires_at:%Y-%m-%d}", one.why or "-") for one in outcomes
    ]
    print_table(("user", "token", "ends", "why"), rows)
