"""Show something again and again: what is written, and how it ends."""

from collections.abc import Callable

import pytest

from zreg.cli.output import say
from zreg.cli.showing.repeat import show_again
from zreg.errors import UnavailableError, UsageError


def looks_of(*found: str | Exception) -> Callable[[], str]:
    left = list(found)

    def look() -> str:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return look


def shown(*found: str | Exception, is_for_programs: bool = True) -> None:
    count = len(found)
    show_again(looks_of(*found), say, is_for_programs=is_for_programs, seconds=0, count=count)


def test_it_ends_after_so_many_looks(capsys: pytest.CaptureFixture[str]) -> None:
    shown("one", "two")

    assert capsys.readouterr() == ("one\ntwo\n", "")


def test_people_get_the_time_of_each_look(capsys: pytest.CaptureFixture[str]) -> None:
    shown("one", is_for_programs=False)

    time, text = capsys.readouterr().out.splitlines()
    assert (time[4], time[10], text) == ("-", "T", "one")


def test_it_goes_on_while_no_node_answers(capsys: pytest.CaptureFixture[str]) -> None:
    shown(UnavailableError("no node answered"), "two")

    assert capsys.readouterr() == ("two\n", "zreg: no node answered\n")


def test_the_last_look_decides_how_it_ends() -> None:
    with pytest.raises(UnavailableError, match="no node answered"):
        shown("one", UnavailableError("no node answered"))


def test_a_mistake_of_the_user_ends_it_at_once() -> None:
    with pytest.raises(UsageError, match="no such node"):
        shown(UsageError("no such node"), "two")
