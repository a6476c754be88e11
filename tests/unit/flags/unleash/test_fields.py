"""Addresses that Unleash keeps in another form are the same page."""

import pytest

from flags.unleash.fields import same_page


@pytest.mark.parametrize(
    ("asked", "kept"),
    [  # as Unleash 8.2.0 and 7.6.5 kept them
        ("http://a.example/", "http://a.example"),
        ("https://wiki.example/run%20book/?page=a%20b", "https://wiki.example/run%20book?page=a+b"),
        ("https://www.wiki.example/a?b=2&a=1#frag", "https://wiki.example/a?a=1&b=2#frag"),
        ("http://h:3000/d/x?orgId=1&from=now-6h&to=", "http://h:3000/d/x?from=now-6h&orgId=1&to="),
        ("https://h/a//b/", "https://h/a/b"),
        ("https://H:443/a/?", "https://h/a"),
        ("https://h/?utm_source=x", "https://h"),
    ],
)
def test_the_same(asked: str, kept: str) -> None:
    assert same_page(asked, kept)


@pytest.mark.parametrize(
    "other",
    ["http://h/a", "https://h:8443/a", "https://i/a", "https://h/b", "https://h/a?x=1", "https://h/a#x"],
)
def test_another(other: str) -> None:
    assert not same_page("https://h/a", other)
