"""The simulated truth of the story, and whether the reports are held to it."""

from collections import Counter
from dataclasses import replace

import pytest

from common.names import Model
from drills.story.truth import TRUTH, Country, Findings, Truth, compared, decision, faults

FOUND = Findings(0.978, 0.978, "too_early", "better", 0.06, (0.03, 0.09), frozenset({"DK"}))


def test_users_are_the_same_in_every_run_and_as_many_by_country_as_said() -> None:
    users = TRUTH.users("ab", 4000, rows=569)
    assert users == TRUTH.users("ab", 4000, rows=569)
    assert len({user.id for user in users}) == 4000
    assert {user.plan for user in users} == {"free", "pro"}
    assert 0 <= min(user.row for user in users) < max(user.row for user in users) < 569
    counts = Counter(user.country for user in users)
    for country in TRUTH.countries:
        assert counts[country.name] / 4000 == pytest.approx(country.share, abs=0.02)


@pytest.mark.parametrize("country", TRUTH.countries, ids=lambda country: country.name)
def test_they_buy_as_often_as_their_country_and_model_say(country: Country) -> None:
    users = [user for user in TRUTH.users("ab", 20_000, rows=1) if user.country == country.name]
    for arm, chance in ((Model.CHAMPION, country.champion), (Model.CHALLENGER, country.challenger)):
        bought = [TRUTH.buys(user, arm) for user in users]
        assert sum(bought) / len(users) == pytest.approx(chance, abs=0.03)
        assert bought == [TRUTH.buys(user, arm) for user in users]


def test_the_whole_gains_and_the_small_country_loses() -> None:
    assert sum(country.share for country in TRUTH.countries) == pytest.approx(1)
    assert TRUTH.baseline == pytest.approx(0.21)
    assert TRUTH.effect == pytest.approx(0.061)
    assert TRUTH.harmed == {"DK"}
    assert not Truth((Country("NO", 1, 0.2, 0.2),)).harmed


def test_a_story_as_simulated_has_no_fault() -> None:
    assert faults(FOUND, TRUTH) == ()
    assert [row[1] for row in compared(FOUND, TRUTH)] == ["97.8%", "too early", "better", "+6.0", "DK"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"agreement": 0.95}, "agree on 95.0%"),
        ({"early": "better"}, "instead of waiting"),
        ({"verdict": "no_difference"}, "says 'no_difference', and the challenger is better, by +6.1 points"),
        ({"harmed": frozenset()}, "harm in no country, and it is in DK"),
        ({"harmed": frozenset({"DK", "SE"})}, "harm in DK, SE, and it is in DK"),
    ],
)
def test_each_difference_from_the_truth_is_told(changed: dict[str, object], said: str) -> None:
    (fault,) = faults(replace(FOUND, **changed), TRUTH)  # type: ignore[arg-type]
    assert said in fault


def test_the_decision_follows_what_was_found() -> None:
    assert "without DK" in decision(FOUND)
    assert "nobody is left out" in decision(replace(FOUND, harmed=frozenset()))
    undecided = replace(FOUND, verdict="no_difference", effect=None, interval=None)
    assert "the champion stays" in decision(undecided)
    assert [row[1] for row in compared(undecided, TRUTH)][2:4] == ["no difference", "-"]
