import pytest

from common.selector import Matcher, Selector, parse_selector


@pytest.mark.parametrize(
    ("text", "selector"),
    [
        ("x_total", Selector("x_total")),
        ("x_total{}", Selector("x_total")),
        ('x{a="b"}', Selector("x", (Matcher("a", "=", "b"),))),
        (' x { a != "b", c=~"d|e" , } ', Selector("x", (Matcher("a", "!=", "b"), Matcher("c", "=~", "d|e")))),
        ('x{a="say \\"}\\", \\\\n"}', Selector("x", (Matcher("a", "=", 'say "}", \\n'),))),
    ],
)
def test_a_counter_is_read_and_written(text: str, selector: Selector) -> None:
    assert parse_selector(text) == selector
    assert parse_selector(str(selector)) == selector


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x-total", "no counter"),
        ("rate(x[5m])", "no counter"),
        ("", "no counter"),
        (7, "no counter"),
        ("x{a=b}", "no matcher"),
        ('x{a="b" c="d"}', "no matcher"),
        ('x{a="b}', "no matcher"),
        ('x{job="b"}', "the label job is added by the job"),
        ('x{le="1"}', "the label le is added"),
        ('x{a=~"("}', "no regular expression"),
    ],
)
def test_what_is_no_counter_is_refused(text: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_selector(text)


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("x", True),
        ("y", False),
        ('x{a="b"}', True),
        ('x{a="c"}', False),
        ('x{a!="b"}', False),
        ('x{a=~"a|b"}', True),
        ('x{a=~"bb?"}', True),
        ('x{a=~"[^b]"}', False),
        ('x{a!~"c.*"}', True),
        ('x{gone=""}', True),
        ('x{gone!=""}', False),
    ],
)
def test_matchers_are_those_of_prometheus(text: str, fits: bool) -> None:
    assert parse_selector(text).fits({"__name__": "x", "a": "b"}) is fits
