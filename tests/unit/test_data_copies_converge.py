"""A primary and its replica over a link that loses whole turns end with equal content.

The link keeps its order and loses what one turn sends, as a connection that is made again does.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from replica_fakes import (
    CONFIG,
    D1,
    D2,
    EPOCH,
    NAME,
    P1,
    P2,
    P3,
    PRIMARY,
    A,
    FakeMember,
    NoJitter,
    Replica,
    make_membership,
    names_in_bucket,
    placed,
    published,
    unpublished,
)

from zreg.data.copies.replica_handler import ReplicaHandler
from zreg.data.refusals import Refusals
from zreg.effects import Effect, Link, PeerUp, Send
from zreg.model import DataInfoId, Publisher, Removal
from zreg.primitives.reports.hop_rings import HopRings
from zreg.wire.codec import decode_frame, encode_frames
from zreg.wire.messages import Message
from zreg.wire.records.replication_messages import BucketDigests

NAMES = names_in_bucket(NAME, 3)
MEMBERSHIP = make_membership(D1, D2)


class Pair:
    """The primary `d1` and the replica `d2`, turn by turn; `now` is their clock."""

    def __init__(self) -> None:
        placement, self.store = placed(D1, MEMBERSHIP)
        refusals = Refusals()
        refusals.epoch = EPOCH
        self.handler = ReplicaHandler(
            CONFIG,
            self.store,
            placement,
            FakeMember().as_member,
            refusals,
            hops=HopRings(),
            rng=NoJitter(),
        )
        self.handler.follow(MEMBERSHIP, 0.0, has_new_ring=True)
        self.handler.receive_event(PeerUp(Link.DATA, A), 0.0)
        self.replica = Replica(MEMBERSHIP)
        self.replica.copies.on_node_hello(PRIMARY, D1)
        self.now = 0.0

    def end_turn(self, received: list[Effect] | None = None) -> list[Message]:
        """End a turn of the primary; return what it sends the replica."""
        hints = self.handler.hints.commit(self.store.dirty(), EPOCH, self.now)
        effects = [*(received or []), *hints, *self.handler.settle(self.now)]
        return _carried(effects, Link.DATA)

    def deliver(self, messages: list[Message]) -> None:
        """Exchange messages until neither side has any more to send."""
        for _ in range(1000):
            if not messages:
                return
            answers: list[Effect] = []
            for message in messages:
                answers += self._replica_takes(message)
            received: list[Effect] = []
            for message in _carried([*answers, *self.replica.copies.settle()], Link.REQUESTS):
                received += self.handler.receive_from_replica(A, message, self.now)
            messages = self.end_turn(received)
        raise AssertionError("the two do not come to rest")

    def _replica_takes(self, message: Message) -> list[Effect]:
        copies, repairs = self.replica.copies, self.replica.repairs
        match type(message).__name__:
            case "NodeHello":
                copies.on_node_hello(PRIMARY, D1)
                return []
            case "Replicate":
                return copies.on_replicate(PRIMARY, message, self.now)  # type: ignore[arg-type]
            case "BucketDigests":
                return copies.on_bucket_digests(PRIMARY, message, self.now)  # type: ignore[arg-type]
            case "DatumDigests":
                return repairs.on_datum_digests(PRIMARY, message, self.now)  # type: ignore[arg-type]
            case _:
                return repairs.on_datum_copy(PRIMARY, message, self.now)  # type: ignore[arg-type]

    def compare(self) -> None:
        """Let the primary send all digests, and repair what differs."""
        self.now += CONFIG.digest_seconds
        self.handler.tick(self.now)
        self.replica.repairs.tick(self.now)
        self.deliver(self.end_turn())


def _carried(effects: list[Effect], link: Link) -> list[Message]:
    """Return the records that effects send on a link, as their receiver decodes them."""
    sent = [e.message for e in effects if isinstance(e, Send) and e.link is link]
    records: list[Message] = []
    for frame in encode_frames(sent) if sent else []:
        for record in decode_frame(frame):
            assert isinstance(record, Message)
            records.append(record)
    return records


def content(store: object) -> dict[DataInfoId, dict[bytes, Publisher]]:
    """Return the publishers of all datums that have any."""
    datums = store.buckets.all()  # type: ignore[attr-defined]
    return {datum.name: dict(datum.publishers) for datum in datums if datum.publishers}


def _write(
    index: int, number: int, version: int, *, is_removal: bool
) -> tuple[DataInfoId, Publisher | Removal]:
    """Return a write; a publisher id belongs to one datum."""
    key = bytes([16 * index + number]) * 16
    item = unpublished(key, version) if is_removal else published(key, version)
    return NAMES[index], item


writes = st.lists(
    st.builds(
        _write,
        st.sampled_from(range(3)),
        st.sampled_from(range(1, 4)),
        st.integers(1, 4),
        is_removal=st.booleans(),
    ),
    max_size=4,
)
turns = st.lists(st.tuples(writes, st.booleans()), max_size=8)


def write(pair: Pair, some: list[tuple[DataInfoId, Publisher | Removal]]) -> None:
    for name, item in some:
        if isinstance(item, Removal):
            pair.store.remove(name, item, pair.now)
        else:
            pair.store.put(name, item)


@settings(max_examples=200)
@given(turns, writes)
def test_a_replica_that_lost_turns_is_equal_after_a_round_of_digests(
    history: list[tuple[list[tuple[DataInfoId, Publisher | Removal]], bool]],
    extras: list[tuple[DataInfoId, Publisher | Removal]],
) -> None:
    pair = Pair()
    for name, item in extras:
        datum = pair.replica.store.find(name) or pair.replica.store.buckets.add(name)
        publishers = [item] if isinstance(item, Publisher) else []
        tombstones = [(item, 600.0)] if isinstance(item, Removal) else []
        pair.replica.store.merge_copy(datum, publishers, tombstones, 0.0)
        datum.is_unsure = True
    pair.deliver(pair.end_turn())

    for some, is_lost in history:
        write(pair, some)
        messages = pair.end_turn()
        if not is_lost:
            pair.deliver(messages)
    pair.compare()
    pair.compare()

    assert content(pair.store) == content(pair.replica.store)
    stream = pair.handler.replication.stream(A)
    assert stream is not None
    assert stream.in_sync == stream.buckets
    assert len(pair.replica.repairs) == 0


@settings(max_examples=50)
@given(turns)
def test_without_a_loss_a_copy_follows_each_revision(
    history: list[tuple[list[tuple[DataInfoId, Publisher | Removal]], bool]],
) -> None:
    pair = Pair()
    pair.deliver(pair.end_turn())

    for some, _ in history:
        write(pair, some)
        messages = pair.end_turn()
        assert not any(isinstance(message, BucketDigests) for message in messages)
        pair.deliver(messages)
        assert content(pair.store) == content(pair.replica.store)

    for datum in pair.store.buckets:
        copy = pair.replica.store.find(datum.name)
        assert copy is not None
        assert not copy.is_unsure
        assert (copy.version, copy.revision) == (datum.version, datum.revision)
        assert copy.log.since(datum.revision) == []
    assert pair.handler.statistics()["copies_fetched"] == 0
    assert pair.replica.repairs.copy_count == 0


def test_a_copy_that_was_cut_off_for_too_long_is_replaced() -> None:
    pair = Pair()
    pair.deliver(pair.end_turn())
    write(pair, [(NAMES[0], published(P1)), (NAMES[1], published(P2))])
    pair.deliver(pair.end_turn())
    write(pair, [(NAMES[0], unpublished(P1)), (NAMES[0], published(P3))])
    pair.end_turn()
    pair.now = CONFIG.tombstone_seconds + 1
    pair.store.sweep(pair.now, 100)
    assert content(pair.replica.store)[NAMES[0]] == {P1: published(P1)}

    pair.compare()

    assert content(pair.store) == content(pair.replica.store)
    assert list(content(pair.store)[NAMES[0]]) == [P3], "the removal is not forgotten"


def test_a_large_datum_is_repaired() -> None:
    pair = Pair()
    large = [replace(published(number.to_bytes(16)), body=bytes(60_000)) for number in range(1, 40)]
    write(pair, [(NAMES[0], publisher) for publisher in large])
    pair.end_turn()
    write(pair, [(NAMES[0], unpublished(large[0].publisher_id))])
    pair.end_turn()

    pair.compare()
    pair.compare()

    assert content(pair.store) == content(pair.replica.store)
    assert len(content(pair.store)[NAMES[0]]) == 38
    assert pair.replica.repairs.copy_count == 1
