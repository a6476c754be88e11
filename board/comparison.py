"""Champion and challenger beside each other, and what users made of their answers. Pure."""

from collections.abc import Iterator

from board.document import ModelNow, Numbers, Outcome
from board.facts import Facts
from common.names import Model, Recorded
from common.rate import Rate


def numbers_of(facts: Facts) -> Numbers | None:
    """The numbers of now; None where there are none that are young enough."""
    fresh = facts.fresh
    if fresh is None:
        return None
    rates = [fresh.of(Recorded.REQUEST_RATE, model) or 0.0 for model in Model]
    asked = {
        Model.CHAMPION: fresh.readings.champion_requests,
        Model.CHALLENGER: fresh.readings.challenger_requests,
    }
    return Numbers(
        since=fresh.since,
        models=tuple(
            ModelNow(
                model=model.value,
                requests_per_second=fresh.of(Recorded.REQUEST_RATE, model),
                p50=fresh.of(Recorded.LATENCY_P50, model),
                p99=fresh.of(Recorded.LATENCY_P99, model),
                error_rate=fresh.of(Recorded.ERROR_RATE, model),
                requests=round(asked[model]),
            )
            for model in Model
        ),
        observed_share=100 * rates[1] / sum(rates) if sum(rates) else None,
        agreement=fresh.of(Recorded.AGREEMENT_RATE),
        outcomes=tuple(_outcomes(fresh.outcomes, {model.value: round(asked[model]) for model in Model})),
        guard_seen=fresh.readings.last_pass,
        guarded=facts.guarded,
        flags_age=fresh.of(Recorded.FLAG_AGE),
        rates_over=fresh.lately.total_seconds(),
    )


def _outcomes(found: dict[tuple[str, str], float], requests: dict[str, int]) -> Iterator[Outcome]:
    for outcome in sorted({outcome for _, outcome in found}):
        for model in Model:
            asked = requests[model]
            count = min(round(found.get((model.value, outcome), 0.0)), asked)  # Prometheus extrapolates
            if asked:
                rate = Rate(count, asked)
                yield Outcome(outcome, model.value, count, asked, rate.share, *rate.interval)
