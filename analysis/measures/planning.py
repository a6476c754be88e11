"""What the plan of a test takes from a log: the champion's level, how it varies, and who comes when."""

from dataclasses import dataclass
from datetime import UTC, timedelta

from analysis.errors import AnalysisError, LogError
from analysis.log import Log
from analysis.measures import experiment
from analysis.measures.experiment import MEASURE, Question
from analysis.measures.metric import Metric
from analysis.statistics.arrivals import Arrivals

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True)
class Level:
    """A measure of the champion's users.

    Attributes:
        mean, variance: from user to user.
        users: of the champion, who were watched for the whole window.
    """

    mean: float
    variance: float
    users: int

    @property
    def dispersion(self) -> float:
        """Of a negative binomial count: variance = mean + dispersion * mean**2; 0 is Poisson."""
        return max((self.variance - self.mean) / self.mean**2, 0.0) if self.mean > 0 else 0.0


def traffic(log: Log, window: timedelta, segment: tuple[str, str] | None) -> tuple[Question, Arrivals]:
    """The whole time of the log, and how different users came in it.

    Raises:
        LogError: there is no user in it.
    """
    first, last, _bad = log.survey.first, log.survey.last, log.survey.bad
    if first is None or last is None:
        raise LogError("the log holds no record")
    question = Question(first.replace(tzinfo=UTC), last.replace(tzinfo=UTC) + _TICK, window, segment)
    arrived = experiment.arrived(log, experiment.users_of(log, question), question)
    users = [sum(pair) for pair in zip(arrived.champion, arrived.challenger, strict=True)]
    if not sum(arrived.users):
        raise LogError("the log holds no request of a user" + (" of that segment" if segment else ""))
    return question, Arrivals.seen(arrived.days, users)


def level(log: Log, metric: Metric, question: Question) -> Level:
    """The champion's level in the time of the log.

    Raises:
        AnalysisError: nobody was watched for the whole window, or nobody had the outcome.
    """
    came_before = question.now - question.window
    if came_before <= question.since:
        raise AnalysisError(
            "the log is shorter than the window in which an outcome counts; take a shorter --window, "
            "or say --baseline yourself"
        )
    arm = experiment.measured(log, metric, question, came_before).champion
    if arm.users < 2 or arm.aggregates.mean(MEASURE) == 0:
        raise AnalysisError(
            f"of {arm.users} users of the champion nobody has the outcome {metric.outcome!r}: is that its "
            "name in the feedback?"
        )
    return Level(float(arm.aggregates.mean(MEASURE)), float(arm.aggregates.var(MEASURE)), arm.users)
