"""Who the simulated users are, and what they truly do. Pure, and the same in every run.

Only here is it known what the story must find: the service, the log and the reports are told nothing but
requests and outcomes.
"""

import random
from dataclasses import dataclass
from functools import cached_property

from common.names import Model

SEED = 20
PLANS = ("free", "pro")


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
