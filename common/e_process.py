"""E-processes along a stage: what each step adds, mixed over factors and over the moments where they begin.

They are worked out in blocks of steps. A block needs only its own steps and what the blocks before it left,
so a job that asks again as the stage grows takes what it `Known` from the last time and goes on from there.
Either way each block is worked out by the same arithmetic on the same numbers: to the bit the same comes out.

Pure functions without I/O. The last axis of every array is time, one entry a step; leading axes are
independent runs. All results are natural logarithms of e.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import log, prod
from typing import Final

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

BLOCK: Final = 30
"""Steps that are worked out together. With each new step its block is done again."""
AT_ONCE: Final = 1 << 18
"""Numbers that are worked out together: all factors of one run, one of thousands of simulated ones."""
MARKS: Final = 4
"""Blocks whose beginning is kept. What is stored late is late by minutes; else all is worked out anew."""


@dataclass(frozen=True)
class Mixture:
    """How many times too often bad calls may happen, and how much of the evidence is staked on each."""

    factors: Values
    weights: Values

    @cached_property
    def log_weights(self) -> Values:
        """Their natural logarithms."""
        return np.log(self.weights)

    def up_to(self, largest: float) -> "Mixture":
        """The same without the factors above `largest`; their weight goes to the others."""
        kept = self.factors <= largest
        return Mixture(self.factors[kept], self.weights[kept] / self.weights[kept].sum())


@dataclass(frozen=True)
class LateStart:
    """Evidence that also begins anew now and then, so that good hours do not hide a late regression."""

    every: int
    """Steps from one beginning to the next; the first is this long after the stage's."""
    starts: int
    """How many such beginnings there will be; evidence that has not begun counts as 1."""
    weight: float
    """Their weight together, between 0 and 1; the evidence from the stage's beginning has the rest."""

    @cached_property
    def weights(self) -> Values:
        """The weight of each beginning: the k-th has a share of 1/k.

        Early ones count for more, at little cost to later ones, so that there may be many of them.
        """
        shares = 1 / np.arange(1, self.starts + 1)
        result: Values = self.weight * shares / shares.sum()
        return result

    @cached_property
    def waiting(self) -> Values:
        """Log of the weight that has not begun yet, before the first beginning and after each."""
        waiting = self.weight - np.concatenate(([0.0], np.cumsum(self.weights)))
        waiting[-1] = 0.0  # without what rounding leaves
        with np.errstate(divide="ignore"):
            result: Values = np.log(waiting)
        return result

    def begun(self, step: int) -> int:
        """How many beginnings lie before the end of a step, counted from 0."""
        return min(step // self.every, self.starts)


@dataclass(frozen=True)
class EProcess:
    """One of them: e is the mean over a mixture's factors and, with `LateStart`, over its beginnings."""

    increments: Callable[..., Values]
    """Of log e in each step, (factors, ..., steps), from factors as (factors, 1, ...), `inputs`, `terms`.
    Each step by itself."""
    inputs: tuple[Values, ...]
    """Of each step, all of one shape (..., steps)."""
    terms: tuple[float, ...]
    """Other arguments: those of the null hypothesis."""
    mixture: Mixture
    raised: float = 0.0
    """Is added to log e."""


@dataclass(frozen=True)
class _Mark:
    """What the blocks before one left, by factor: (factors, ...)."""

    path: Values
    """Log of e from the stage's beginning."""
    begun: Values
    """Log of what that is multiplied with, so that it stands for all beginnings so far.

    Evidence that began after step s is path - path[s], so all beginnings together are e(path) times a sum
    over those s, and that sum changes only with the next beginning."""


@dataclass
class Known:
    """What was worked out before of a stage: a shortcut for one thread that asks again as it grows.

    It counts only for the same question, and as far as all inputs are the same to the bit.
    """

    users: object = None
    """What common.sequential keeps of evidence by user."""
    _question: object = None
    _inputs: tuple[Values, ...] = ()
    _found: Values = field(default_factory=lambda: np.empty(0))
    _marks: dict[int, tuple[_Mark, ...]] = field(default_factory=dict)

    def until(self, question: object, inputs: Sequence[Values]) -> tuple[Values, int, tuple[_Mark, ...]]:
        """What is known of it, for how many steps, and what these left; for none where nothing fits."""
        if question == self._question:
            same = same_steps(self._inputs, inputs)
            for step in sorted(self._marks, reverse=True):
                if step <= same:
                    return self._found[:step], step, self._marks[step]
        return self._found[:0], 0, ()

    def keep(
        self,
        question: object,
        inputs: Sequence[Values],
        found: Values,
        marks: dict[int, tuple[_Mark, ...]],
    ) -> None:
        """For the next time."""
        self._question, self._inputs, self._found = question, tuple(inputs), found
        before = {step: mark for step, mark in self._marks.items() if step < min(marks)}
        self._marks = dict(sorted({**before, **marks}.items())[-MARKS:])


def same_steps(before: Sequence[Values], now: Sequence[Values]) -> int:
    """For how many steps from the first on both are the same."""
    steps = min(len(before[0]), len(now[0]))
    for one, other in zip(before, now, strict=True):
        differ = one[:steps] != other[:steps]
        if differ.any():
            steps = int(np.argmax(differ))
    return steps


def smallest(
    processes: Sequence[EProcess], late: LateStart | None = None, known: Known | None = None
) -> Values:
    """Log of the smallest of several e-processes after each step: one against "one of these holds".

    Args:
        processes: over the same steps.
        late: None for evidence from the beginning of the stage only.
        known: of the last time; for one run.

    Returns:
        (..., steps).
    """
    inputs = [*{id(each): each for one in processes for each in one.inputs}.values()]
    question = late, len(inputs), [(one.increments, one.terms) for one in processes]
    found, at, marks = known.until(question, inputs) if known else (np.empty(0), 0, ())
    if not at:
        marks = tuple(_first(one, late) for one in processes)
    parts, passed = [found] if at else [], {at: marks}
    steps = inputs[0].shape[-1]
    for begin, end in _blocks(at, steps, late):
        if begin > at:
            marks = tuple(_begin(mark, late, begin) for mark in marks)
            passed[begin] = marks
        each = [_block(one, begin, end, mark, late) for one, mark in zip(processes, marks, strict=True)]
        marks = tuple(mark for _, mark in each)
        parts.append(np.minimum.reduce([log_e for log_e, _ in each]))
    result: Values = np.concatenate(parts, axis=-1) if parts else np.zeros(inputs[0].shape)
    if known:
        known.keep(question, inputs, result, passed)
    return result


def _blocks(at: int, steps: int, late: LateStart | None) -> Iterator[tuple[int, int]]:
    """Where each block begins and ends, from step `at` on. Evidence begins anew only with a block."""
    while at < steps:
        end = at + BLOCK - (at % late.every if late else at) % BLOCK
        if late:
            end = min(end, (at // late.every + 1) * late.every)
        yield at, min(end, steps)
        at = end


def _first(process: EProcess, late: LateStart | None) -> _Mark:
    """At the stage's beginning."""
    shape = (len(process.mixture.factors), *process.inputs[0].shape[:-1])
    return _Mark(np.zeros(shape), np.full(shape, log(1 - late.weight) if late else 0.0))


def _begin(mark: _Mark, late: LateStart | None, step: int) -> _Mark:
    """With the evidence that begins before `step`, if some does."""
    if late is None or step % late.every or step // late.every > late.starts:
        return mark
    weight = late.weights[step // late.every - 1]
    return _Mark(mark.path, np.logaddexp(mark.begun, np.log(weight) - mark.path))


def _block(
    process: EProcess, begin: int, end: int, mark: _Mark, late: LateStart | None
) -> tuple[Values, _Mark]:
    """Log of e after each of some steps, and what they leave."""
    inputs = [each[..., begin:end] for each in process.inputs]
    factors, log_weights = process.mixture.factors, process.mixture.log_weights
    across = (-1, *(1 for _ in inputs[0].shape))
    at_once = max(AT_ONCE // max(prod(inputs[0].shape), 1), 1)
    mixed: Values | None = None
    left = np.empty_like(mark.path)
    for first in range(0, len(factors), at_once):
        some = slice(first, first + at_once)
        path = process.increments(factors[some].reshape(across), *inputs, *process.terms)
        path[..., 0] += mark.path[some]
        np.cumsum(path, axis=-1, out=path)
        left[some] = path[..., -1]
        path += mark.begun[some][..., None]
        path += log_weights[some].reshape(across)
        part = log_of_sum(path)
        mixed = part if mixed is None else np.logaddexp(mixed, part)
    assert mixed is not None  # noqa: S101 - there is a factor
    if late:
        mixed = np.logaddexp(mixed, late.waiting[late.begun(begin)])
    if process.raised:
        mixed = mixed + process.raised
    return mixed, _Mark(left, mark.begun)


def log_of_sum(logs: Values) -> Values:
    """Log of the sum over the first axis of what `logs` are logs of. `logs` is overwritten.

    As np.logaddexp.reduce, in a sixth of its time. What is so small that it is lost here is so there too.
    """
    highest = logs.max(axis=0)
    logs -= highest
    np.exp(logs, out=logs)
    result: Values = np.log(logs.sum(axis=0))
    result += highest
    return result
