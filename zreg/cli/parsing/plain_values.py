"""Convert the plain values of a command line without pydantic.

typer loads pydantic to convert a value, also a default one, and that takes longer than all else
that a short command does. A value that is not plainly right goes to typer, which words the error.
"""

import os
import re
from collections.abc import Callable
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, Final

from typer.core import TyperArgument, TyperOption

_NUMBER: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)


def with_plain_values(parameters: list[Any]) -> list[Any]:
    """Let each parameter of a command convert plain values by itself, and return the parameters."""
    for parameter in parameters:
        # typer's type of a parameter is internal to it: without one, typer converts all values.
        descriptor = getattr(parameter, "type_descriptor", None)
        process = parameter.process_value
        if descriptor is not None and not isinstance(process, partial):
            parameter.process_value = partial(_processed, parameter, descriptor.annotation, process)
    return parameters


def _processed(
    parameter: TyperOption | TyperArgument,
    kind: object,
    process: Callable[[Any, Any], Any],
    context: object,
    value: object,
) -> Any:  # noqa: ANN401 -- what a command takes as an argument
    is_list = parameter.nargs == -1 or getattr(parameter, "multiple", False)
    if value is None and not parameter.required:
        return () if is_list else None
    found = plain_value(kind, value)
    if isinstance(found, int | float) and not _is_within(parameter, found):
        found = None
    return process(context, value) if found is None else found


def _is_within(parameter: TyperOption | TyperArgument, number: float) -> bool:
    is_large_enough = parameter.min is None or number >= parameter.min
    return is_large_enough and (parameter.max is None or number <= parameter.max)


def plain_value(kind: object, value: object) -> object | None:
    """Return the value as this type; None if that takes more than a look at it."""
    if kind is str:
        return value if isinstance(value, str) else None
    if kind is int or kind is float:
        return _plain_number(kind, value)
    if kind is Path:
        return _plain_path(value)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next((each for each in kind if value is each or value == each.value), None)
    if kind == list[str] and isinstance(value, list | tuple):
        return list(value) or None
    return None


def _plain_number(kind: type[int] | type[float], value: object) -> float | None:
    if type(value) is kind:
        return value
    is_plain = isinstance(value, str) and _NUMBER.fullmatch(value) is not None
    if not is_plain or (kind is int and "." in str(value)):
        return None
    return kind(str(value))


def _plain_path(value: object) -> Path | None:
    """Return a path that this user may read, or where nothing is."""
    if isinstance(value, str) and (os.access(value, os.R_OK) or not Path(value).exists()):
        return Path(value)
    return None
