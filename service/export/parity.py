"""The parity check: does ONNX Runtime give the original's answers? What is compared is what is served.

That is the class of `predict`, which need not be the most probable one, and the probabilities of
`predict_proba`.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from service.export.probes import Probe
from service.export.rows import Table, Values
from service.models.artifact import ArtifactError, Metadata, Question
from service.models.onnx_model import Answer, Numbers, OnnxModel, array_of, interpret, parts_of

PARITY_TOLERANCE = 1e-5
TOGETHER = 64  # rows that are asked about at once
SHOWN = 8  # features of a row in a sentence
LONGEST_REASON = 300
TELL_SECONDS = 5.0  # between two signs of progress

log = logging.getLogger("canario.export")
Numbers64 = npt.NDArray[np.float64]


class Truth(NamedTuple):
    """What the original says about n rows.

    Attributes:
        chosen: indices of the classes, shape (n,); of a regressor 0.
        numbers: the probability of each class, shape (n, classes), or the value, shape (n, 1).
        more: of several outputs, those behind the primary one.
    """

    chosen: npt.NDArray[np.intp]
    numbers: Numbers64
    more: tuple["Truth", ...] = ()

    @property
    def outputs(self) -> tuple["Truth", ...]:
        """Of each output."""
        return (self, *self.more)


def check_parity(
    ask: Callable[[Any], Truth],
    model: OnnxModel,
    table: Table,
    tolerance: float = PARITY_TOLERANCE,
    probed: Sequence[Probe] = (),
) -> dict[str, float]:
    """Compare the answers of both on each row of `table`, and on rows that it does not have.

    Args:
        ask: the original's answers to rows in the form of the table's.
        tolerance: greatest difference of a probability; for a regressor relative to the value, plus as much
            relative to the average size of values.

    Returns:
        `rows`: how many were compared; `greatest_difference`: of a value, or of a class's probability;
        `tolerance`.

    Raises:
        ArtifactError: an answer differs by more, or one of the two has none.
    """
    try:
        truth = ask(table.original)
    except Exception as error:
        raise ArtifactError(
            f"the pipeline fails at the rows that were brought: {first_line(error)}. "
            "Bring rows as a request may have them"
        ) from error
    typical = [float(np.abs(one.numbers[np.isfinite(one.numbers)]).mean()) for one in truth.outputs]
    compare = _Comparison(model, tolerance, typical)
    for at, row in enumerate(table.values):
        compare.row(row, truth, at, f"row {at}")
    compare.together(table.values[:TOGETHER])
    for probe in probed:
        try:
            said = ask(table.like_original(probe.rows))
        except Exception as error:
            raise _at_a_loss("the pipeline", probe, error) from error
        for at, row in enumerate(probe.rows):
            compare.row(row, said, at, f"a row with {probe.what}", probe)
    return {"rows": compare.rows, "greatest_difference": compare.greatest, "tolerance": tolerance}


def score_edges(model: OnnxModel, table: Table) -> list[float]:
    """Edges between twentieths of its scores on these rows, for `Metadata.scores`."""
    classes = len(model.metadata.classes)
    scores = []
    for row in table.values:
        numbers = model.numbers(array_of([row], model.metadata))[0].tolist()
        place = 2 if classes == 2 else 1 + int(numbers[0])
        scores.append(numbers[place if classes else 0])
    finite = [score for score in scores if np.isfinite(score)]
    edges = np.quantile(finite, np.linspace(0.05, 0.95, 19), method="lower") if finite else []
    return sorted({float(each) for each in edges})


class _Comparison:
    """Compares row after row.

    Attributes:
        rows: how many were compared.
        greatest: difference until now.
    """

    def __init__(self, model: OnnxModel, tolerance: float, typical: list[float]) -> None:
        self._model, self._tolerance, self._typical = model, tolerance, typical
        self.rows, self.greatest = 0, 0.0
        self._told_at = time.monotonic()

    def row(self, row: Values, truth: Truth, at: int, where: str, probe: Probe | None = None) -> None:
        """Raises ArtifactError where ONNX Runtime does not answer as the original, number `at` of `truth`."""
        model, metadata = self._model, self._model.metadata
        self.rows += 1
        if time.monotonic() > self._told_at + TELL_SECONDS:
            self._told_at = time.monotonic()
            log.info("      %s rows compared", f"{self.rows:,}")
        try:
            numbers = model.numbers(array_of([row], metadata))[0]  # as the challenger
            answer = model.answer(array_of([row], metadata))  # as the champion
            is_one_answer = answer == interpret(numbers.tolist(), metadata)
        except Exception as error:
            if not all(np.isfinite(each.numbers[at]).all() for each in truth.outputs):
                return  # neither has an answer
            if probe is not None:
                raise _at_a_loss("ONNX Runtime", probe, error) from error
            raise ArtifactError(f"{metadata.name}: ONNX Runtime cannot answer {where}: {error}") from error
        for place, (begin, asked) in enumerate(parts_of(metadata)):
            said, one = truth.outputs[place], (answer, *answer.more)[place]
            part, typical = numbers[begin : begin + asked.width], self._typical[place]
            difference, is_same = self._compare(part, int(said.chosen[at]), said.numbers[at], asked, typical)
            if not (is_one_answer and is_same):
                told = f" ({_shown(row, metadata)})" if probe is not None else ""
                of = f" of {metadata.output_names[place]}" if metadata.more else ""
                wanted = _told(int(said.chosen[at]), said.numbers[at], asked)
                raise ArtifactError(
                    f"{metadata.name}: {where}{told}: the model itself says {wanted}{of}, "
                    f"ONNX says {_words(one)}; the model is not exported. Where 32-bit floats are the cause "
                    "(a tree near a threshold, large numbers), judge whether a greater --parity-tolerance is "
                    "acceptable"
                )
            self.greatest = max(self.greatest, difference)

    def _compare(
        self, numbers: Numbers, chosen: int, expected: Numbers64, asked: Question, typical: float
    ) -> tuple[float, bool]:
        """The difference of the numbers of one output, and whether both say the same."""
        if asked.classes:
            difference = float(np.abs(numbers[1:] - expected).max())
            # Of two classes that are equally probable either may be the answer.
            agreed = bool(abs(expected[int(numbers[0])] - expected[chosen]) <= self._tolerance)
            return difference, agreed and difference <= self._tolerance
        value = float(expected[0])
        difference = abs(float(numbers[0]) - value)
        return difference, difference <= self._tolerance * (abs(value) + typical)

    def together(self, rows: list[Values]) -> None:
        """Shadow asks about many rows at once. Raises ArtifactError where the answers are others then."""
        metadata = self._model.metadata
        alone = np.stack([self._model.numbers(array_of([row], metadata))[0] for row in rows])
        try:
            at_once = self._model.numbers(array_of(rows, metadata))
        except Exception as error:
            raise ArtifactError(
                f"{metadata.name}: ONNX Runtime takes one row and not {len(rows)} at once: "
                f"{first_line(error)}. Convert it with a first dimension that is free"
            ) from error
        allowed = self._tolerance * (np.abs(alone) + max(1.0, *self._typical))
        if at_once.shape != alone.shape or not (np.abs(at_once - alone) <= allowed).all():
            raise ArtifactError(
                f"{metadata.name}: ONNX Runtime answers {len(rows)} rows at once with other numbers than one "
                "by one; the model is not exported"
            )


def ask_estimator(
    pipeline: Any, metadata: Metadata, threshold: float | None = None, columns: Sequence[int] = (0,)
) -> Callable[[Any], Truth]:
    """What asks an estimator with scikit-learn's interface.

    Args:
        threshold: of the second of two classes.
        columns: of several outputs, the place of each in what the estimator answers.
    """
    if metadata.more:
        return lambda rows: _ask_several(pipeline, rows, metadata, columns)
    return lambda rows: _ask(pipeline, rows, metadata, threshold)


def _ask_several(pipeline: Any, rows: Any, metadata: Metadata, columns: Sequence[int]) -> Truth:
    said = np.asarray(pipeline.predict(rows))
    tables = pipeline.predict_proba(rows) if metadata.classes else None
    found = []
    for column, asked in zip(columns, metadata.questions, strict=True):
        if tables is None:
            values = said[:, [column]].astype(np.float64)
            found.append(Truth(np.zeros(len(values), np.intp), values))
            continue
        # Labels of numbers are texts beside labels that are texts.
        index = {str(each.label): at for at, each in enumerate(asked.classes)}
        chosen = np.array([index[_text(label)] for label in said[:, column].tolist()], np.intp)
        found.append(Truth(chosen, np.asarray(tables[column], dtype=np.float64)))
    return found[0]._replace(more=tuple(found[1:]))


def _text(label: Any) -> str:
    return str(int(label) if isinstance(label, float | bool) else label)


def _ask(pipeline: Any, rows: Any, metadata: Metadata, threshold: float | None) -> Truth:
    if threshold is not None:
        table = np.asarray(pipeline.predict_proba(rows), dtype=np.float64)
        return Truth((table[:, 1] >= threshold).astype(np.intp), table)
    said = pipeline.predict(rows)
    if not metadata.classes:
        numbers = np.asarray(said, dtype=np.float64).reshape(len(rows), -1)
        return Truth(np.zeros(len(rows), np.intp), numbers)
    index = {label: at for at, label in enumerate(pipeline.classes_.tolist())}
    chosen = np.array([index[label] for label in np.asarray(said).ravel().tolist()], np.intp)
    return Truth(chosen, np.asarray(pipeline.predict_proba(rows), dtype=np.float64))


def _told(chosen: int, expected: Numbers64, asked: Question) -> str:
    if not asked.classes:
        return f"{expected[0]:.7g}"
    return f"{asked.classes[chosen].label} with {expected[chosen]:.7f}"


def _words(answer: Answer) -> str:
    if answer.probability is None:
        return f"{answer.label:.7g}"
    return f"{answer.label} with {answer.probability:.7f}"


def _shown(row: Values, metadata: Metadata) -> str:
    """The row, as far as a sentence has room."""
    told = ", ".join(
        f"{name} {'null' if value is None else value!r}"
        for name, value in zip(metadata.names[:SHOWN], row, strict=False)
    )
    return f"{told}, ..." if len(row) > SHOWN else told


def _at_a_loss(who: str, probe: Probe, error: Exception) -> ArtifactError:
    return ArtifactError(f"{who} fails at {probe.what}: {first_line(error)}. {probe.advice}".rstrip())


def first_line(error: Exception) -> str:
    """What an error says first, without a dot at its end."""
    return str(error).strip().partition("\n")[0][:LONGEST_REASON].rstrip(".") or type(error).__name__
