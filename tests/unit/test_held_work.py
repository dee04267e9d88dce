"""The work of an operation depends on what it changes, not on how much the nodes hold.

Work is counted in steps of the interpreter, never in time, so that a scan cannot come back
unnoticed.
"""

import gc
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from zreg.config import Config
from zreg.effects import Core, Effect, Link, PeerUp, Send
from zreg.model import Incarnation, data_info_id
from zreg.primitives.ring import ring_of
from zreg.testing.held_cores import (
    D1,
    META,
    S1,
    SESSION_PEER,
    HeldCores,
    Turn,
    data_member,
    session_member,
)
from zreg.testing.held_operations import OPERATIONS
from zreg.wire.records.client_messages import Unpublish
from zreg.wire.records.data_messages import CompareDigest, ComparePublishers, PublishDatum
from zreg.wire.records.membership_messages import MembershipReply

FEW, MANY = 100, 10_000
# The publishers of a large session are in another structure, which takes other steps.
STEPS_APART_MAX = 10
# How much one turn does of what has to touch everything.
SLICE = 1000
D2 = Incarnation(2, "d2")


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
    # The collector would run finalizers of other tests' garbage here, and their steps would count.
    gc.disable()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(former)
        gc.enable()
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


# --- slices ---------------------------------------------------------------------------------------


class SlicedCores(HeldCores):
    """Cores whose turns are counted, with the most effects that one of them had."""

    turn_count = effects_max = 0

    def turn(self, core: Core, *inputs: Turn, is_due: bool = False) -> list[Effect]:
        effects = super().turn(core, *inputs, is_due=is_due)
        self.turn_count += 1
        self.effects_max = max(self.effects_max, len(effects))
        return effects

    def start_counting(self) -> None:
        self.turn_count = self.effects_max = 0

    def change_ring(self, core: Core) -> list[Effect]:
        """Let a second data node take half of the ids; return the effects of the first turn."""
        membership = self.next_membership(session_member(S1), data_member(D1), data_member(D2))
        effects = self.turn(core, (Link.META, META, MembershipReply(1, membership)))
        for link in (Link.CHANGES, Link.DATA):
            effects += self.turn(core, (Link.LOCAL, "", PeerUp(link, str(D2))))
        return effects


def test_a_session_moves_what_another_data_node_owns_over_several_turns() -> None:
    cores = SlicedCores(2500)
    cores.start_counting()

    effects = cores.change_ring(cores.session)

    assert digests(effects) == [], "none is sent before all is moved"
    cores.finish_alone(cores.session, effects)
    statistics = cores.session.statistics()
    assert (statistics["pending"], statistics["publishers"]) == (0, 2500)
    assert cores.turn_count > 2500 // SLICE
    assert cores.effects_max < 3 * SLICE
    cores.wait(1.0)
    held = {e.peer: e.message.count for e in digests(cores.turn(cores.session, is_due=True))}
    ring = ring_of(cores.next_membership(data_member(D1), data_member(D2)))
    at_d2 = sum(ring.primary(cores.name(number)) == "d2" for number in range(2500))
    assert held == {str(D1): 2500 - at_d2, str(D2): at_d2}


def digests(effects: list[Effect]) -> list[Any]:
    return [e for e in effects if isinstance(e, Send) and isinstance(e.message, CompareDigest)]


def test_a_registration_that_is_needed_is_moved_at_once() -> None:
    cores = SlicedCores(2500)
    ring = ring_of(cores.next_membership(data_member(D1), data_member(D2)))
    number = next(n for n in range(2499, 0, -1) if ring.primary(cores.name(n)) == "d2")
    cores.change_ring(cores.session)

    request = cores.publish(number, 2)
    peer = (number // 1000 * 1000).to_bytes(8)
    effects = cores.turn(cores.session, (Link.CLIENTS, peer, request))

    sent = [e for e in effects if isinstance(e, Send) and isinstance(e.message, PublishDatum)]
    newest = [e.peer for e in sent if e.message.publisher.version > 1]  # type: ignore[attr-defined]
    assert newest == [str(D2)]


def test_a_data_node_drops_what_another_one_owns_over_several_turns() -> None:
    cores = SlicedCores(2500)
    cores.start_counting()

    effects = cores.change_ring(cores.data)

    digest = CompareDigest(cores.epoch, 0, 0)
    assert cores.turn(cores.data, (Link.REQUESTS, SESSION_PEER, digest)) == []
    compare = ComparePublishers(0, 255, ())
    assert cores.turn(cores.data, (Link.REQUESTS, SESSION_PEER, compare)) == []
    cores.finish_alone(cores.data, effects)
    ring = ring_of(cores.next_membership(data_member(D1), data_member(D2)))
    held = sum(ring.primary(cores.name(number)) == "d1" for number in range(2500))
    assert cores.data.statistics()["publishers"] == held
    assert cores.turn_count > 2500 // SLICE
    (answer,) = cores.turn(cores.data, (Link.REQUESTS, SESSION_PEER, digest))
    assert isinstance(answer, Send)


def test_a_large_session_is_evicted_over_several_turns() -> None:
    cores = SlicedCores(100)
    living = (session_member(S1), data_member(D1))
    gone = Incarnation(cores.epoch + 1, "s2")
    cores.follow(*living, session_member(gone))
    cores.register(gone, (data_info_id(f"other-{number}") for number in range(3 * SLICE)))
    assert cores.data.statistics()["publishers"] == 100 + 3 * SLICE
    cores.start_counting()

    cores.follow(*living)
    cores.wait(1.0)
    cores.finish()

    assert cores.data.statistics()["publishers"] == 100
    assert cores.turn_count > 3
    assert cores.effects_max <= SLICE + 10


def test_what_expires_is_swept_over_several_turns() -> None:
    cores = SlicedCores(100)
    requests = [cores.publish(n, name=data_info_id(f"gone-{n}")) for n in range(100, 100 + 2500)]
    cores.says(*requests)
    cores.says(
        *(Unpublish(r.request_id + 10_000, r.publisher_id, 1, r.data_info_id) for r in requests)
    )
    assert cores.data.statistics()["datums"] == 2600
    cores.wait(Config(meta_addresses=(META,)).tombstone_seconds + 1.0)
    cores.start_counting()

    cores.tick(cores.data)
    assert 100 < int(cores.data.statistics()["datums"]) < 2600
    cores.finish()

    assert cores.data.statistics()["datums"] == 100
    assert cores.turn_count > 2


def test_a_scan_would_be_noticed(few: HeldCores, many: HeldCores) -> None:
    def scan(held: HeldCores) -> list[int]:
        return [number for number in range(held.count) if number]

    assert steps(lambda: scan(few)) < steps(lambda: scan(many))
