"""What is true of the shop's visitors and models, and whether the reports found it. Pure.

Only here are both models' answers held beside who is ready to buy: the service, the log and the reports are
told nothing but requests and outcomes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from common.names import Model
from drills.story.shop import CHANCES, Visitor

AGREEMENT_MARGIN = 0.02  # shadow samples that were dropped may leave out this much
BETTER = "better"
TOO_EARLY = "too_early"


@dataclass(frozen=True)
class Truth:
    """What both models bring, as the mean chance of many visitors to buy.

    Attributes:
        buyers: by country, for each model.
        baseline: with the champion, over all.
        effect: what the challenger changes over all: a difference of two shares.
        agreement: share of visitors of whom both models say the same.
    """

    buyers: Mapping[str, Mapping[Model, float]]
    baseline: float
    effect: float
    agreement: float

    @property
    def harmed(self) -> frozenset[str]:
        """Countries whose visitors buy less with the challenger."""
        return frozenset(
            name for name, each in self.buyers.items() if each[Model.CHALLENGER] < each[Model.CHAMPION]
        )


def truth_of(visitors: Sequence[Visitor], said: Mapping[Model, Sequence[str]]) -> Truth:
    """From what each model says of each of them."""
    chances = {
        model: [CHANCES[each.ready, one] for each, one in zip(visitors, said[model], strict=True)]
        for model in Model
    }
    buyers = {}
    for name in sorted({each.country for each in visitors}):
        there = [number for number, each in enumerate(visitors) if each.country == name]
        buyers[name] = {model: _mean([chances[model][number] for number in there]) for model in Model}
    baseline = _mean(chances[Model.CHAMPION])
    agreed = [a == b for a, b in zip(said[Model.CHAMPION], said[Model.CHALLENGER], strict=True)]
    return Truth(buyers, baseline, _mean(chances[Model.CHALLENGER]) - baseline, _mean(agreed))


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)


@dataclass(frozen=True)
class Findings:
    """What the reports found.

    Attributes:
        true_agreement: of the two models on the rows that were sent, asked without the service.
        agreement: what the shadow report says.
        early: the A/B report's finding before all users had come.
        verdict: its finding at the end.
        effect, interval: the difference of the shares who bought, and its 95% interval; None without one.
        harmed: countries that the segments report calls harmed.
    """

    true_agreement: float
    agreement: float
    early: str
    verdict: str
    effect: float | None
    interval: tuple[float, float] | None
    harmed: frozenset[str]


def faults(found: Findings, truth: Truth) -> tuple[str, ...]:
    """What came out otherwise than simulated, a sentence each; empty if all is as it must be."""
    said = []
    if abs(found.agreement - found.true_agreement) > AGREEMENT_MARGIN:
        said.append(
            f"the shadow report says that the models agree on {found.agreement:.1%} of the requests, and they"
            f" do on {found.true_agreement:.1%}"
        )
    if found.early != TOO_EARLY:
        said.append(f"before its users had come, the A/B report said {found.early!r} instead of waiting")
    if found.verdict != BETTER:
        said.append(
            f"the A/B report says {found.verdict!r}, and the challenger is better, by {points(truth.effect)}"
            " points"
        )
    if found.harmed != truth.harmed:
        said.append(
            f"the segments report finds harm in {_named(found.harmed)}, and it is in {_named(truth.harmed)}"
        )
    return tuple(said)


def decision(found: Findings) -> str:
    """What a team would decide now, in two sentences."""
    if found.verdict != BETTER or found.effect is None or found.interval is None:
        return (
            f"The test's answer is {found.verdict!r}, so the champion stays. Look at the reports before you"
            " give the challenger to anybody."
        )
    low, high = found.interval
    gain = (
        f"The challenger changes the share who buy by {points(found.effect)} points (95% interval"
        f" {points(low)} to {points(high)}): it goes on to 100%"
    )
    if not found.harmed:
        return f"{gain}. No country is known to lose by it, so nobody is left out."
    return (
        f"{gain}, without {_named(found.harmed)}, where it loses buyers. There the champion stays until the"
        " challenger is trained anew."
    )


def compared(found: Findings, truth: Truth) -> list[tuple[str, str, str]]:
    """What was asked, what the reports found, and what was simulated: rows for a person."""
    return [
        ("requests on which the models agree", f"{found.agreement:.1%}", f"{found.true_agreement:.1%}"),
        ("a look before the end", found.early.replace("_", " "), TOO_EARLY.replace("_", " ")),
        ("the challenger is", found.verdict.replace("_", " "), BETTER),
        (
            "change of the share who buy, points",
            "-" if found.effect is None else points(found.effect),
            points(truth.effect),
        ),
        ("harmed", _named(found.harmed), _named(truth.harmed)),
    ]


def points(share: float) -> str:
    """A difference of shares in percentage points, without the word."""
    return f"{100 * share:+.1f}"


def _named(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "no country"
