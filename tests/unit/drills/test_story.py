"""The simulated shop of the story, what is true of it, and whether the reports are held to that."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from common.names import Model
from drills.story.context import truth_about
from drills.story.models import train
from drills.story.shop import BUYS, CHANCES, LEAVES, NEW, OLD, Visitor, visitors
from drills.story.truth import Findings, Truth, compared, decision, faults, truth_of

SOLD = {
    "DE": {Model.CHAMPION: 0.20, Model.CHALLENGER: 0.29},
    "DK": {Model.CHAMPION: 0.30, Model.CHALLENGER: 0.10},
}
TRUTH = Truth(SOLD, baseline=0.21, effect=0.061, agreement=0.978)
FOUND = Findings(0.978, 0.978, "too_early", "better", 0.06, (0.03, 0.09), frozenset({"DK"}))


def test_visitors_are_the_same_in_every_run_and_as_many_by_country_as_said() -> None:
    found = visitors("ab", 4000)
    assert found == visitors("ab", 4000)
    assert len({each.id for each in found}) == 4000
    assert {each.device for each in found} == {"phone", "desktop"}
    counts = Counter(each.country for each in found)
    for country in (*OLD, NEW):
        assert counts[country.name] / 4000 == pytest.approx(country.share, abs=0.02)
    assert {each.country for each in visitors("last-year", 1000, OLD)} == {each.name for each in OLD}


@pytest.mark.parametrize(("ready", "said"), CHANCES)
def test_they_buy_as_often_as_the_answer_lets_them(ready: bool, said: str) -> None:
    found = [Visitor(f"v-{number}", "DE", "phone", {}, ready) for number in range(20_000)]
    bought = [each.buys(said) for each in found]
    assert sum(bought) / len(found) == pytest.approx(CHANCES[ready, said], abs=0.01)
    assert bought == [each.buys(said) for each in found]


def test_what_is_true_follows_from_what_the_models_say() -> None:
    asked = [
        Visitor("a", "DE", "phone", {}, ready=True),
        Visitor("b", "DE", "phone", {}, ready=False),
        Visitor("c", "DK", "phone", {}, ready=True),
        Visitor("d", "DK", "phone", {}, ready=True),
    ]
    said = {Model.CHAMPION: [LEAVES, LEAVES, BUYS, BUYS], Model.CHALLENGER: [BUYS, LEAVES, LEAVES, BUYS]}
    truth = truth_of(asked, said)
    assert truth.agreement == 0.5
    assert truth.harmed == {"DK"}
    assert truth.baseline == pytest.approx((0.10 + 0.10 + 0.90 + 0.90) / 4)
    assert truth.effect == pytest.approx(0.0)


def test_the_trained_models_sell_more_but_where_baskets_are_in_kroner(tmp_path: Path) -> None:
    truth = truth_about(train(tmp_path), visitors("everybody", 5000))
    assert truth.effect > 0.05
    assert truth.harmed == {"DK"}
    assert truth.buyers["DK"][Model.CHAMPION] - truth.buyers["DK"][Model.CHALLENGER] > 0.1


def test_a_story_as_it_is_has_no_fault() -> None:
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
