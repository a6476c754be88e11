"""The runbook and its other page hold together: links lead somewhere, and a test runs every command."""

import re

import pytest

from tests.runbook import FILE, Command, anchor, both, commands, headings, inline, page

MAKEFILE = FILE.parents[1] / "Makefile"
# What `make WORD` of the page runs is run by a command of the page, or by this test.
RUN_BY = {
    "./canario up": "tests/integration/conftest.py",
    "./canario": "tests/unit/launcher/test_launcher.py",
    "./canario shell": "tests/unit/launcher/test_launcher.py",
    "./canario demo": "./canario demo",
    "./canario drill rollback": "./canario drill rollback",
    "./canario drill faults": "tests/integration/test_drills.py",
    "make chaos": "tests/integration/test_chaos.py",
}


def says(*expected: str) -> Command:
    return Command("", "", "", expected, 0)


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        (["canary: on, 25% of ..."], "canary: on, 25% of the users\n"),
        (["a  3.5 s", "..."], "a 17 s\n"),
        (["...", "end"], "one\ntwo\nend\n"),
        (["{...", "..."], '{"a": 1}\nmore'),
        ([], ""),
        (["at 12:30, 1,200 of 7"], "at 1:02, 3 of 70,000"),
        (["...% of them"], "97.15% of them"),
    ],
)
def test_what_is_printed_may_differ_in_numbers_and_where_dots_stand(
    expected: list[str], printed: str
) -> None:
    assert not says(*expected).differs(printed)


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        (["canary: on, 25% of ..."], "canary: on, 5% of the users"),
        (["p99 1 s"], "p95 1 s"),
        (["one"], "one\ntwo"),
        (["one", "..."], "two"),
        ([], "something"),
        (["one ... three"], "one\nthree"),
    ],
)
def test_anything_else_is_seen(expected: list[str], printed: str) -> None:
    assert says(*expected).differs(printed)


def test_commands_are_found_with_what_they_print() -> None:
    text = "## A\n```console\n$ x  # exit code 11\nprints\n$ y\n```\n### B\n```console\n$ z\n```\n"
    assert commands(text) == [
        Command("A", "A", "x  # exit code 11", ("prints",), 11),
        Command("A", "A", "y", (), 0),
        Command("A", "B", "z", (), 0),
    ]


def test_the_contents_are_the_sections_in_their_order() -> None:
    contents = page().split("\n## ")[0]
    listed = re.findall(r"^- \[(.+)\]\(#(.+)\)", contents, re.MULTILINE)
    assert listed == [(words, anchor(words)) for level, words in headings(page()) if level == 2]


def test_every_block_is_a_session_that_a_test_runs() -> None:
    assert set(re.findall(r"^```(.*)$", both(), re.MULTILINE)) == {"console", ""}


@pytest.mark.parametrize("line", sorted(set(inline(both()))))
def test_a_command_in_the_text_is_run_by_a_block_or_a_test(line: str) -> None:
    blocks = [one.line for one in commands(both())]
    if run_by := RUN_BY.get(line):
        if line.startswith("make "):
            word = line.removeprefix("make ")
            assert re.search(rf"^{word}:", MAKEFILE.read_text(encoding="utf-8"), re.MULTILINE)
        assert any(one.startswith(run_by) for one in blocks) or (FILE.parents[1] / run_by).exists()
    else:
        bare = re.split(r' "', line)[0]  # reasons differ
        assert any(one.startswith(bare) for one in blocks), f"no block has {bare}"
