"""The work of an operation depends on what it changes, not on how much the nodes hold.

Work is counted in steps of the interpreter, never in time, so that a scan cannot come back
unnoticed.
"""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from zreg.testing.held_cores import HeldCores
from zreg.testing.held_operations import OPERATIONS

FEW, MANY = 100, 10_000
# The publishers of a large session are in another structure, which takes other steps.
STEPS_APART_MAX = 10


def steps(action: Callable[[], object]) -> int:
    """Return how many instructions of Python run; loops in C are not counted."""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        count += event == "opcode"
        frame.f_trace_lines = False
        frame.f_trace_opcodes = True
        return trace

    former = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(former)
    return count


@pytest.fixture(scope="module")
def few() -> HeldCores:
    return HeldCores(FEW)


@pytest.fixture(scope="module")
def many() -> HeldCores:
    return HeldCores(MANY)


def work(held: HeldCores, name: str) -> tuple[int, int, int]:
    """Return the steps, effects and messages of an operation that was done once before."""
    OPERATIONS[name](held)()
    run = OPERATIONS[name](held)
    effects, messages = held.effect_count, held.message_count
    return steps(run), held.effect_count - effects, held.message_count - messages


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_takes_as_many_steps_whatever_is_held(
    name: str, few: HeldCores, many: HeldCores
) -> None:
    few_steps, *few_counts = work(few, name)
    many_steps, *many_counts = work(many, name)

    assert few_counts == many_counts
    assert many_steps == pytest.approx(few_steps, abs=STEPS_APART_MAX)


def test_a_scan_would_be_noticed(few: HeldCores, many: HeldCores) -> None:
    def scan(held: HeldCores) -> list[int]:
        return [number for number in range(held.count) if number]

    assert steps(lambda: scan(few)) < steps(lambda: scan(many))
