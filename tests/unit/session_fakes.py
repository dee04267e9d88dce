"""What surrounds a session in unit tests: members, publishers, and a core with a clock."""

from collections.abc import Iterable, Sequence
from random import Random

from zreg.config import Config
from zreg.effects import Effect, Link, Local, Peer, PeerLost, PeerUp, Send
from zreg.model import (
    NO_INCARNATION,
    Cause,
    DataInfoId,
    Incarnation,
    Member,
    Membership,
    Publisher,
    Removal,
    RingParameters,
    Role,
    Status,
    Version,
    data_info_id,
)
from zreg.primitives.digest import DigestSum
from zreg.primitives.reports.hop_rings import HopRings
from zreg.primitives.ring import bucket_of
from zreg.session.core import SessionCore
from zreg.session.upstream.data_links import DataLinks
from zreg.session.upstream.registered.node_queues import NodeQueues
from zreg.session.upstream.registered.reconciliation import Reconciliation
from zreg.session.upstream.registered.registration import Registration
from zreg.session.upstream.registered.registrations import Registrations
from zreg.wire.messages import PROTOCOL_VERSION, Message
from zreg.wire.records.client_messages import Hello, Push
from zreg.wire.records.common_messages import Accepted
from zreg.wire.records.data_messages import CompareDigest, Snapshot
from zreg.wire.records.membership_messages import (
    MembershipReply,
    Renew,
    Renewed,
    SessionLoads,
)

CONFIG = Config(meta_addresses=("tcp://meta:9610",), zone="z1", data_center="dc1")
META = "tcp://meta:9610"
CLUSTER_ID = b"cluster"
# The session, and the same session after meta has removed and admitted it again.
S1, S1_AGAIN = Incarnation(3, "s1"), Incarnation(8, "s1")
D1, D2 = "d1@1", "d2@2"
PAY, SHOP = data_info_id("pay"), data_info_id("shop")
V1, V2, V3, V4 = (Version(3, counter) for counter in range(1, 5))
# Connections of clients, and the ids that they say there.
ALICE, BOB, CAROL = b"peer-1", b"peer-2", b"peer-3"
ALICE_ID, BOB_ID, CAROL_ID = b"a" * 16, b"b" * 16, b"c" * 16
CLIENT_IDS = {ALICE: ALICE_ID, BOB: BOB_ID, CAROL: CAROL_ID}


def make_member(node_id: str, epoch: int, role: Role = Role.DATA) -> Member:
    """Return a working member."""
    address = f"tcp://{node_id}:1"
    changes_address = f"tcp://{node_id}:2" if role is Role.DATA else ""
    return Member(node_id, role, epoch, Status.WORKING, address, changes_address)


def make_membership(
    *data: str,
    epoch: int = 3,
    ring_epoch: int | None = None,
    session: Incarnation = S1,
    copies: int = 1,
) -> Membership:
    """Return a membership with these data nodes (`d1@1`); by default its ring is new."""
    members = [make_member(session.node_id, session.epoch, Role.SESSION)]
    for peer in data:
        node_id, joined_at = peer.split("@")
        members.append(make_member(node_id, int(joined_at)))
    ring_epoch = epoch if ring_epoch is None else ring_epoch
    ring = RingParameters(replica_count=copies)
    return Membership(CLUSTER_ID, epoch, ring_epoch, ring, tuple(members))


def bring_up(links: DataLinks, *peers: str) -> None:
    """Let connections to data nodes stand."""
    for peer in peers:
        assert links.connections.on_peer_up(PeerUp(Link.CHANGES, peer)) is None
        assert links.connections.on_peer_up(PeerUp(Link.DATA, peer)) == peer


def make_links(*data: str, is_up: bool = True) -> DataLinks:
    """Return connections to these data nodes."""
    links = DataLinks(CONFIG, rng=Random(1))
    links.follow(make_membership(*data))
    if is_up:
        bring_up(links, *data)
    return links


def names_at(links: DataLinks, peer: str, count: int = 1) -> list[DataInfoId]:
    """Return ids that a data node owns."""
    names: list[DataInfoId] = []
    number = 0
    while len(names) < count:
        name = data_info_id(f"name-{number}")
        number += 1
        if links.primary(name) == peer:
            names.append(name)
    return names


def sharing_bucket(name: DataInfoId) -> DataInfoId:
    """Return another id of the same bucket."""
    number = 0
    while bucket_of(other := data_info_id(f"other-{number}")) != bucket_of(name):
        number += 1
    return other


