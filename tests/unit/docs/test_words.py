"""Pages, alerts and the board speak in the project's own terms, and in sentences that can be read once."""

import re

from docs import words


def test_no_page_has_a_word_that_has_a_better_one() -> None:
    assert list(words.faults()) == []


def test_each_term_is_found_where_it_stands() -> None:
    for text in (
        "it is in quarantine",
        "the job takes the challenger away",
        "5 per cent",
        "Lease left: over",
    ):
        assert any(re.search(pattern, text, re.IGNORECASE) for pattern in words.TERMS), text


def test_a_long_sentence_is_counted_without_code_tables_and_headings() -> None:
    long = " ".join(["word"] * 50)
    text = f"# {long}\n\n| {long} |\n\n```\n{long}\n```\n\nOne. Two `{long}`.\n\n- {long}.\n"
    assert [len(each.split()) for each in words.sentences(text) if len(each.split()) > words.LONGEST] == [51]
