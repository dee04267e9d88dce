"""What a check has found, as one line for people."""

import pytest

from zreg.client.health.outcome import (
    REASON_CHARACTERS_MAX,
    one_line,
    reason_of_error,
    reason_of_result,
)


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


@pytest.mark.parametrize("result", [None, True, "", "  "])
def test_none_true_and_an_empty_text_are_healthy(result: object) -> None:
    assert reason_of_result(result) is None


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (False, "its check returned False"),
        ("no database\nat all\x00", "no database at all"),
    ],
)
def test_false_and_a_text_are_unhealthy(result: object, reason: str) -> None:
    assert reason_of_result(result) == reason


@pytest.mark.parametrize(("result", "shown"), [(0, "0"), (200, "200"), (b"", "b''")])
def test_any_other_result_is_unhealthy_and_says_what_to_return(result: object, shown: str) -> None:
    reason = reason_of_result(result)

    assert reason is not None
    assert reason.startswith(f"its check returned {shown}: return None or True if it is healthy")


def test_what_a_check_raises_is_named() -> None:
    assert reason_of_error(ConnectionError("no\nroute")) == "ConnectionError: no route"
    assert reason_of_error(KeyboardInterrupt()) == "its check raised KeyboardInterrupt"
    assert reason_of_error(UnprintableError()) == "its check raised UnprintableError"


def test_an_object_that_cannot_be_shown_is_named_by_its_class() -> None:
    assert "returned a UnprintableError" in str(reason_of_result(UnprintableError()))


def test_a_reason_is_bounded() -> None:
    line = one_line("x" * 100_000)

    assert len(line) == REASON_CHARACTERS_MAX
    assert line.endswith("…")
