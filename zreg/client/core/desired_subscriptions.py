"""The views that this client follows, and which subscriptions share them."""

from collections.abc import Sequence

from zreg.client.core.commands import AddSubscription, Event, SubscriptionRefused, ViewChanged
from zreg.client.core.conversation import Conversation, Requester
from zreg.client.core.gathered_acks import GatheredAcks
from zreg.client.core.snapshot_parts import SnapshotParts
from zreg.effects import Effect, Emit
from zreg.model import ZERO, DataInfoId, Scope
from zreg.primitives.digest import UNSURE_DIGEST, view_digest
from zreg.primitives.mirror import PUBLISHERS, Difference, Mirror, Verdict
from zreg.wire.messages import WireMessage
from zreg.wire.records.client_messages import Push, PushAck, Subscribe, Unsubscribe, Welcome
from zreg.wire.records.common_messages import Refused


class SubscriptionRecord(Requester):
    """One followed view; all feeds with the same datum and scope share it.

    The view is *foreign* while the client is connected to another cluster than the one that the
    view came from: versions of two clusters cannot be compared, so only a snapshot replaces it. The
    view is *confirmed* once the present session has answered that it is current.

    After a push that did not fit, the record takes no delta until the snapshot comes that it asked
    for: those that were already on their way do not fit either.
    """

    __slots__ = (
        "_awaits_snapshot",
        "_cluster_id",
        "_has_new_confirmation",
        "_is_confirmed",
        "_is_foreign",
        "_parts",
        "_view_cluster_id",
        "data_info_id",
        "feed_ids",
        "mirror",
        "scope",
    )

    def __init__(self, data_info_id: DataInfoId, scope: Scope, cluster_id: bytes) -> None:
        super().__init__()
        self.data_info_id = data_info_id
        self.scope = scope
        # A dict, since it keeps the order in which the feeds were added.
        self.feed_ids: dict[int, None] = {}
        self.mirror = Mirror(PUBLISHERS)
        self._view_cluster_id = b""
        self._has_new_confirmation = False
        self._parts = SnapshotParts()
        self.begin_connection(cluster_id)

    def begin_connection(self, cluster_id: bytes) -> None:
        """Start with a session of this cluster; drop the parts that the previous one sent."""
        self._cluster_id = cluster_id
        self._is_foreign = self.mirror.is_known and self._view_cluster_id != cluster_id
        self._is_confirmed = self._awaits_snapshot = False
        self._parts.clear()

    def message(self, request_id: int) -> WireMessage:
        """Return the subscription, with the view's version if the cluster can compare it."""
        mirror = self.mirror
        if self._is_foreign or not mirror.is_known:
            return Subscribe(request_id, self.data_info_id, self.scope, ZERO, 0)
        # An unsure view may hold removed publishers. A true digest could let the session confirm
        # the view as current, and the removed publishers would stay.
        digest = UNSURE_DIGEST if mirror.is_unsure else view_digest(mirror.content.values())
        return Subscribe(request_id, self.data_info_id, self.scope, mirror.version, digest)

    @property
    def is_confirmed(self) -> bool:
        """Whether the present session has said that the view is current."""
        return self._is_confirmed

    def on_push(self, push: Push) -> PushAck | None:
        """Apply a push and return its acknowledgement; None before the last part."""
        if push.source_version is None:
            return self._on_part(push)
        if self._awaits_snapshot:
            return None
        verdict = Verdict.FETCH
        if not self._is_foreign:
            verdict = self.mirror.hint(
                push.source_version, push.version, push.publishers, push.removals
            )
        return self._ack(is_current=verdict is not Verdict.FETCH)

    def take_events(self) -> list[ViewChanged]:
        """Return what `on_push` changed, once for every feed; empty if nothing changed."""
        difference = self.mirror.take_difference()
        is_newly_confirmed, self._has_new_confirmation = self._has_new_confirmation, False
        has_moved = difference.version != difference.source_version
        if has_moved or difference.is_visible or is_newly_confirmed:
            return [ViewChanged(feed, difference, self._is_confirmed) for feed in self.feed_ids]
        return []

    def add_feed(self, feed_id: int) -> list[ViewChanged]:
        """Add a feed, and return the whole view for it if the view is known."""
        self.feed_ids[feed_id] = None
        mirror = self.mirror
        if not mirror.is_known:
            return []
        whole = Difference(ZERO, mirror.version, dict(mirror.content), {}, {})
        return [ViewChanged(feed_id, whole, self._is_confirmed)]

    def _on_part(self, push: Push) -> PushAck | None:
        self._parts.add(push)
        if push.parts_left:
            return None
        publishers = self._parts.take()
        if publishers is None:
            return self._ack(is_current=False)
        if push.is_reset or self._is_foreign:
            self.mirror.clear()
        is_taken = self.mirror.snapshot(push.version, publishers, is_partial=push.is_unreconciled)
        self._view_cluster_id = self._cluster_id
        self._is_foreign = False
        self._note_confirmed(is_current=is_taken)
        self._awaits_snapshot = False
        return self.acknowledgement()

    def acknowledgement(self) -> PushAck:
        """Return the acknowledgement of all pushes so far."""
        return PushAck(self.data_info_id, self.scope, self.mirror.version)

    def _ack(self, *, is_current: bool) -> PushAck:
        self._note_confirmed(is_current=is_current)
        self._awaits_snapshot = not is_current
        return PushAck(
            self.data_info_id, self.scope, self.mirror.version, needs_snapshot=not is_current
        )

    def _note_confirmed(self, *, is_current: bool) -> None:
        if is_current and not self._is_confirmed:
            self._is_confirmed = self._has_new_confirmation = True


