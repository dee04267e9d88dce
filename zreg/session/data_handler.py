"""A session's side towards data nodes: registrations, followed datums, comparisons, listings."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from zreg.config import Config
from zreg.effects import (
    TIMED_OUT,
    Disconnect,
    Effect,
    Link,
    Local,
    PeerLost,
    PeerSlow,
    PeerUp,
    Send,
)
from zreg.membership.cluster_member import ClusterMember
from zreg.model import Incarnation, Role
from zreg.primitives.reports.hop_rings import HopRings
from zreg.session.membership_fetch import MembershipFetch
from zreg.session.membership_handover import MembershipHandover
from zreg.session.proxy.listings import Listing, Listings
from zreg.session.upstream.data_links import DataLinks
from zreg.session.upstream.followed.followed_datum import FollowedDatum
from zreg.session.upstream.followed.followed_datums import FollowedDatums
from zreg.session.upstream.registered.node_queues import NodeQueues
from zreg.session.upstream.registered.reconciliation import Reconciliation
from zreg.session.upstream.registered.registrations import Registrations
from zreg.session.upstream.registered.replays import Replays
from zreg.wire.messages import Message
from zreg.wire.records.common_messages import Ping, Pong, Refused
from zreg.wire.records.data_messages import (
    Changes,
    DatumsListed,
    DigestCompared,
    NodeHello,
    PublishersCompared,
    RollCall,
    Snapshot,
    Versions,
)

if TYPE_CHECKING:
    from random import Random

# How many registrations or followed datums one turn looks at: the next turn goes on. It takes 5 to
# 20 ms.
_SLICE: Final = 1000
# A data node that has forgotten this session twice in this time is told with the next digest.
_PAUSE_SECONDS: Final = 0.5


class DataHandler:
    """Joins the parts that speak with data nodes, and hands each message to the one it concerns.

    An answer or a refusal goes to the owner of its request (`DataLinks.requests`).
    """

    def __init__(
        self,
        config: Config,
        cluster_member: ClusterMember,
        *,
        node_id: str,
        hops: HopRings,
        rng: "Random",
        now: float,
    ) -> None:
        self._cluster_member = cluster_member
        self.links = DataLinks(config, rng=rng)
        self.queues = NodeQueues(self.links, hops=hops, rng=rng)
        self.replays = Replays(config, self.links, self.queues)
        self.registrations = Registrations(self.links, self.queues)
        self.followed = FollowedDatums(
            config, self.links, self.registrations, hops=hops, rng=rng, now=now
        )
        self.listings = Listings(self.links)
        self._reconciliation = Reconciliation(config, self.links, self.registrations, self.queues)
        self._handover = MembershipHandover()
        self._membership_fetch = MembershipFetch(cluster_member, self.links, now=now)
        # The last incarnation of this session; it stays when meta takes it away.
        self.incarnation: Incarnation | None = None
        # Stands for this session as long as it has had none.
        self._unadmitted = Incarnation(0, node_id)
        # When this session was introduced last to a data node that had forgotten it.
        self._introduced_at: dict[str, float] = {}
        # When the work that was too much for one turn goes on; None if there is none.
        self._go_on_at: float | None = None

    # --- messages -----------------------------------------------------------------------------

    def receive(self, peer: str, message: Message | Local, now: float) -> Sequence[Effect]:
        """Take a message that concerns neither clients nor the membership."""
        match message:
            case Changes() | Snapshot() | DatumsListed():
                return self._on_answer(peer, message, now)
            case Versions():
                return self.followed.on_versions(peer, message, now)
            case DigestCompared():
                return self._reconciliation.on_digest_compared(peer, message, now)
            case PublishersCompared():
                return self._reconciliation.on_publishers_compared(peer, message)
            case Ping():
                return [Send(Link.DATA, peer, Pong())]
            case RollCall():
                self.replays.on_roll_call(peer, message.number, now)
                return ()
            case _:
                return ()

    def _on_answer(
        self, peer: str, answer: Changes | Snapshot | DatumsListed, now: float
    ) -> Sequence[Effect]:
        match self.links.requests.owner(peer, answer.request_id), answer:
            case FollowedDatum() as followed, Changes() as changes:
                return self.followed.on_changes(followed, changes, now)
            case FollowedDatum() as followed, Snapshot() as snapshot:
                effects, lacking = self.followed.on_snapshot(followed, snapshot, now)
                self.registrations.resend(lacking)
                return effects
            case Listing() as listing, DatumsListed() as listed:
                return self.listings.on_datums_listed(peer, listing, listed)
            case _:
                return ()

    def on_read_refused(self, peer: str, refused: Refused, now: float) -> list[Effect] | None:
        """Act on the refusal of a fetch or a listing; None if it refuses neither."""
        match self.links.requests.owner(peer, refused.request_id):
            case FollowedDatum() as followed:
                self.followed.on_refused(followed, now)
                return []
            case Listing() as listing:
                return self.listings.on_refused(peer, listing, refused)
            case _:
                return None

    def hand_over(self, peer: str, refused: Refused) -> list[Effect]:
        """Show the membership to a data node that refused because it is behind."""
        return self._handover.on_refused(peer, refused, self._cluster_member.membership)

    # --- connections, ring, incarnation -------------------------------------------------------

    def on_peer_up(self, event: PeerUp) -> Sequence[Effect]:
        """Identify this session to a data node, and send what waited for the connection."""
        peer = self.links.connections.on_peer_up(event)
        if peer is None:
            return ()
        self._handover.on_node_up(peer)
        self.queues.request_digest(peer)
        return [*self._introduce(peer), *self.followed.on_node_up(peer)]

    def on_peer_lost(self, event: PeerLost, now: float) -> Sequence[Effect]:
        """Ask again what was under way, and report to meta that the data node may be gone."""
        peer = self.links.connections.on_peer_lost(event, now)
        if peer is None:
            return ()
        self.queues.on_node_lost(peer)
        self._introduced_at.pop(peer, None)
        self._reconciliation.on_node_lost(peer)
        self.followed.on_node_lost(peer)
        self.replays.forget(peer)
        return self.links.connections.report(event, self._cluster_member)

    def on_unidentified(self, peer: str, now: float) -> list[Effect]:
        """Say again who this session is, and ask again all that is not answered.

        The data node has forgotten this connection: it dropped answers while this session did not
        read. The next digest comes at its time, so two nodes that disagree do not answer each other
        without a pause. Everything that was on its way is refused: once is enough.
        """
        if now < self._introduced_at.get(peer, -math.inf) + _PAUSE_SECONDS:
            return []
        if not self.links.is_up(peer):
            return []
        self._introduced_at[peer] = now
        self.queues.resend_all(peer)
        return [*self._introduce(peer), *self.followed.ask_again(peer)]

    def on_peer_slow(self, event: PeerSlow, now: float) -> Sequence[Effect]:
        """Connect again to a data node that does not read: requests to it were dropped."""
        lost = PeerLost(event.link, event.peer, TIMED_OUT)
        disconnect = Disconnect(event.link, event.peer)
        return [disconnect, *self.on_peer_lost(lost, now)]

    def on_ring(self, now: float) -> list[Effect]:
        """Begin to move registrations and followed datums to their primaries under the new ring."""
        self._reconciliation.on_ring()
        self.registrations.on_ring()
        self.followed.on_ring(now)
        if len(self.registrations) > _SLICE:
            # The list of all registrations, which the step before made, has taken long enough.
            self._go_on_at = now
            return []
        return self._move_some(now)

    def _move_some(self, now: float) -> list[Effect]:
        """Go on to move what the ring gave to other data nodes, as far as one turn allows."""
        if self.registrations.is_moving:
            self.registrations.move_some(_SLICE)
        effects = self.followed.move_some(_SLICE) if self.followed.is_moving else []
        is_moving = self.registrations.is_moving or self.followed.is_moving
        self._go_on_at = now if is_moving else None
        return effects

    def on_incarnation(self, incarnation: Incarnation) -> list[Effect]:
        """Go on as a new incarnation; or as the last one, if meta had not taken it for dead."""
        if incarnation == self.incarnation:
            self.registrations.on_incarnation_kept()
        else:
            self.incarnation = incarnation
            self.registrations.on_incarnation(incarnation)
        self.replays.on_admitted()
        return self._say_hello()

    def on_incarnation_lost(self, now: float) -> list[Effect]:
        """Go on as no member: clients may wait here all the same."""
        self.registrations.on_incarnation_lost()
        # A data node that hears first that this session is no member might judge too early.
        return [*self.replays.waiting.settle(now), *self._say_hello()]

    def _say_hello(self) -> list[Effect]:
        """Tell all data nodes who this session is now."""
        hello = self._hello
        return [Send(Link.DATA, p, hello) for p in self.links.peers() if self.links.is_up(p)]

    def _introduce(self, peer: str) -> list[Effect]:
        """Tell a data node that knows nothing of this session who it is, and who waits here."""
        return [Send(Link.DATA, peer, self._hello), *self.replays.waiting.tell(peer)]

    @property
    def _hello(self) -> NodeHello:
        incarnation = self.incarnation or self._unadmitted
        return NodeHello(incarnation, Role.SESSION, self.registrations.is_member)

    # --- the end of a turn, and time ----------------------------------------------------------

    def settle(self, now: float) -> list[Effect]:
        """Send the registrations of this turn, and ask about what clients claim."""
        # No client waits at a member.
        effects = [] if self.queues.is_member else self.replays.waiting.settle(now)
        effects += self.queues.settle(self.registrations.session, now)
        return effects + self.followed.settle()

    def tick(self, now: float) -> list[Effect]:
        """Send and ask again what has waited for its pause; compare what is due to be compared."""
        # Digests are marked as due before the queues send: a digest follows what it counts.
        effects = self._reconciliation.tick(now)
        effects += self.queues.tick(self.registrations.session, now)
        # Behind the writes that the queues have sent, and who waits.
        effects += self.replays.waiting.settle(now)
        effects += self.replays.tick(now)
        if self._go_on_at is not None:
            effects += self._move_some(now)
        owners = [owner for _, _, owner in self.links.requests.take_expired(now)]
        effects += self.followed.tick(now)
        # A listing expires once, however many data nodes have not answered.
        listings = dict.fromkeys(owner for owner in owners if isinstance(owner, Listing))
        if listings:
            outage = self._cluster_member.outage_sentence
            effects += self.listings.on_expired(listings, outage_sentence=outage)
        return effects + self._membership_fetch.tick(now)

    def next_tick_at(self) -> float:
        """Return when something is due."""
        due = min(
            self.queues.next_tick_at(),
            self.followed.next_tick_at(),
            self._reconciliation.next_tick_at(),
        )
        for at in (
            self.links.connections.next_tick_at(),
            self.links.requests.next_deadline_at(),
            self._membership_fetch.next_tick_at(),
            self._go_on_at,
            self.replays.next_tick_at(),
            None if self.queues.is_member else self.replays.waiting.next_tick_at(),
        ):
            if at is not None and at < due:
                due = at
        return due

    # --- for people ---------------------------------------------------------------------------

    def statistics(self) -> dict[str, int | float | str]:
        """Return counters and sizes."""
        return {
            "publishers": len(self.registrations),
            "pending": self.queues.pending_count,
            "interests": len(self.followed),
            "fetches": self.followed.fetch_count,
            "gaps": self.followed.gap_count,
            "compares": self.followed.compare_count,
        }
