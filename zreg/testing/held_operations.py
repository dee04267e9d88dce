"""Operations on cores that hold many publishers: each must cost the same however many there are.

An operation is prepared, which may take long, and then run, which is measured.
"""

from collections.abc import Callable
from typing import Final

from zreg.model import DataInfoId, Incarnation, data_info_id
from zreg.primitives.ring import bucket_of
from zreg.testing.held_cores import BIG, D1, S1, HeldCores, data_member, session_member
from zreg.wire.messages import PROTOCOL_VERSION
from zreg.wire.records.client_messages import Hello, ReplayDone, Unpublish

Operation = Callable[[], None]

_EVICTED: Final = 10


def publish(held: HeldCores) -> Operation:
    """Publish to a new id."""
    request = held.publish(held.next_number(), name=_new_name(held))
    return lambda: held.says(request)


def republish(held: HeldCores) -> Operation:
    """Publish a new value of a publisher; its subscriber gets it and acknowledges it."""
    version = held.next_number()
    request = held.publish(1, version, body=str(version).encode())
    return lambda: held.says(request, peer=(0).to_bytes(8))


def unpublish(held: HeldCores) -> Operation:
    """Withdraw a publisher."""
    name = _new_name(held)
    published = held.publish(held.next_number(), name=name)
    held.says(published)
    request = Unpublish(held.next_number(), published.publisher_id, 1, name)
    return lambda: held.says(request)


def beat(held: HeldCores) -> Operation:
    """Let the data node beat, and the session look at the beat."""
    held.wait(1.0)
    return lambda: held.tick(held.data)


def push_ack(held: HeldCores) -> Operation:
    """Acknowledge a push."""
    held.holds_acks = True
    republish(held)()
    held.holds_acks = False
    acks, held.acks = held.acks, []
    return lambda: held.exchange(held.session, *acks)


def returning_subscriber(held: HeldCores) -> Operation:
    """Let a client come back with the view of a large datum that it had."""
    hello = Hello(PROTOCOL_VERSION, b"c" * 16)
    subscribe = held.subscribe(BIG, has_view=True)
    return lambda: held.says(hello, subscribe, ReplayDone())


def compare(held: HeldCores) -> Operation:
    """Let the session compare its digest with the data node, which agrees."""
    held.wait(1.0)
    return lambda: held.tick(held.session)


def evict(held: HeldCores) -> Operation:
    """Let meta forget a session, the other one compare, and the data node evict 10 publishers."""
    gone = Incarnation(held.epoch + 1, "s2")
    living = (session_member(S1), data_member(D1))
    held.follow(*living, session_member(gone))
    held.register(gone, [_new_name(held) for _ in range(_EVICTED)])
    held.wait(1.0)

    def run() -> None:
        held.follow(*living)
        held.tick(held.session)

    return run


def tick_at_rest(held: HeldCores) -> Operation:
    """Let both cores do what is due, when nothing is."""
    held.finish()

    def run() -> None:
        held.tick(held.data)
        held.tick(held.session)

    return run


def next_tick_at(held: HeldCores) -> Operation:
    """Ask both cores when they are due."""

    def run() -> None:
        held.data.next_tick_at()
        held.session.next_tick_at()

    return run


def _new_name(held: HeldCores) -> DataInfoId:
    """Return an id that was not used before, of a bucket to which the session listens."""
    while bucket_of(name := data_info_id(f"new-{held.next_number()}")) != bucket_of(BIG):
        pass
    return name


OPERATIONS: Final[dict[str, Callable[[HeldCores], Operation]]] = {
    "publish": publish,
    "republish": republish,
    "unpublish": unpublish,
    "beat": beat,
    "push_ack": push_ack,
    "returning_subscriber": returning_subscriber,
    "compare": compare,
    "evict_10": evict,
    "tick_at_rest": tick_at_rest,
    "next_tick_at": next_tick_at,
}
