"""Which sources a list of many rollouts reads again."""

from dataclasses import dataclass
from typing import Any, cast

import pytest

from board.look import YOUNG_MOST, to_read
from board.watch import Reading, Source


@dataclass
class Aged:
    """A source that was read so many seconds ago."""

    age: float

    def known(self, seconds: float) -> Reading[int] | None:
        return Reading() if self.age <= seconds else None


@pytest.mark.parametrize("slow", [0, 2])
def test_one_list_reads_half_of_them_and_the_next_the_others(slow: float) -> None:
    """Though all were first read at one moment; each reading takes `slow` seconds."""
    every = [Aged(0.5) for _ in range(300)]
    for number in range(10):
        for one in every:
            one.age += 5
        chosen = cast(list[Aged], to_read(cast(list[Source[Any]], every), YOUNG_MOST))
        assert len(chosen) == 150, number
        assert max(one.age for one in every) <= YOUNG_MOST  # what is shown without waiting
        for one in chosen:
            one.age = -slow


def test_few_are_read_for_each_list() -> None:
    every = cast(list[Source[Any]], [Aged(5.0) for _ in range(9)])
    assert to_read(every, 0.36) == every
