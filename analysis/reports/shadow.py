"""The shadow report: does the challenger say what the champion says, and where not?"""

from datetime import UTC, datetime

from analysis.reports import shadow_parts as parts
from analysis.reports.document import Report, Tone
from analysis.reports.shadow_figures import ENOUGH, ShadowFigures
from analysis.reports.shadow_limits import GREAT_PSI, reason
from analysis.reports.shadow_method import method
from analysis.reports.words import counted, percent


def shadow_report(figures: ShadowFigures, written: datetime | None = None) -> Report:
    """Make the report; `written` is now by default."""
    written = written or datetime.now(UTC)
    evidence = parts.limits(figures) + parts.evidence(figures)
    return Report(
        title=f"Shadow report: {figures.reading.pair}",
        answer=_answer(figures),
        tone=_tone(figures),
        evidence=evidence,
        method=method(figures),
        numbers=figures.numbers(written),
        warnings=parts.warnings(figures),
    )


def _tone(figures: ShadowFigures) -> Tone:
    if not figures.enough:
        return "bad" if figures.surely_fails else "wait"
    return "bad" if figures.breaches else "good"


def _answer(figures: ShadowFigures) -> str:
    reading = figures.reading
    if figures.surely_fails and not figures.enough:
        failed = figures.errors
        return (
            f"The new model fails: it gave no usable answer to {failed.hits:,} of"
            f" {counted(failed.total, 'request')}. Find out why before the two are compared."
        )
    if not figures.enough:
        return (
            f"It is too early to say: both models have answered {counted(reading.answered, 'request')},"
            f" and this report speaks from {ENOUGH:,} on."
        )
    same = "says the same as" if reading.scale.kind != "value" else "agrees with"
    said = (
        f"The new model {same} the old one for {percent(figures.agreement.value)} of"
        f" {reading.answered:,} requests"
    )
    worst = next((each for each in figures.segments if each.worse), None)
    where = f", least where {worst.segment.name}" if worst else ""
    if not figures.breaches:
        if figures.psi > GREAT_PSI and reading.scale.kind != "value":
            return (
                f"{said}{where}; nothing here speaks against giving it to the first users, where they go by"
                " the class and not by its probability."
            )
        return f"{said}{where}; nothing here speaks against giving it to the first users."
    asked = {each.name for each in figures.asked}
    most_changed = figures.classes[0] if figures.classes else None
    reasons = ", and ".join(
        reason(each, asked=each.limit.name in asked, most_changed=most_changed) for each in figures.breaches
    )
    return f"{said}{where}: do not give it to users yet, because {reasons}."
