"""Check the arguments of the API where they enter, so that none fails later and elsewhere."""

import inspect
import math
import threading
from typing import Final

from zreg.errors import UsageError
from zreg.model import Scope

_FOR_EVER: Final = "math.inf waits for ever"
_NUMBERS: Final = (float, int)


def seconds_to_wait(timeout_seconds: object) -> float | None:
    """Return how long to wait, None for ever; `UsageError` if it is no duration.

    Nothing below zero is waited for. What is longer than a thread can wait is for ever.
    """
    # Nearly always.
    if type(timeout_seconds) in _NUMBERS and 0 <= timeout_seconds < threading.TIMEOUT_MAX:  # type: ignore[operator]
        return timeout_seconds  # type: ignore[return-value]
    if isinstance(timeout_seconds, bool | str | bytes) or not hasattr(timeout_seconds, "__float__"):
        hint = ", .total_seconds() of a timedelta" if hasattr(timeout_seconds, "seconds") else ""
        raise UsageError(
            f"timeout_seconds {timeout_seconds!r:.80} is no number: give seconds{hint}; {_FOR_EVER}"
        )
    try:
        seconds = float(timeout_seconds)
    except OverflowError:
        seconds = math.inf
    if math.isnan(seconds):
        raise UsageError(f"timeout_seconds is not a number (nan): give seconds; {_FOR_EVER}")
    return None if seconds >= threading.TIMEOUT_MAX else max(seconds, 0.0)


def checked_seconds(seconds: object, name: str, *, least: float = 0.001) -> float:
    """Return a duration that ends, of a millisecond at least; `UsageError` if it is none."""
    is_number = isinstance(seconds, float | int) and not isinstance(seconds, bool)
    if not is_number or not least <= seconds < threading.TIMEOUT_MAX:  # type: ignore[operator]
        raise UsageError(
            f"{name} {seconds!r:.80} cannot be used: give seconds, {least:g} at least and not "
            "without end"
        )
    return float(seconds)  # type: ignore[arg-type]


def checked_count(count: object, name: str) -> int:
    """Return a count; `UsageError` if it is none."""
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise UsageError(f"{name} {count!r:.80} is no count: give a whole number from 0 on")
    return count


def checked_scope(scope: object) -> Scope:
    """Return the scope; `UsageError` if it is none."""
    try:
        return Scope(scope)  # type: ignore[arg-type]  # anything else raises
    except ValueError:
        names = ", ".join(f"zreg.Scope.{each.name}" for each in Scope)
        raise UsageError(f"scope {scope!r:.80} cannot be used: give one of {names}") from None


def checked_flag(flag: object, name: str) -> bool:
    """Return the flag; `UsageError` if it is none."""
    if not isinstance(flag, bool):
        raise UsageError(f"{name} {flag!r:.80} cannot be used: give True or False")
    return flag


def check_callback(callback: object, change: str = "zreg.ViewChange") -> None:
    """Raise `UsageError` for a callback that could not be called with a change."""
    _check_takes_change(callback, change)
    kind = _kind_that_only_begins(callback) or _kind_that_only_begins(_call_of(callback))
    if kind:
        raise UsageError(
            f"callback {callback!r:.80} is {kind}, and nothing would run it: use zreg.AsyncClient, "
            "whose callbacks may be coroutine functions, or give a function that passes the change "
            "on, for example with loop.call_soon_threadsafe"
        )


def check_loop_callback(callback: object, change: str = "zreg.ViewChange") -> None:
    """Raise `UsageError` for a callback that an event loop could not run with a change."""
    _check_takes_change(callback, change)
    if _is_generator(callback) or _is_generator(_call_of(callback)):
        raise UsageError(
            f"callback {callback!r:.80} is a generator function, and nothing would run it: give a "
            "function or a coroutine function, or iterate over changes()"
        )


def check_health_function(function: object) -> None:
    """Raise `UsageError` for a check of health that a thread could not call."""
    _check_takes_nothing(function)
    kind = _kind_that_only_begins(function) or _kind_that_only_begins(_call_of(function))
    if kind:
        raise UsageError(
            f"health {function!r:.80} is {kind}, and nothing would run it: give a function, or use "
            "zreg.AsyncClient, whose checks may be coroutine functions"
        )


def check_loop_health_function(function: object) -> None:
    """Raise `UsageError` for a check of health that an event loop could not run."""
    _check_takes_nothing(function)
    if _is_generator(function) or _is_generator(_call_of(function)):
        raise UsageError(
            f"health {function!r:.80} is a generator function, and nothing would run it: give a "
            "function or a coroutine function"
        )


def _check_takes_nothing(function: object) -> None:
    """Raise `UsageError` unless the check can be called without arguments."""
    if not callable(function):
        raise UsageError(
            f"health {function!r:.80} cannot be called: give a function that returns None or True "
            "if the instance is healthy, or what client.heartbeat() returned"
        )
    try:
        inspect.signature(function).bind()
    except ValueError:  # builtin functions may have no signature
        return
    except TypeError as error:
        raise UsageError(
            f"health {function!r:.80} cannot be called without arguments ({error}): give a "
            "function such as `def check() -> bool`"
        ) from None


def _check_takes_change(callback: object, change: str) -> None:
    """Raise `UsageError` unless the callback can be called with one argument."""
    if not callable(callback):
        raise UsageError(
            f"callback {callback!r:.80} cannot be called: give one function; call subscribe() or "
            "the subscription again for each further one"
        )
    try:
        signature = inspect.signature(callback)
    except (TypeError, ValueError):  # builtin functions may have none
        return
    try:
        signature.bind(None)
    except TypeError as error:
        raise UsageError(
            f"callback {callback!r:.80} cannot be called with one argument, the change ({error}): "
            f"give a function such as `def changed(change: {change}) -> None`"
        ) from None


def _call_of(callback: object) -> object:
    return type(callback).__call__


def _is_generator(function: object) -> bool:
    return inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function)


def _kind_that_only_begins(function: object) -> str:
    """Return what a function is whose call only makes an object; empty for any other."""
    if inspect.iscoroutinefunction(function):
        return "a coroutine function"
    if _is_generator(function):
        return "a generator function"
    return ""
