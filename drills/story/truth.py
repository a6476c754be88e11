"""Who the simulated users are, what they truly do, and whether the reports found it. Pure.

The same in every run. Only here is it known what the story must find: the service, the log and the reports
are told nothing but requests and outcomes.
"""

import random
from dataclasses import dataclass
from functools import cached_property

from common.names import Model

SEED = 20
PLANS = ("free", "pro")
AGREEMENT_MARGIN = 0.02  # shadow samples that were dropped may leave out this much
BETTER = "better"
TOO_EARLY = "too_early"


@dataclass(frozen=True)
class Country:
    """Users of one country.

    Attributes:
        share: of all users, 0 to 1.
        champion, challenger: chance that a user with this model buys.
    """

    name: str
    share: float
    champion: float
    challenger: float

    @property
    def effect(self) -> float:
        """What the challenger changes: a difference of two shares."""
        return self.challenger - self.champion


@dataclass(frozen=True)
class User:
    """A simulated user.

    Attributes:
        row: number of the row of features, from 0.
    """

    id: str
    country: str
    plan: str
    row: int


@dataclass(frozen=True)
class Truth:
    """What is simulated."""

    countries: tuple[Country, ...]

    @cached_property
    def _by_name(self) -> dict[str, Country]:
        return {each.name: each for each in self.countries}

    @property
    def baseline(self) -> float:
        """Share of all users who buy with the champion."""
        return sum(each.share * each.champion for each in self.countries)

    @property
    def effect(self) -> float:
        """What the challenger changes over all users: a difference of two shares."""
        return sum(each.share * each.effect for each in self.countries)

    @property
    def harmed(self) -> frozenset[str]:
        """Countries whose users buy less with the challenger."""
        return frozenset(each.name for each in self.countries if each.effect < 0)

    def buys(self, user: User, assigned: Model) -> bool:
        """Whether the user buys after an answer for that arm; asked again, it is the same."""
        country = self._by_name[user.country]
        chance = country.challenger if assigned is Model.CHALLENGER else country.champion
        return _dice(f"buys {user.id}").random() < chance

    def users(self, name: str, count: int, rows: int) -> list[User]:
        """`count` users `name-1`, ...; `rows` rows of features are there to choose from."""
        return [self._user(f"{name}-{number}", rows) for number in range(1, count + 1)]

    def _user(self, name: str, rows: int) -> User:
        dice = _dice(name)
        (country,) = dice.choices(self.countries, [each.share for each in self.countries])
        return User(name, country.name, dice.choice(PLANS), dice.randrange(rows))


def _dice(text: str) -> random.Random:
    return random.Random(f"{SEED} {text}")  # noqa: S311 - no secret depends on it


# Everybody gains nine points but the small DK, which loses twenty: over all, the challenger looks good.
TRUTH = Truth(
    (
        Country("NO", 0.30, 0.20, 0.29),
        Country("SE", 0.25, 0.20, 0.29),
        Country("DE", 0.20, 0.20, 0.29),
        Country("US", 0.15, 0.20, 0.29),
        Country("DK", 0.10, 0.30, 0.10),
    )
)


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
