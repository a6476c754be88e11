"""The report of a registered test: the verdict or why there is none, then what it rests on."""

from analysis.abtest.decide import Finding
from analysis.abtest.examine import Examined
from analysis.log.bad import BadLines
from analysis.reports import abtest_numbers
from analysis.reports.abtest_effect import effect, guardrails
from analysis.reports.abtest_method import method, promised
from analysis.reports.abtest_users import users
from analysis.reports.abtest_warnings import warnings
from analysis.reports.abtest_words import Words
from analysis.reports.document import Report, Tone


def abtest_report(examined: Examined, bad: BadLines) -> Report:
    """Make the report; `bad` are lines of the log that were left out."""
    words = Words(examined)
    return Report(
        title=f"A/B test: {examined.registration.name}",
        answer=words.answer,
        tone=_tone(examined),
        evidence=tuple(
            section for section in (effect(examined), guardrails(examined), users(examined)) if section
        ),
        method=(promised(examined), method(examined)),
        numbers=abtest_numbers.numbers(examined, bad),
        warnings=warnings(examined, bad),
    )


def _tone(examined: Examined) -> Tone:
    guardrails = examined.found.guardrails if examined.found else ()
    if examined.finding in {Finding.WORSE, Finding.MISMATCH, Finding.CHANGED} or any(
        each.harmed for each in guardrails
    ):
        return "bad"
    if examined.finding is Finding.BETTER:
        return "good"
    return "plain" if examined.finding in {Finding.NO_DIFFERENCE, Finding.NO_VERDICT} else "wait"
