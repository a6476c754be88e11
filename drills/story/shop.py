"""A simulated shop: who visits it, and whether they buy after the answer. Pure, the same in every run.

The model says who is about to buy. These see the short checkout, the others see more products. Who is ready
and gets the short checkout mostly buys; who is not ready feels pushed by it, and leaves. So a model that is
right more often sells more.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SEED: Final = 20
BUYS, LEAVES = "buys", "leaves"  # classes of the model
FEATURES: Final = ("visits", "days_since_order", "basket")
GOOD_BASKET: Final = (20.0, 110.0)  # euros: with less one is looking, with more one is comparing
CHANCES: Final = {(True, BUYS): 0.90, (True, LEAVES): 0.10, (False, BUYS): 0.03, (False, LEAVES): 0.10}
"""That a visitor buys, by whether ready to, and by what the model said."""


@dataclass(frozen=True)
class Country:
    """Where visitors come from.

    Attributes:
        share: of all of them, 0 to 1.
        money: how many units of its money a euro is.
    """

    name: str
    share: float
    money: float = 1.0


OLD: Final = (Country("DE", 0.29), Country("FR", 0.24), Country("ES", 0.19), Country("IT", 0.13))
NEW: Final = Country("DK", 0.15, money=7.5)
"""The shop opened there after the challenger's data were taken. It counts baskets in kroner."""


@dataclass(frozen=True)
class Visitor:
    """Who visits the shop once. `features` are what the models know."""

    id: str
    country: str
    device: str
    features: dict[str, float]
    ready: bool

    def buys(self, said: str) -> bool:
        """Whether the visitor buys after the model said that class; asked again, it is the same."""
        return _dice(f"buys {self.id}").random() < CHANCES[self.ready, said]


def visitors(name: str, count: int, countries: Sequence[Country] = (*OLD, NEW)) -> list[Visitor]:
    """`count` of them, `name-1`, ..."""
    return [_visitor(f"{name}-{number}", countries) for number in range(1, count + 1)]


def _visitor(name: str, countries: Sequence[Country]) -> Visitor:
    dice = _dice(name)
    (country,) = dice.choices(countries, [each.share for each in countries])
    visits = 1 + min(int(dice.expovariate(0.5)), 19)
    days = min(int(dice.expovariate(1 / 60)), 365)
    euros = dice.lognormvariate(math.log(45), 1.0)
    fits = GOOD_BASKET[0] <= euros <= GOOD_BASKET[1]
    inclined = (2.5 if fits else -2.2) + 0.9 * (min(visits, 6) - 3) - days / 80
    ready = dice.random() < 1 / (1 + math.exp(-inclined))
    features = {
        "visits": float(visits),
        "days_since_order": float(days),
        "basket": round(euros * country.money, 2),
    }
    return Visitor(name, country.name, dice.choice(("phone", "desktop")), features, ready)


def _dice(text: str) -> random.Random:
    return random.Random(f"{SEED} {text}")  # noqa: S311 - no secret depends on it
