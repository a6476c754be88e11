"""A decision in sentences, for `explain` and for messages. Pure."""

from collections.abc import Iterator

from common.arms import UNVERSIONED, ServedModel
from common.figures import moment
from common.measured import Measured
from flags.canary.aftermath import UNKNOWN, Aftermath
from flags.canary.marks import label
from rollback.decisions.record import Decision, Kind, RollbackRecord, StopRecord
from rollback.guardrails.verdict import Status

_TITLES = {
    Kind.ORDERED: "rollback of {flag} in {environment} begun, its end unknown",
    Kind.ROLLBACK: "{flag} rolled back in {environment}",
    Kind.FAILED: "{flag} NOT rolled back in {environment}: somebody must turn it off",
    Kind.EXCLUDED: "{users} excluded from {flag} in {environment}",
    Kind.BLIND: "{flag} in {environment} is not fully guarded: something cannot be measured",
    Kind.STOPPED: "{flag} in {environment}: the challenger has stopped",
    Kind.NOT_STOPPED: "{flag} in {environment} is off, and the challenger is NOT seen to stop",
}


def title(decision: Decision) -> str:
    """One line."""
    if decision.kind is not Kind.VERDICT:
        record = decision.rollback
        users = record.excluded if record else None
        told = _TITLES[decision.kind].format(
            flag=decision.flag, environment=decision.environment, users=users
        )
        # Where a channel takes little, the title is all that is read.
        cause = decision.kind in {Kind.ROLLBACK, Kind.EXCLUDED} and record
        return f"{told}, because of {cause.guardrail}" if cause else told
    turns = ", ".join(f"{turn.guardrail} {turn.before} -> {turn.after}" for turn in decision.turns)
    return f"{decision.flag} in {decision.environment}: {turns}"


def tell(decision: Decision, after: Decision | None = None) -> Iterator[str]:
    """The whole story: who moved the share, what was seen, what was decided, what happened then.

    `after` is the decision on the stop, where the rollback has one.
    """
    yield exposure(decision)
    if models := _models(decision):
        yield models
    if decision.verdicts:
        yield f"At {moment(decision.time)} the job judged:"
        for verdict in decision.verdicts:
            told = (verdict["sentence"], str(Measured.of_record(verdict)))
            sentences = " ".join(f"{_capital(each)}." for each in told if each)
            yield f"  {verdict['guardrail']}: {verdict['verdict']}. {sentences}"
            if verdict["verdict"] == Status.BREACH and verdict.get("segment") and not _excluded(decision):
                yield f"  These users alone: `./canario exclude {decision.flag} {verdict['segment']}`."
    if decision.rollback:
        yield from _rollback(decision, decision.rollback)
    for turn in decision.turns:
        turned = f"turned from {turn.before!r} to {turn.after!r}"
        yield f"{_subject(turn.guardrail)} {turned}{_meaning(turn.after)}."
    if decision.sentence:
        yield decision.sentence
    if decision.traces:
        yield "Example traces of users of the challenger:"
        for each in decision.traces:
            yield f"  {each.trace_id} at {moment(each.time)}: {each.what}"
    stop = decision.stop or (after.stop if after else None)
    if stop:
        yield from _stop(stop)
    elif decision.kind is Kind.ROLLBACK:
        yield "No decision tells whether the challenger was seen to stop."


def aftermath(decision: Decision) -> Aftermath | None:
    """What there is to know after a rollback, in the words that everybody has; None for another decision."""
    record = decision.rollback
    if decision.kind not in {Kind.ROLLBACK, Kind.EXCLUDED} or record is None:
        return None
    breach = next((one for one in decision.verdicts if one.get("guardrail") == record.guardrail), None)
    model = decision.models.get("challenger")
    version = label(model.version, model.sha256) if model else ""
    version = UNKNOWN if model == UNVERSIONED else version
    why = Measured.of_record(breach).cause(breach.get("sentence")) if breach else record.guardrail
    at = record.off_at or decision.time
    return Aftermath(decision.flag, at, why, version, excluded=record.excluded)


