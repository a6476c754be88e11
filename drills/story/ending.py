"""Did the story come out as the truth that was simulated? Pure functions of what the reports say."""

from dataclasses import dataclass

from drills.story.truth import Truth

AGREEMENT_MARGIN = 0.02  # shadow samples that were dropped may leave out this much
BETTER = "better"
TOO_EARLY = "too_early"


@dataclass(frozen=True)
class Findings:
    """What the reports found; None where a report was not made.

    Attributes:
        true_agreement: of the two models on the rows that were sent, asked without the service.
        agreement: what the shadow report says.
        early: the A/B report's finding before all users had come.
        verdict: its finding at the end.
        effect, interval: the difference of the shares who bought, and its 95% interval.
        harmed: countries that the segments report calls harmed.
    """

    true_agreement: float
    agreement: float | None
    early: str
    verdict: str
    effect: float | None
    interval: tuple[float, float] | None
    harmed: frozenset[str] | None


def faults(found: Findings, truth: Truth) -> tuple[str, ...]:
    """What came out otherwise than simulated, a sentence each; empty if all is as it must be."""
    said = []
    if found.agreement is not None and abs(found.agreement - found.true_agreement) > AGREEMENT_MARGIN:
        said.append(
            f"the shadow report says that the models agree on {found.agreement:.1%} of the requests, and they"
            f" do on {found.true_agreement:.1%}"
        )
    if found.early != TOO_EARLY:
        said.append(f"before its users had come, the A/B report said {found.early!r} instead of waiting")
    if found.verdict != BETTER:
        said.append(
            f"the A/B report says {found.verdict!r}, and the challenger is better by {_points(truth.effect)}"
        )
    if found.harmed is not None and found.harmed != truth.harmed:
        said.append(
            f"the segments report finds harm in {_named(found.harmed)}, and it is in {_named(truth.harmed)}"
        )
    return tuple(said)


def decision(found: Findings, truth: Truth) -> str:
    """What a team would decide now, in two sentences."""
    if found.verdict != BETTER or found.effect is None or found.interval is None:
        return (
            f"The test's answer is {found.verdict!r}, so the champion stays. Look at the reports before you"
            " give the challenger to anybody."
        )
    low, high = found.interval
    gain = (
        f"The challenger brings {_points(found.effect)} more buyers (95%: {_points(low)} to {_points(high)}),"
        " so it goes on to 100%"
    )
    if not found.harmed:
        return f"{gain}. No country is known to lose by it, so nobody is left out."
    return (
        f"{gain}, without {_named(found.harmed)}, where it loses buyers. There the champion stays until it is"
        f" trained anew, which over all users is worth {_points(truth.effect_without(found.harmed))} instead"
        f" of {_points(truth.effect)}, as only the simulation knows."
    )


def _points(share: float) -> str:
    return f"{100 * share:+.1f} points"


def _named(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "no country"