class DesiredSubscriptions:
    """The followed views, by datum and scope, and their feeds.

    A feed is one subscription of the API. Invariant: each view has at least one feed. The client
    subscribes to a view with its first feed, and unsubscribes with its last one.
    """

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        # Of the session that welcomed the client last.
        self._cluster_id = b""
        self._records: dict[tuple[DataInfoId, Scope], SubscriptionRecord] = {}
        self._feeds: dict[int, SubscriptionRecord] = {}
        # The views that the former session had confirmed and the present one has not yet. It is
        # filled only when the client moves.
        self.unsettled: set[SubscriptionRecord] = set()
        self._acks: GatheredAcks[SubscriptionRecord] = GatheredAcks()

    def __len__(self) -> int:
        """Return how many views are followed."""
        return len(self._records)

    def publisher_count(self) -> int:
        """Return how many publishers all views hold."""
        # A list, since another thread may ask for this.
        return sum(len(each.mirror.content) for each in list(self._records.values()))

    def add(self, command: AddSubscription, now: float) -> Sequence[Effect]:
        """Add a feed; ask the session only for a view that is not followed yet."""
        name = command.data_info_id, command.scope
        record = self._records.get(name)
        effects: Sequence[Effect] = ()
        if record is None:
            record = self._records[name] = SubscriptionRecord(*name, self._cluster_id)
            effects = self._conversation.request(record, now)
        self._feeds[command.feed_id] = record
        return [*effects, *map(Emit, record.add_feed(command.feed_id))]

    def drop(self, feed_id: int, now: float) -> Sequence[Effect]:
        """Drop a feed; end the view with its last feed."""
        record = self._feeds.pop(feed_id, None)
        if record is None:
            return ()
        del record.feed_ids[feed_id]
        if record.feed_ids:
            return ()
        del self._records[record.data_info_id, record.scope]
        self.unsettled.discard(record)
        self._conversation.cancel(record)
        self._acks.drop(record)
        if not self._conversation.is_open:
            return ()
        return self._unsubscribe(record.data_info_id, record.scope, now)

    def replay(self, welcome: Welcome, ping_seconds: float, now: float) -> list[Effect]:
        """Subscribe to all views at the session that has welcomed the client."""
        self._cluster_id = welcome.cluster_id
        self._acks.begin(welcome, ping_seconds)
        effects: list[Effect] = []
        for record in self._records.values():
            record.begin_connection(welcome.cluster_id)
            effects += self._conversation.request(record, now)
        return effects

    def begin_move(self) -> None:
        """Note which views another session has to confirm before the client leaves this one."""
        self.unsettled = {record for record in self._records.values() if record.is_confirmed}

    def on_push(self, push: Push, now: float) -> Sequence[Effect]:
        """Apply a push, tell the feeds what it changed, and acknowledge it, perhaps later."""
        record = self._records.get((push.data_info_id, push.scope))
        if record is None:
            return self._unsubscribe(push.data_info_id, push.scope, now)
        ack = record.on_push(push)
        if ack is None:
            return ()
        if self.unsettled and record.is_confirmed:
            self.unsettled.discard(record)
        events = map(Emit, record.take_events())
        if not ack.needs_snapshot and self._acks.may_wait(record, push, now):
            return list(events)
        self._acks.drop(record)
        return [self._conversation.send(ack, now), *events]

    def acknowledge(self, now: float, *, is_due: bool) -> list[Effect]:
        """Acknowledge all that waits, if one has waited long enough or something leaves anyway."""
        if not is_due and now < self._acks.next_due_at():
            return []
        records = self._acks.take_all()
        return [self._conversation.send(record.acknowledgement(), now) for record in records]

    def next_ack_at(self) -> float:
        """Return when the next acknowledgement is due; infinity if none waits."""
        return self._acks.next_due_at()

    def on_refused(
        self, record: SubscriptionRecord, refused: Refused, *, is_final: bool
    ) -> Sequence[Event]:
        """Return what to tell the API, once for every feed."""
        return [
            SubscriptionRefused(feed, refused.code, refused.detail, is_final)
            for feed in record.feed_ids
        ]

    def _unsubscribe(self, data_info_id: DataInfoId, scope: Scope, now: float) -> list[Effect]:
        # It needs no answer: if it is lost, the next push of this datum brings another one.
        message = Unsubscribe(self._conversation.new_id(), data_info_id, scope)
        return [self._conversation.send(message, now)]
