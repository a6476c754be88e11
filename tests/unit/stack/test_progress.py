"""One line for each step."""

import io
from collections.abc import Iterator
from dataclasses import replace

import pytest

from stack.progress import REQUEST, Progress, Silent, summary
from stack.secrets import MAKERS
from stack.site import Settings, Site


def clock(*times: float) -> Iterator[float]:
    return iter(times)


def make(total: int, *times: float) -> tuple[Progress, io.StringIO]:
    out, ticks = io.StringIO(), clock(*times)
    return Progress(total, out, lambda: next(ticks)), out


def test_steps_are_numbered_and_timed() -> None:
    progress, out = make(10, 0.0, 1.26, 2.0, 2.0)
    with progress.step("PostgreSQL 18.6"):
        pass
    with progress.step("Unleash") as step:
        step.remark = "runs already"
    assert out.getvalue() == "[ 1/10] PostgreSQL 18.6 ... 1.3 s\n[ 2/10] Unleash ... 0.0 s (runs already)\n"


def test_the_title_is_shown_before_the_step_is_done() -> None:
    progress, out = make(3, 0.0, 1.0)
    with progress.step("slow"):
        assert out.getvalue() == "[1/3] slow ... "


def test_a_failing_step_says_so_and_raises() -> None:
    progress, out = make(1, 0.0, 5.0)
    with pytest.raises(ZeroDivisionError), progress.step("doomed"):
        raise ZeroDivisionError
    assert out.getvalue() == "[1/1] doomed ... failed after 5.0 s\n"


def test_a_word_in_the_middle_of_a_step_has_its_own_line() -> None:
    progress, out = make(1, 0.0, 5.0)
    with progress.step("step"):
        progress.say("note: something")
    assert out.getvalue().splitlines() == ["[1/1] step ... ", "note: something", "      5.0 s"]


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Silent()
    with progress.step("step"):
        progress.say("note")
    assert capsys.readouterr().out == ""


def test_the_last_words_tell_addresses_and_one_secret(site: Site) -> None:
    text = summary(site)
    assert all(address in text for address in ("127.0.0.1:4242", "127.0.0.1:8000", "127.0.0.1:9090"))
    assert "/projects/default/features/canary" in text
    told = [name for name in MAKERS if site.secrets.read(name) in text]
    assert told == ["unleash-admin.password"]
    assert REQUEST.is_file()


def test_the_last_words_are_only_about_what_there_is(site: Site) -> None:
    text = summary(replace(site, settings=Settings(programs=("postgres",))))
    assert "Unleash" not in text
    assert "curl" not in text