def _excluded(decision: Decision) -> str | None:
    return decision.rollback.excluded if decision.rollback else None


def exposure(decision: Decision) -> str:
    """Who gave how many users the challenger, and when."""
    if decision.flag_revision is None and decision.changed_at is None and decision.share is None:
        return f"Unleash could not tell how many users got the challenger by {decision.flag}."
    share = "an unknown share" if decision.share is None else f"{decision.share}%"
    text = f"{decision.flag} in {decision.environment} stood at {share} of the users"
    if decision.changed_at is None:
        return f"{text}; Unleash does not know since when."
    event = f", event {decision.flag_revision} of Unleash" if decision.flag_revision is not None else ""
    return f"{text}, last changed by {decision.changed_by} at {moment(decision.changed_at)}{event}."


def _models(decision: Decision) -> str:
    known = {role: model for role, model in sorted(decision.models.items()) if model != UNVERSIONED}
    told = "; ".join(f"{_capital(role)}: {_model(model)}" for role, model in known.items())
    return f"{told}." if told else ""


def _model(model: ServedModel) -> str:
    digest = f"(sha256 {model.sha256[:12]})" if model.sha256 else ""
    return " ".join(
        filter(None, (model.name, model.version, digest))
    )  # some services tell no name, or no hash


def _rollback(decision: Decision, record: RollbackRecord) -> Iterator[str]:
    began = f", breached since {moment(record.breached_at)}" if record.breached_at else ""
    ordered = f" at {moment(record.ordered_at)}" if record.ordered_at else ""
    what = f"to keep {record.excluded} with the champion" if record.excluded else "to turn the flag off"
    yield f"It decided {what}{ordered}, because of {record.guardrail}{began}."
    if record.verified is None:
        yield (
            "What came of it is not written here: the job ended before it could tell. Unleash's event log"
            " says whether the flag went off; if not, the next iteration of the job decided anew."
        )
    elif record.verified:
        by = f" (event {record.off_revision} by {record.off_by})" if record.off_revision is not None else ""
        so = f"{record.excluded} is excluded" if record.excluded else "the flag is off"
        yield f"Unleash said {record.seconds:.2f} s after the order that {so}{by}."
        if record.seconds_from_breach is not None:
            end = "that" if record.excluded else "the flag off"
            yield f"From the breach to {end} it took {record.seconds_from_breach:.1f} s."
    else:
        tries = f" after {record.attempts} attempts" if record.attempts > 1 else ""
        yield f"It could not be done{tries}: {record.fault}."
        yield f"Turn {decision.flag} off in the Unleash UI."


def _stop(stop: StopRecord) -> Iterator[str]:
    by = f" by {stop.off_by}" if stop.off_by else ""
    yield f"The flag was off from {moment(stop.off_at)} on{by}."
    if stop.last_answer:
        yield f"The last answer of the challenger was counted at {moment(stop.last_answer)}."
    if stop.stopped_at:
        yield (
            f"At {moment(stop.stopped_at)} it was seen to have stopped"
            f" on {len(stop.instances)} instance{'s' if len(stop.instances) != 1 else ''}: {stop.sentence}."
        )
    else:
        yield (
            f"At {moment(stop.looked_at)}, {stop.limit_seconds:.0f} s being allowed, it was not seen to have"
            f" stopped: {stop.sentence}."
        )
    if stop.seconds_from_breach is not None:
        yield f"From the breach to the verified stop it took {stop.seconds_from_breach:.1f} s."


def _subject(guardrail: str) -> str:
    return "The reading of the flag" if guardrail == "flag" else f"The guardrail {guardrail}"


def _meaning(state: str) -> str:
    return {
        "pause": ": the share must not be raised while that lasts",
        "warn": ": a person should look, nothing else follows",
        "cannot measure": ": nobody guards this now",
    }.get(state, "")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
