"""The arguments of the API, checked where they enter."""

import datetime as dt
import decimal
import functools
import math
from collections.abc import AsyncIterator, Iterator

import pytest

import zreg
from zreg.client.arguments import (
    check_callback,
    check_loop_callback,
    checked_count,
    checked_scope,
    seconds_to_wait,
)
from zreg.config import Config
from zreg.errors import UsageError
from zreg.model import Scope


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (5, 5.0),
        (0.25, 0.25),
        (0, 0.0),
        (-3, 0.0),
        (decimal.Decimal("1.5"), 1.5),
        (math.inf, None),
        (1e10, None),
        (10**400, None),
        (-math.inf, 0.0),
    ],
)
def test_a_duration_is_waited_for_and_a_very_long_one_for_ever(
    given: object, seconds: float | None
) -> None:
    assert seconds_to_wait(given) == seconds


@pytest.mark.parametrize(
    "given", ["5", b"5", None, True, math.nan, dt.timedelta(seconds=1), [1], 1j]
)
def test_what_is_no_duration_is_refused_and_the_error_names_for_ever(given: object) -> None:
    with pytest.raises(UsageError, match=r"math\.inf waits for ever"):
        seconds_to_wait(given)


def test_the_error_for_a_timedelta_says_how_to_make_seconds_of_it() -> None:
    with pytest.raises(UsageError, match=r"give seconds, \.total_seconds\(\) of a timedelta"):
        seconds_to_wait(dt.timedelta(seconds=1))


@pytest.mark.parametrize("given", ["1", 1.0, -1, None, True, math.inf])
def test_what_is_no_count_is_refused(given: object) -> None:
    with pytest.raises(UsageError, match=r"min_count .* is no count: give a whole number"):
        checked_count(given, "min_count")
    assert checked_count(0, "min_count") == 0


@pytest.mark.parametrize("given", ["zone", "ZONE", 0, 9, None, [], Config])
def test_what_is_no_scope_is_refused_with_the_scopes(given: object) -> None:
    with pytest.raises(UsageError, match=r"give one of zreg\.Scope\.ZONE, zreg\.Scope\.DATA"):
        checked_scope(given)
    assert checked_scope(Scope.ZONE) is checked_scope(1) is Scope.ZONE


async def coroutine(change: object) -> None: ...


async def async_generator(change: object) -> AsyncIterator[int]:
    yield 1


def generator(change: object) -> Iterator[int]:
    yield 1


class AsyncCallable:
    async def __call__(self, change: object) -> None: ...


class Callable:
    def __call__(self, change: object) -> None: ...


class Made:
    def __init__(self, change: object) -> None: ...


@pytest.mark.parametrize(
    "callback",
    [
        coroutine,
        async_generator,
        generator,
        functools.partial(coroutine),
        AsyncCallable(),
        AsyncCallable().__call__,
    ],
)
def test_a_callback_whose_call_would_run_nothing_is_refused(callback: object) -> None:
    with pytest.raises(UsageError, match="function, and nothing would run it"):
        check_callback(callback)


@pytest.mark.parametrize("callback", ["print", [print], 5, {}, None])
def test_what_cannot_be_called_is_no_callback(callback: object) -> None:
    with pytest.raises(UsageError, match="cannot be called: give one function"):
        check_callback(callback)


@pytest.mark.parametrize(
    "callback", [print, [].append, Callable(), Made, lambda change: None, type]
)
def test_other_callables_are_callbacks(callback: object) -> None:
    check_callback(callback)


@pytest.mark.parametrize(
    "callback", [lambda: None, lambda one, two: None, lambda *, change: None, Callable]
)
@pytest.mark.parametrize("check", [check_callback, check_loop_callback])
def test_a_callback_that_cannot_take_a_change_is_refused(check: Callable, callback: object) -> None:
    with pytest.raises(UsageError, match="cannot be called with one argument, the change"):
        check(callback)


@pytest.mark.parametrize(
    "callback", [print, coroutine, AsyncCallable(), functools.partial(coroutine)]
)
def test_an_event_loop_runs_functions_and_coroutine_functions(callback: object) -> None:
    check_loop_callback(callback)


@pytest.mark.parametrize("callback", [generator, async_generator, functools.partial(generator)])
def test_an_event_loop_runs_no_generators(callback: object) -> None:
    with pytest.raises(UsageError, match="is a generator function"):
        check_loop_callback(callback)


@pytest.mark.parametrize(
    "named",
    [
        {"url": 5},
        {"url": b"zreg://127.0.0.1"},
        {"url": ["zreg://127.0.0.1"]},
        {"config": {"lease_seconds": 3}},
        {"cluster": 5},
        {"zone": b"z"},
        {"data_center": 1},
        {"app": ["a"]},
    ],
)
def test_an_argument_of_the_wrong_type_is_refused_by_the_constructor(
    named: dict[str, object],
) -> None:
    with pytest.raises(UsageError, match=r"text|give a zreg\.Config"):
        zreg.Client(**{"url": "zreg://127.0.0.1:1", **named})  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["[::1]", "h:80", "http://h", "0.0.0.0", "*", "a b"])  # noqa: S104 -- refused
def test_an_advertised_host_that_is_no_host_is_refused_by_the_constructor(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("ZREG_ADVERTISE_HOST", host)
    with pytest.raises(UsageError, match=r"ZREG_ADVERTISE_HOST .* cannot be used: "):
        zreg.Client("zreg://127.0.0.1:1")