def make_publisher(number: int = 1, version: int = 1, **fields: object) -> Publisher:
    """Return what the session's client ALICE publishes, with her labels."""
    values: dict[str, object] = {
        "publisher_id": number.to_bytes(2) * 8,
        "version": version,
        "client_id": ALICE_ID,
        "session": S1,
        "zone": "z1",
        "data_center": "dc1",
        "app": "app",
        "body": b"body",
        **fields,
    }
    return Publisher(**values)  # type: ignore[arg-type]


ONE, TWO = make_publisher(1), make_publisher(2)
REQUEST_RETRY = CONFIG.request_retry_seconds


def removal_of(publisher: Publisher, cause: Cause = Cause.UNPUBLISHED) -> Removal:
    """Return the removal of what a publisher has."""
    return Removal(publisher.publisher_id, publisher.version, cause, publisher.session)


def digest_of(*publishers: Publisher, ring_epoch: int = 3) -> CompareDigest:
    """Return the digest that a session sends for these."""
    digest = DigestSum()
    for publisher in publishers:
        digest.add(publisher.publisher_id, publisher.version)
    return CompareDigest(ring_epoch, digest.count, digest.value)


def to_data(peer: str, *messages: Message) -> list[Effect]:
    """Return the effects that send these to a data node."""
    return [Send(Link.DATA, peer, message) for message in messages]


def to_client(peer: Peer, *messages: Message) -> list[Effect]:
    """Return the effects that send these to a client."""
    return [Send(Link.CLIENTS, peer, message) for message in messages]


def at_clients(effects: Sequence[Effect]) -> list[Effect]:
    """Return the effects that concern clients."""
    return [effect for effect in effects if getattr(effect, "link", None) is Link.CLIENTS]


class Session:
    """A session core with a clock. In a turn it gets messages, and then settles."""

    def __init__(self, *data: str, config: Config = CONFIG) -> None:
        self.now = 100.0
        # What meta tells with each renewal.
        self.loads: SessionLoads | None = None
        member = make_member("s1", 0, Role.SESSION)
        self.core = SessionCore(member, config, rng=Random(1), now=self.now)
        self.core.start(self.now)
        self.core.tick(self.now)
        self.local(PeerUp(Link.META, META))
        if data:
            self.join(make_membership(*data))
            for peer in data:
                self.come_up(peer)

    def turn(self, link: Link, peer: Peer, *messages: Message | Local) -> list[Effect]:
        """Let messages come in one turn; return all effects."""
        effects: list[Effect] = []
        for message in messages:
            effects += self.core.receive(link, peer, message, self.now)
        return effects + list(self.core.settle(self.now))

    def says(self, peer: Peer, *messages: Message) -> list[Effect]:
        """Let a client say something."""
        return self.turn(Link.CLIENTS, peer, *messages)

    def hears(self, peer: str, *messages: Message) -> list[Effect]:
        """Let a data node answer."""
        return self.turn(Link.DATA, peer, *messages)

    def local(self, *events: Local) -> list[Effect]:
        """Let something happen in this process."""
        return self.turn(Link.LOCAL, "", *events)

    def join(self, membership: Membership, incarnation: Incarnation = S1) -> list[Effect]:
        """Let meta admit the session to the cluster."""
        return self.turn(Link.META, META, MembershipReply(1, membership, incarnation))

    def follow(self, membership: Membership) -> list[Effect]:
        """Let meta send a newer membership."""
        return self.turn(Link.META, META, MembershipReply(1, membership))

    def be_admitted(self, meta: str = META) -> list[Effect]:
        """Let the connection to the leader stand, and the leader answer."""
        self.local(PeerUp(Link.META, meta))
        return self.turn(Link.META, meta, Renewed(0, self.core.epoch))

    def come_up(self, peer: str) -> list[Effect]:
        """Let the connections to a data node stand."""
        return self.local(PeerUp(Link.CHANGES, peer), PeerUp(Link.DATA, peer))

    def go_down(self, peer: str) -> list[Effect]:
        """Break the requests' connection to a data node."""
        return self.local(PeerLost(Link.DATA, peer))

    def greet(self, peer: Peer, *messages: Message, client_id: bytes = b"") -> list[Effect]:
        """Let a client say Hello, and more."""
        hello = Hello(PROTOCOL_VERSION, client_id or CLIENT_IDS[peer], "app")
        return self.says(peer, hello, *messages)

    def accept_all(self, peer: str, effects: Sequence[Effect]) -> list[Effect]:
        """Let a data node accept every request among these effects."""
        requests = [e.message for e in effects if isinstance(e, Send) and e.link is Link.DATA]
        ids = tuple(getattr(message, "request_id", 0) for message in requests)
        return self.hears(peer, Accepted(tuple(filter(None, ids))))

    def answer_fetch(
        self, peer: str, effects: Sequence[Effect], version: Version, *publishers: Publisher
    ) -> list[Effect]:
        """Let a data node answer the last fetch among these effects with a whole datum."""
        fetch = [
            e.message for e in effects if isinstance(e, Send) and hasattr(e.message, "seen_version")
        ][-1]
        request_id, name = fetch.request_id, fetch.data_info_id  # type: ignore[attr-defined]
        return self.hears(peer, Snapshot(request_id, name, version, publishers, 0, 1))

    def wait(self, seconds: float) -> list[Effect]:
        """Let time pass, while meta renews the lease; return the other effects."""
        end = self.now + seconds
        effects: list[Effect] = []
        while self.now < end:
            due = self.core.next_tick_at() or end
            self.now = min(max(due, self.now + 0.001), end)
            for effect in [*self.core.tick(self.now), *self.core.settle(self.now)]:
                if isinstance(effect, Send) and isinstance(effect.message, Renew):
                    renewed = Renewed(effect.message.request_id, self.core.epoch, self.loads)
                    self.turn(Link.META, META, renewed)
                else:
                    effects.append(effect)
        return effects

    def settle(self) -> list[Effect]:
        """End a turn without messages."""
        return list(self.core.settle(self.now))


