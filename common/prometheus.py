"""The only door to Prometheus: numbers, or an error that says why there are none.

    PrometheusError
    ├── Unreachable     nobody answered in time: no other query will fare better in this pass
    ├── QueryRefused    an HTTP error; the text has Prometheus' own words
    ├── BadAnswer       an answer that is not what the HTTP API promises
    ├── NotScraped      it answers, and has no fresh numbers of the service
    └── SeveralSeries   the query gives more than one number: it wants a sum(), max() or the like

That there is no series is no error: it is None, or an empty list, because it says something about the service
(nobody called the challenger) and nothing about Prometheus.
"""

# ruff: noqa: N818  (the names say what happened, as in flags.unleash.errors)

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from common.answers import Sample, Series, Track, Tracks, fill, samples, scraped
from common.errors import CanarioError
from common.sessions import Address, settled

CONNECT_SECONDS = 2.0
READ_SECONDS = 5.0
MOST_POINTS = 11_000  # of one series in one answer; Prometheus refuses more

# Queries change nothing, so they may be repeated. A silent server is not asked again: three times the read
# timeout is too long for a pass of 15 seconds, and the next pass asks anyway.
_RETRY = Retry(
    total=2,
    connect=2,
    status=1,
    read=False,
    status_forcelist=(502, 503, 504),
    backoff_factor=0.2,
    allowed_methods={"POST"},
    raise_on_status=False,
    respect_retry_after_header=False,  # it may ask for more than a pass has
)

_NOT_AN_ANSWER = (KeyError, IndexError, TypeError, ValueError, AttributeError)

_log = logging.getLogger(__name__)


class PrometheusError(CanarioError):
    """A query without a usable answer."""


class Unreachable(PrometheusError):
    """No connection, or no answer in time."""


class QueryRefused(PrometheusError):
    """Any HTTP status but 2xx."""


class BadAnswer(PrometheusError):
    """Not JSON, or not the JSON of the query API."""


class NotScraped(PrometheusError):
    """There are no fresh numbers of the service."""


class SeveralSeries(PrometheusError):
    """More than one number where one is needed."""


