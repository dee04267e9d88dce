"""A data node with other data nodes: it replicates its buckets and keeps copies of theirs."""

from msgspec.structs import replace
from strategies import make_publisher
from test_data_core import (
    BOTH,
    D1,
    EPOCH,
    META,
    MOVED,
    NAME,
    NOT_PRIMARY,
    ONE,
    P1,
    S1,
    TWO_NODES,
    ask,
    follow,
    held,
    hint,
    make_core,
    membership,
    publish,
    to,
    v,
)

from zreg.data.core import DataCore
from zreg.effects import CLOSED, Connect, Disconnect, Effect, Link, PeerLost, PeerSlow, PeerUp, Send
from zreg.errors import NotPrimaryError, UnknownNodeError
from zreg.model import ZERO, Change, Incarnation, Membership, Role
from zreg.primitives.ring import ring_of
from zreg.wire.messages import Message
from zreg.wire.records.common_messages import Accepted, Refused
from zreg.wire.records.data_messages import NodeHello
from zreg.wire.records.membership_messages import FetchMembership, MembershipReply, ReportGone
from zreg.wire.records.replication_messages import (
    BucketDigests,
    BucketsCompared,
    Replicate,
    Replicated,
)

D2 = TWO_NODES[1]
PEER, OF_D2 = "d2@6", b"peer of d2"
RING_EPOCH = 8


def two_copies(data: tuple[Incarnation, ...] = TWO_NODES, epoch: int = RING_EPOCH) -> Membership:
    found = membership(*BOTH, epoch=epoch, ring_epoch=epoch, data=data)
    return replace(found, ring=replace(found.ring, replica_count=2))


def from_replica(core: DataCore, message: Message, now: float = 0.0) -> list[Effect]:
    return list(core.receive(Link.DATA, PEER, message, now))


def local(core: DataCore, event: PeerUp | PeerLost | PeerSlow, now: float = 0.0) -> list[Effect]:
    return list(core.receive(Link.LOCAL, "", event, now))


def make_paired() -> DataCore:
    """Return `d1`, whose replica `d2` is in sync, and which knows its primary `d2`."""
    core = make_core()
    assert Connect(Link.DATA, PEER, "tcp://d1:1") in follow(core, two_copies())
    assert local(core, PeerUp(Link.DATA, PEER)) == [Send(Link.DATA, PEER, NodeHello(D1, Role.DATA))]
    (sent,) = core.settle(0.0)
    assert isinstance(sent, Send)
    assert isinstance(sent.message, BucketDigests)
    buckets = tuple(bucket for bucket, _, _ in sent.message.digests)
    assert from_replica(core, BucketsCompared(RING_EPOCH, buckets, ())) == []
    assert ask(core, NodeHello(D2, Role.DATA), peer=OF_D2) == []
    return core


def test_a_publish_is_hinted_at_once_and_accepted_when_the_replica_holds_it() -> None:
    core = make_paired()
    one = publish(core)
    change = Change(ZERO, v(1, RING_EPOCH), (one,), ())

    assert core.settle(0.0) == [
        hint(NAME, ZERO, v(1, RING_EPOCH), 1, one),
        Send(Link.DATA, PEER, Replicate(RING_EPOCH, 1, ((NAME, change),))),
    ]
    assert core.next_tick_at() == 0.25, "the replica is late then"
    assert from_replica(core, Replicated(1)) == []

    assert core.settle(0.0) == [to(ONE, Accepted((1,), 2))]


def test_a_write_that_waits_when_the_ring_gives_its_bucket_away_is_refused() -> None:
    core = make_paired()
    publish(core)
    core.settle(0.0)

    others = (two_copies((*TWO_NODES, Incarnation(9, f"n{i}")), epoch=9) for i in range(100))
    moved = next(each for each in others if ring_of(each).primary(NAME) != "d1")

    assert to(ONE, Refused(1, NotPrimaryError.code, NOT_PRIMARY, 9)) in follow(core, moved)

    assert from_replica(core, Replicated(1)) == []
    assert not any(isinstance(e, Send) and e.peer == ONE for e in core.settle(0.0))


def test_a_node_takes_over_a_bucket_with_the_copy_that_it_kept() -> None:
    core = make_paired()
    one = make_publisher(P1, session=S1)
    change = Change(ZERO, v(1, EPOCH), (one,), ())
    replicate = Replicate(RING_EPOCH, 3, ((MOVED, change),))

    assert ask(core, replicate, peer=OF_D2) == []
    assert core.settle(0.0) == [to(OF_D2, Replicated(3))]
    assert ring_of(two_copies()).primary(MOVED) == "d2"
    follow(core, two_copies((D1,), epoch=9))

    assert held(core, MOVED) == {P1: one}
    datum = core._store.find(MOVED)
    assert datum is not None
    assert datum.version == v(1, EPOCH), "followers of the former primary have it already"
    assert datum.is_indexed


def test_a_primary_that_is_gone_is_reported_and_a_known_one_gets_the_membership() -> None:
    core = make_paired()
    assert ask(core, FetchMembership(4), peer=OF_D2) == [
        to(OF_D2, MembershipReply(4, two_copies()))
    ]

    lost = PeerLost(Link.REQUESTS, OF_D2, CLOSED)
    assert local(core, lost) == [Send(Link.META, META, ReportGone(D1, D2, b"A" * 16))]

    unknown = Replicate(RING_EPOCH, 3, ())
    refused = Refused(0, UnknownNodeError.code, "say NodeHello first", RING_EPOCH)
    assert ask(core, unknown, peer=OF_D2) == [to(OF_D2, refused)]


def test_a_peer_that_claims_to_be_two_nodes_is_forgotten_as_both() -> None:
    core = make_paired()
    peer = b"peer of two"
    ask(core, NodeHello(Incarnation(9, "s9")), peer=peer)
    ask(core, NodeHello(TWO_NODES[1], Role.DATA), peer=peer)

    core.receive(Link.LOCAL, "", PeerLost(Link.REQUESTS, peer, CLOSED), 0.0)

    assert core._replicas.copies.of_peer(peer) is None
    assert core._contacts.of_peer(peer) is None


def test_a_primary_that_does_not_read_has_to_say_again_who_it_is() -> None:
    core = make_paired()

    slow = PeerSlow(Link.REQUESTS, OF_D2)
    assert local(core, slow) == [Disconnect(Link.REQUESTS, OF_D2)]

    refused = Refused(0, UnknownNodeError.code, "say NodeHello first", RING_EPOCH)
    assert ask(core, BucketDigests(RING_EPOCH, ()), peer=OF_D2) == [to(OF_D2, refused)]