def pushes(effects: Sequence[Effect]) -> list[Push]:
    """Return the pushes among effects."""
    return [e.message for e in effects if isinstance(e, Send) and isinstance(e.message, Push)]


class RegistrationsBench:
    """Registrations with their queues and connections."""

    def __init__(self, *data: str, is_up: bool = True, session: Incarnation = S1) -> None:
        self.links = make_links(*data, is_up=is_up)
        self.queues = NodeQueues(self.links, hops=HopRings(), rng=Random(1))
        self.registrations = Registrations(self.links, self.queues)
        self.on_ring()
        self.reconciliation = Reconciliation(CONFIG, self.links, self.registrations, self.queues)
        if session != NO_INCARNATION:
            self.registrations.on_incarnation(session)

    def settle(self, now: float) -> list[Effect]:
        """End a turn, as the core does."""
        return self.queues.settle(self.registrations.session, now)

    def tick(self, now: float) -> list[Effect]:
        """Let time pass, as the core does."""
        effects = self.reconciliation.tick(now)
        return effects + self.queues.tick(self.registrations.session, now)

    def next_tick_at(self) -> float:
        return min(self.queues.next_tick_at(), self.reconciliation.next_tick_at())

    def publish(self, *publishers: Publisher) -> None:
        for publisher in publishers:
            self.registrations.publish(PAY, publisher, 7)

    def started(self, *publishers: Publisher) -> list[Effect]:
        """Publish, and send it with the first digest."""
        self.publish(*publishers)
        return self.settle(0.0)

    def registration(self, publisher: Publisher) -> Registration:
        registration = self.registrations.find(publisher.publisher_id)
        assert registration is not None
        return registration

    def accept_all(self, peer: str = D1, copies: int = 1) -> None:
        self.registrations.on_accepted(peer, accepted(range(1, 10_000), copies))

    def lose(self, peer: str = D1) -> None:
        self.links.connections.on_peer_lost(PeerLost(Link.DATA, peer), 0.0)
        self.queues.on_node_lost(peer)

    def come_up(self, peer: str = D1) -> None:
        bring_up(self.links, peer)
        self.queues.request_digest(peer)

    def follow(self, *data: str, epoch: int = 4, copies: int = 1) -> None:
        self.links.follow(make_membership(*data, epoch=epoch, copies=copies))
        self.on_ring()

    def on_ring(self) -> None:
        """Move everything at once."""
        self.registrations.on_ring()
        self.registrations.move_some(1000)


def accepted(request_ids: Iterable[int], copies: int = 1) -> Accepted:
    """Return the acceptance of these requests."""
    return Accepted(tuple(request_ids), copies)