class Prometheus:
    """Asks one Prometheus server, or whatever speaks its query API (Thanos, Mimir, VictoriaMetrics)."""

    def __init__(self, url: str, *, connect: float = CONNECT_SECONDS, read: float = READ_SECONDS) -> None:
        """Make a client; nothing is asked yet.

        Args:
            url: address without `/api/v1`; a path prefix is kept; a user and password are never told.
            connect: seconds until a connection stands.
            read: seconds of silence until an answer counts as lost; Prometheus gives up a little earlier.
        """
        self._url = url.rstrip("/")
        parts = urlsplit(self._url)
        shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self._name = f"Prometheus at {shown}"
        self._timeout = (connect, read)
        session = requests.Session()
        session.mount("http://", HTTPAdapter(max_retries=_RETRY))
        session.mount("https://", HTTPAdapter(max_retries=_RETRY))
        self._session = settled(session, self._url)
        self._addresses: dict[str, Address] = {}

    def now(self) -> datetime:
        """The clock of Prometheus, which stamps the samples: windows are counted from it, not from ours.

        Raises:
            PrometheusError: it could not be asked.
        """
        seconds = self.instant("time()")
        if seconds is None:
            raise BadAnswer(f"{self._name} does not tell its time")
        return datetime.fromtimestamp(seconds, UTC)

    def instant(self, query: str, at: datetime | None = None) -> float | None:
        """The one number that `query` gives `at` a moment, or now; None when it gives no series.

        NaN and infinities are numbers here: what they mean is the verdict's to say.

        Raises:
            PrometheusError: any of the family above.
        """
        moment = {} if at is None else {"time": f"{at.timestamp():.3f}"}
        data = self._ask("query", {"query": query, **moment})
        try:
            return _parse_instant(data, query)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise self._unexpected(error, query) from error

    def series(self, query: str, looks: Sequence[datetime]) -> tuple[float | None, ...]:
        """What `query` gives at each of `looks`, which are evenly spaced, oldest first; None where nothing.

        Raises:
            PrometheusError: any of the family above.
        """
        if len(looks) == 1:
            return (self.instant(query, looks[0]),)
        step = (looks[1] - looks[0]).total_seconds()
        start = round(looks[0].timestamp(), 3)  # as it is written below, so that stamps come back as sent
        span = {"start": f"{start:.3f}", "end": f"{looks[-1].timestamp():.3f}", "step": f"{step:.3f}"}
        data = self._ask("query_range", {"query": query, **span})
        try:
            by_look = {round((stamp - start) / step): value for stamp, value in _parse_range(data, query)}
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise self._unexpected(error, query) from error
        return tuple(by_look.get(look) for look in range(len(looks)))

    def vector(self, query: str, at: datetime | None = None) -> list[Sample]:
        """All that `query` gives `at` a moment, or now.

        Raises:
            PrometheusError: any of the family above but SeveralSeries.
        """
        moment = {} if at is None else {"time": f"{at.timestamp():.3f}"}
        data = self._ask("query", {"query": query, **moment})
        try:
            if data["resultType"] != "vector":
                raise BadAnswer(f"the query gives a {data['resultType']}, not a vector: {query}")
            return samples(data)
        except _NOT_AN_ANSWER as error:
            raise self._unexpected(error, query) from error

    def matrix(self, query: str, start: datetime, step: timedelta, points: int) -> list[Track]:
        """All that `query` gives at `points` moments from `start` on, `step` apart, in few requests.

        Raises:
            PrometheusError: any of the family above but SeveralSeries.
        """
        tracks: Tracks = {}
        pace = step.total_seconds()
        for first in range(0, points, MOST_POINTS):
            count = min(MOST_POINTS, points - first)
            begin = round((start + first * step).timestamp(), 3)
            form = {
                "start": f"{begin:.3f}",
                "end": f"{begin + (count - 1) * pace:.3f}",
                "step": f"{pace:.3f}",
            }
            data = self._ask("query_range", {"query": query, **form})
            try:
                if data["resultType"] != "matrix":
                    raise BadAnswer(f"the query gives a {data['resultType']}, not series: {query}")
                fill(tracks, data, points=points, first=first, start=begin, step=pace)
            except _NOT_AN_ANSWER as error:
                raise self._unexpected(error, query) from error
        return list(tracks.values())

    def raw(self, selector: str, at: datetime | None = None) -> tuple[Series, ...]:
        """The samples as they were scraped, of a selector with a range, such as `up{job="x"}[1m]`.

        Nothing is filled in or carried over, so one can see when a target was last heard.

        Raises:
            PrometheusError: any of the family above.
        """
        moment = {} if at is None else {"time": f"{at.timestamp():.3f}"}
        data = self._ask("query", {"query": selector, **moment})
        try:
            if data["resultType"] != "matrix":
                raise BadAnswer(f"the query gives a {data['resultType']}, not raw samples: {selector}")
            return scraped(data)
        except _NOT_AN_ANSWER as error:
            raise self._unexpected(error, selector) from error

    def _ask(self, endpoint: str, form: dict[str, str]) -> dict[str, Any]:
        query, began = form["query"], time.monotonic()
        try:
            address = self._address(endpoint)
            response = address.post({**form, "timeout": f"{self._timeout[1] * 0.9:.3f}"}, self._timeout)
        except requests.Timeout as error:
            waited = time.monotonic() - began
            raise Unreachable(f"{self._name} did not answer within {waited:.1f} s") from error
        except requests.RequestException as error:
            raise Unreachable(f"{self._name} cannot be reached: {_root_cause(error)}") from error
        body = _json_object(response)
        if response.status_code != requests.codes.ok or body.get("status", "success") != "success":
            reason = body.get("error") or response.reason or "no reason given"
            raise QueryRefused(f"{self._name} answered HTTP {response.status_code}: {reason}: {query}")
        for warning in body.get("warnings") or ():
            _log.warning("Prometheus warns", extra={"query": query, "warning": str(warning)})
        data = body.get("data")
        if not isinstance(data, dict):
            raise BadAnswer(f"{self._name} answered something that is no query result; is the address right?")
        return data

    def _address(self, endpoint: str) -> Address:
        """By POST, because a query may outgrow a URL."""
        if endpoint not in self._addresses:
            # Packing megabytes of counters takes Prometheus four times as long as finding them.
            packing = {"Accept-Encoding": "identity"}
            url = f"{self._url}/api/v1/{endpoint}"
            self._addresses[endpoint] = Address(self._session, url, packing)
        return self._addresses[endpoint]

    def _unexpected(self, error: Exception, query: str) -> BadAnswer:
        return BadAnswer(f"{self._name} answered in an unknown form ({error!r}): {query}")


def _parse_instant(data: dict[str, Any], query: str) -> float | None:
    result = data["result"]
    if data["resultType"] == "scalar":
        return float(result[1])
    if data["resultType"] != "vector":
        raise BadAnswer(f"the query gives a {data['resultType']}, not one number: {query}")
    return float(result[0]["value"][1]) if _is_single(result, query) else None


def _parse_range(data: dict[str, Any], query: str) -> list[tuple[float, float]]:
    result = data["result"]
    if data["resultType"] != "matrix":
        raise BadAnswer(f"the query gives a {data['resultType']}, not a series: {query}")
    samples = result[0]["values"] if _is_single(result, query) else []
    return [(float(stamp), float(value)) for stamp, value in samples]


def _is_single(result: list[Any], query: str) -> bool:
    if len(result) > 1:
        raise SeveralSeries(f"the query gives {len(result)} series where one is needed: {query}")
    return bool(result)


def _json_object(response: requests.Response) -> dict[str, Any]:
    """The body as an object; an empty one when it is something else, which every caller refuses."""
    try:
        body = orjson.loads(response.content)  # a day of counters is megabytes
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _root_cause(error: BaseException) -> str:
    """The innermost reason: those around it repeat it, with the whole URL and its password."""
    inner: BaseException | None = error
    while inner is not None:
        error, inner = inner, inner.__cause__ or inner.__context__
    return f"{type(error).__name__}: {error}"
