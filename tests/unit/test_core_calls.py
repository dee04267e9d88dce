"""An exception out of a core costs one call, or the node if other nodes rely on its state."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NoReturn, cast

import pytest

from zreg.effects import Core, Effect, Flush, Link, Local, Peer
from zreg.reactor.core_calls import CoreCalls
from zreg.storage.failures import CoreFailedError, NodeEndError
from zreg.wire.messages import Message

if TYPE_CHECKING:
    from zreg.reactor.outgoing.effect_runner import EffectRunner


class FakeRunner:
    def __init__(self) -> None:
        self.effects: list[Effect] = []

    def carry_out(self, effects: Iterable[Effect]) -> None:
        self.effects.extend(effects)


class FakeCore:
    def __init__(self) -> None:
        self.received: list[tuple[Link, Peer, Message | Local, float]] = []

    def receive(
        self, link: Link, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        self.received.append((link, peer, message, now))
        return [Flush()]

    def next_tick_at(self) -> float | None:
        raise ZeroDivisionError("a bug")


class Caller:
    """The calls to one core, and what came of them."""

    def __init__(self, *, has_disk: bool = False) -> None:
        self.core, self.runner = FakeCore(), FakeRunner()
        self.counts: Counter[str] = Counter()
        self.calls = CoreCalls(
            cast("Core", self.core),
            cast("EffectRunner", self.runner),
            self.counts,
            has_disk=has_disk,
        )


def fail(now: float) -> NoReturn:
    raise ZeroDivisionError("a bug")


def end_node(now: float) -> NoReturn:
    raise NodeEndError("the disk is full")


def test_the_effects_of_a_call_are_carried_out() -> None:
    caller = Caller()

    caller.calls.call(lambda _now: [Flush()], 1.0)
    caller.calls.tell(Local(), 2.0)

    assert caller.runner.effects == [Flush(), Flush()]
    assert caller.core.received == [(Link.LOCAL, "", Local(), 2.0)]


def test_an_exception_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    caller = Caller()

    caller.calls.call(fail, 1.0)

    assert caller.counts == {"core_errors": 1}
    assert "reactor.core.failed" in caplog.text
    assert "ZeroDivisionError: a bug" in caplog.text


def test_a_core_that_cannot_say_when_it_is_due_is_asked_again_in_a_second() -> None:
    caller = Caller()

    assert caller.calls.next_tick_at(5.0) == 6.0
    assert caller.counts == {"core_errors": 1}


def test_an_exception_of_a_core_with_a_disk_ends_the_node() -> None:
    caller = Caller(has_disk=True)

    with pytest.raises(CoreFailedError, match="start it again"):
        caller.calls.call(fail, 1.0)
    assert caller.counts == {"core_errors": 1}


def test_an_error_that_ends_the_node_passes_through() -> None:
    caller = Caller()

    with pytest.raises(NodeEndError, match="the disk is full"):
        caller.calls.call(end_node, 1.0)
    assert caller.counts == {}
