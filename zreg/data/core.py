"""A data node's decisions: who may write what, what followers are told, what is compared.

Sessions write to the primary of an id and follow it. The node owns what the ring of its own
membership says and drops what it does not own. Everything that one turn merges into a datum
becomes one change, with one hint.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from zreg.config import Config
from zreg.data import follower_answers
from zreg.data.health import health_of
from zreg.data.hints import Hints
from zreg.data.ownership import Ownership
from zreg.data.store import Datum, DatumStore
from zreg.effects import (
    ENDED,
    Disconnect,
    Effect,
    EpochSeen,
    Link,
    Local,
    Peer,
    PeerLost,
    PeerSlow,
    Send,
    Stop,
)
from zreg.errors import (
    NotPrimaryError,
    NotReadyError,
    RefusedError,
    SessionGoneError,
    UnknownMessageError,
)
from zreg.health import Health
from zreg.membership.cluster_member import ClusterMember, Learned
from zreg.model import Incarnation, Member, Membership, Role, Status
from zreg.primitives.ring import bucket_of
from zreg.wire.common_messages import Ping, Pong, Refused
from zreg.wire.data_messages import (
    CompareDigest,
    ComparePublishers,
    CompareVersions,
    DigestCompared,
    FetchChanges,
    ListDatums,
    NodeHello,
    PublishDatum,
    Snapshot,
    UnpublishDatum,
)
from zreg.wire.membership_messages import MembershipReply
from zreg.wire.messages import Message

if TYPE_CHECKING:
    from random import Random

_SWEEP_SECONDS: Final = 10.0
# What it does not hold means nothing: it may hold nothing of what is published.
_NOBODY_DETAIL: Final = "meta has not let this data node in yet: it cannot say what there is"
_VOUCHING: Final = (Status.INITIAL, Status.WORKING, Status.LEAVING, Status.DEPARTED)


class DataCore:
    """One data node."""

    def __init__(
        self,
        member: Member,
        config: Config,
        *,
        rng: "Random",
        now: float,
        cached: Membership | None = None,
    ) -> None:
        assert member.role is Role.DATA
        self._config = config
        self._cluster_member = ClusterMember(member, config, rng=rng, now=now, cached=cached)
        self._store = DatumStore(config)
        self._hints = Hints(self._store)
        self._ownership = Ownership(member.node_id)
        # The membership that this core has acted on.
        self._membership = self._cluster_member.membership
        self._incarnation: Incarnation | None = None
        self._vouchers: frozenset[Incarnation] = frozenset()
        self._sessions: dict[Peer, Incarnation] = {}
        self._accepted: dict[Peer, list[int]] = {}
        self._beat_at = now
        self._sweep_at = now + _SWEEP_SECONDS
        self._refusal_count = 0

    def __repr__(self) -> str:
        """Show epoch and sizes."""
        return f"<DataCore {self._incarnation} epoch={self.epoch} datums={len(self._store)}>"

    @property
    def epoch(self) -> int:
        """The epoch of the membership that this node follows."""
        return self._membership.epoch

    def start(self, now: float) -> Sequence[Effect]:
        """Begin to look for meta."""
        del now
        # What the disk says tells the epoch and where meta is, and never what this node owns.
        return self._cluster_member.start().effects

    # --- the door -----------------------------------------------------------------------------

    def receive(
        self, link: Link, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        """Take one message; writes and fetches of sessions come first, they are the most."""
        if link is Link.REQUESTS:
            match message:
                case PublishDatum():
                    return self._publish(peer, message, now)
                case UnpublishDatum():
                    return self._unpublish(peer, message, now)
                case FetchChanges():
                    return self._fetch(peer, message, now)
                case MembershipReply() if peer in self._sessions:
                    return self._act_on(self._cluster_member.receive(link, peer, message, now), now)
                case _:
                    return self._receive_rest(peer, message)
        match message:
            case PeerLost(link=Link.REQUESTS):
                self._accepted.pop(message.peer, None)
                gone = self._sessions.pop(message.peer, None)
                is_back = gone in self._sessions.values()
                if gone is None or is_back or message.reason not in ENDED:
                    return []
                return self._cluster_member.report_gone(gone)
            case PeerSlow(link=Link.REQUESTS):
                self._sessions.pop(message.peer, None)
                self._accepted.pop(message.peer, None)
                return [Disconnect(Link.REQUESTS, message.peer)]
            case Stop():
                return self._cluster_member.leave()
            case _:
                return self._act_on(self._cluster_member.receive(link, peer, message, now), now)

    def _receive_rest(self, peer: Peer, message: Message | Local) -> Sequence[Effect]:
        match message:
            case NodeHello():
                self._sessions[peer] = message.incarnation
                return []
            case CompareDigest():
                return self._compare_digest(peer, message)
            case CompareVersions() | ListDatums() if self._incarnation is None:
                return [self._refused(peer, message.request_id, NotReadyError, _NOBODY_DETAIL)]
            case CompareVersions():
                present = self._store.present_version(self.epoch)
                sequence = self._hints.sequence(message.bucket)
                versions = follower_answers.compared_versions(
                    self._store, message, present, sequence
                )
                return [Send(Link.REQUESTS, peer, versions)]
            case ComparePublishers():
                voucher = self._sessions.get(peer)
                if voucher is None:
                    return [self._refused(peer, 0, NotReadyError, "say NodeHello first")]
                compared = follower_answers.compared_publishers(self._store, message, voucher)
                return [Send(Link.REQUESTS, peer, compared)]
            case ListDatums():
                listed = follower_answers.listed_datums(self._store, message)
                return [Send(Link.REQUESTS, peer, listed)]
            case Ping():
                return [Send(Link.REQUESTS, peer, Pong())]
            case Pong() | Local():
                return []
            case _:
                name = type(message).__name__
                detail = f"a data node does not take {name}: connect to a session node instead"
                return [self._refused(peer, 0, UnknownMessageError, detail)]

    def tick(self, now: float) -> Sequence[Effect]:
        """Renew, beat, sweep."""
        effects = self._act_on(self._cluster_member.tick(now), now)
        if now >= self._beat_at:
            self._beat_at = now + self._config.beat_seconds
            effects += self._beat()
        if now >= self._sweep_at:
            self._sweep_at = now + _SWEEP_SECONDS
            self._store.sweep(now)
        return effects

    def settle(self, now: float) -> Sequence[Effect]:
        """Commit what this turn merged, hint at it, and then accept it."""
        effects = self._hints.commit(self._store.dirty(), self.epoch, now)
        for peer, request_ids in self._accepted.items():
            for accepted in follower_answers.acceptances(request_ids):
                effects.append(Send(Link.REQUESTS, peer, accepted))
        self._accepted.clear()
        return effects

    def next_tick_at(self) -> float | None:
        """When something is due."""
        membership_at = self._cluster_member.next_tick_at()
        own = min(self._beat_at, self._sweep_at)
        return own if membership_at is None else min(own, membership_at)

    def statistics(self) -> dict[str, int | float | str]:
        """Counters and sizes."""
        return {
            **self._cluster_member.statistics(),
            "ring_epoch": self._ownership.ring_epoch,
            "datums": len(self._store),
            "publishers": self._store.publisher_count,
            "sessions": len(self._sessions),
            "unreconciled": len(self._ownership.unreconciled),
            "hints": self._hints.hint_count,
            "beats": self._hints.beat_count,
            "refusals": self._refusal_count,
        }

    def health(self, now: float) -> Health:
        """Return what is the matter, as far as this core knows."""
        return health_of(self._cluster_member, now)

    # --- writes -------------------------------------------------------------------------------

    def _publish(self, peer: Peer, publish: PublishDatum, now: float) -> Sequence[Effect]:
        name = publish.data_info_id
        if not self._ownership.owns(name) or self._incarnation is None:
            return [self._not_primary(peer, publish.request_id)]
        if publish.publisher.session not in self._vouchers:
            return self._refuse_voucher(peer, publish, now)
        self._store.put(name, publish.publisher)
        self._accept(peer, publish.request_id)
        return ()

    def _unpublish(self, peer: Peer, unpublish: UnpublishDatum, now: float) -> Sequence[Effect]:
        name = unpublish.data_info_id
        if not self._ownership.owns(name) or self._incarnation is None:
            return [self._not_primary(peer, unpublish.request_id)]
        for removal in unpublish.removals:
            self._store.remove(name, removal, now)
        self._accept(peer, unpublish.request_id)
        return ()

    def _accept(self, peer: Peer, request_id: int) -> None:
        request_ids = self._accepted.get(peer)
        if request_ids is None:
            self._accepted[peer] = [request_id]
        else:
            request_ids.append(request_id)

    def _refuse_voucher(self, peer: Peer, publish: PublishDatum, now: float) -> Sequence[Effect]:
        """Tell apart a voucher from above my epoch (I am behind) and one that is gone."""
        voucher = publish.publisher.session
        if voucher.epoch > self.epoch:
            seen = EpochSeen(voucher.epoch)
            effects = self._cluster_member.receive(Link.LOCAL, "", seen, now).effects
            detail = f"{voucher} joined at an epoch that this node has not seen yet"
            return [*effects, self._refused(peer, publish.request_id, NotReadyError, detail)]
        detail = f"{voucher} is not a member (any more): join again and ask your clients"
        return [self._refused(peer, publish.request_id, SessionGoneError, detail)]

    def _not_primary(self, peer: Peer, request_id: int) -> Effect:
        detail = "this node is not the primary of that id in its membership"
        return self._refused(peer, request_id, NotPrimaryError, detail)

    def _refused(
        self, peer: Peer, request_id: int, error: type[RefusedError], detail: str
    ) -> Effect:
        self._refusal_count += 1
        return Send(Link.REQUESTS, peer, Refused(request_id, error.code, detail, self.epoch))

    # --- followers ----------------------------------------------------------------------------

    def _fetch(self, peer: Peer, fetch: FetchChanges, now: float) -> Sequence[Effect]:
        name = fetch.data_info_id
        if not self._ownership.owns(name) or self._incarnation is None:
            return [self._not_primary(peer, fetch.request_id)]
        seen_epoch = max(fetch.version, fetch.seen_version).epoch
        if seen_epoch > self.epoch:
            seen = EpochSeen(seen_epoch)
            effects = self._cluster_member.receive(Link.LOCAL, "", seen, now).effects
            detail = "this node has not seen the epoch of that version yet"
            return [*effects, self._refused(peer, fetch.request_id, NotReadyError, detail)]
        datum = self._store.find(name)
        if datum is None:
            absent = _absent(fetch, self._store, self._hints, self._ownership, self.epoch)
            return [Send(Link.REQUESTS, peer, absent)]
        effects = self._hints.commit([datum] if datum.is_dirty else [], self.epoch, now)
        effects += self._restamp_for(datum, fetch, now)
        sequence = self._hints.sequence(datum.bucket)
        if not fetch.is_unsure and fetch.seen_version <= datum.version:
            changes = follower_answers.logged_changes(self._store, datum, fetch, sequence)
            if changes is not None:
                return [*effects, Send(Link.REQUESTS, peer, changes)]
        is_unreconciled = self._ownership.is_unreconciled(name)
        parts = follower_answers.snapshot_parts(
            datum, fetch, sequence, is_unreconciled=is_unreconciled
        )
        return effects + [Send(Link.REQUESTS, peer, part) for part in parts]

    def _restamp_for(self, datum: Datum, fetch: FetchChanges, now: float) -> list[Effect]:
        """Raise the version above what the follower has seen, if its content may be another.

        An unsure copy gets a version that no hint can have brought it to: empty changes do not
        move it.
        """
        is_unsure = fetch.is_unsure and not self._ownership.is_unreconciled(datum.name)
        if is_unsure or max(fetch.version, fetch.seen_version) > datum.version:
            return [self._hints.restamp(datum, self.epoch, now)]
        return []

    def _compare_digest(self, peer: Peer, compare: CompareDigest) -> Sequence[Effect]:
        session = self._sessions.get(peer)
        is_same_ring = compare.ring_epoch == self._ownership.ring_epoch
        if self._incarnation is None or session is None or not is_same_ring:
            return []
        held = self._store.digest(session)
        is_equal = (compare.count, compare.digest) == (held.count, held.value)
        compared = DigestCompared(compare.ring_epoch, is_equal)
        effects: list[Effect] = [Send(Link.REQUESTS, peer, compared)]
        if is_equal and self._ownership.reconcile(session):
            # Followers fetch once more what they took under the longer list.
            effects += self._beat()
        return effects

    def _beat(self) -> list[Effect]:
        if self._incarnation is None:
            return []
        return [self._hints.beat(self._incarnation, self._ownership.unreconciled)]

    # --- membership ---------------------------------------------------------------------------

    def _act_on(self, learned: Learned, now: float) -> list[Effect]:
        """Act on what this node learned as a member; return its effects with those."""
        effects = learned.effects
        incarnation = self._cluster_member.incarnation
        is_new_life = learned.has_new_incarnation and incarnation != self._incarnation
        if not is_new_life and not learned.has_new_membership:
            return effects
        # What this turn merged so far belongs to the epoch at which it came.
        effects += self.settle(now)
        if is_new_life:
            self._incarnation = incarnation
            # What this node held may be stale since it was no member: sessions send it again.
            self._store.drop_all_but(())
            self._ownership.start_over(self._cluster_member.membership)
        if learned.has_new_membership:
            effects += self._follow_membership(self._cluster_member.membership, now)
        return effects

    def _follow_membership(self, membership: Membership, now: float) -> list[Effect]:
        """Drop what this node does not own any more, and evict whose voucher is gone."""
        self._membership = membership
        before = list(self._ownership.unreconciled)
        self._vouchers = _vouchers_of(membership)
        if self._ownership.follow(membership):
            names = [datum.name for datum in self._store]
            self._store.drop_all_but(name for name in names if self._ownership.owns(name))
        for voucher in self._store.vouchers():
            if voucher not in self._vouchers:
                self._store.evict(voucher)
        # At once: an older copy that comes in this turn must not hide that followers have to drop.
        effects = self._hints.commit(self._store.dirty(), self.epoch, now)
        if before != list(self._ownership.unreconciled):
            # Followers fetch once more what they took under a longer list.
            effects += self._beat()
        return effects


def _vouchers_of(membership: Membership) -> frozenset[Incarnation]:
    return frozenset(member.incarnation for member in membership.of(Role.SESSION, *_VOUCHING))


def _absent(
    fetch: FetchChanges, store: DatumStore, hints: Hints, ownership: Ownership, epoch: int
) -> Snapshot:
    """Return that there is no such datum, at a version above all that the follower saw."""
    version = store.present_version(epoch)
    if fetch.is_unsure or version <= max(fetch.version, fetch.seen_version):
        version = store.next_version(epoch)
    sequence = hints.sequence(bucket_of(fetch.data_info_id))
    is_unreconciled = ownership.is_unreconciled(fetch.data_info_id)
    return follower_answers.absent(fetch, version, sequence, is_unreconciled=is_unreconciled)
