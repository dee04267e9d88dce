"""The desired state, record by record: what this client publishes, follows and asks.

Each record is an `Asker`: it knows what to say to the session now. When to say it, and what the
answers mean, is the core's.
"""

from typing import Final

import msgspec

from zreg.client.core.commands import Question, SetPublication, ViewChanged
from zreg.client.core.conversation import Asker
from zreg.model import ZERO, DataInfoId, Publisher, Scope, Version
from zreg.primitives.digest import UNSURE_DIGEST, view_digest
from zreg.primitives.mirror import PUBLISHERS, Difference, Mirror, Verdict
from zreg.wire.client_messages import Publish, Push, PushAck, Subscribe, Unpublish
from zreg.wire.messages import WireMessage

# A snapshot of more parts than this (about 1 GiB) is not gathered.
_PARTS_MAX: Final = 4096


class PublicationRecord(Asker):
    """One registration: its newest body, or that it shall go."""

    __slots__ = ("body", "data_info_id", "is_withdrawn", "publisher_id", "version")

    def __init__(self, command: SetPublication) -> None:
        super().__init__()
        self.publisher_id = command.publisher_id
        self.data_info_id = command.data_info_id
        self.body = command.body
        # The version that was sent last; 0: none was.
        self.version = 0
        self.is_withdrawn = False

    def message(self, request_id: int) -> WireMessage:
        """Return the newest state at its version."""
        if self.is_withdrawn:
            return Unpublish(request_id, self.publisher_id, self.version, self.data_info_id)
        return Publish(request_id, self.publisher_id, self.version, self.data_info_id, self.body)


class AskRecord(Asker):
    """One question of the application, until its deadline."""

    __slots__ = ("ask_id", "deadline", "question")

    def __init__(self, ask_id: int, question: Question, *, deadline: float) -> None:
        super().__init__()
        self.ask_id = ask_id
        self.question = question
        self.deadline = deadline

    def message(self, request_id: int) -> WireMessage:
        """Return the question under this request id."""
        return msgspec.structs.replace(self.question, request_id=request_id)


class SubscriptionRecord(Asker):
    """One followed view, shared by all feeds of the same datum and scope."""

    __slots__ = (
        "_cluster_id",
        "_has_news",
        "_is_confirmed",
        "_is_foreign",
        "_is_torn",
        "_parts",
        "_parts_left",
        "_parts_version",
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
        # A dict for its order.
        self.feed_ids: dict[int, None] = {}
        self.mirror = Mirror(PUBLISHERS)
        self._view_cluster_id = b""
        self._has_news = False
        self._parts: list[Publisher] = []
        self._parts_version: Version | None = None
        self._parts_left = 0
        self._is_torn = False
        self.begin_connection(cluster_id)

    def begin_connection(self, cluster_id: bytes) -> None:
        """Start again with a session: of which cluster, and without the half of a snapshot."""
        self._cluster_id = cluster_id
        self._is_foreign = self.mirror.is_known and self._view_cluster_id != cluster_id
        self._is_confirmed = False
        self._drop_parts()

    def message(self, request_id: int) -> WireMessage:
        """Return the subscription, with the version of the view if that means anything there."""
        mirror = self.mirror
        if self._is_foreign or not mirror.is_known:
            return Subscribe(request_id, self.data_info_id, self.scope, ZERO, 0)
        # A view that may hold too much must not be taken for current, which would keep it so.
        digest = UNSURE_DIGEST if mirror.is_unsure else view_digest(mirror.content.values())
        return Subscribe(request_id, self.data_info_id, self.scope, mirror.version, digest)

    def take(self, push: Push) -> PushAck | None:
        """Apply a push and return its acknowledgement; None before the last part."""
        if push.source_version is None:
            return self._take_part(push)
        verdict = Verdict.FETCH
        if not self._is_foreign:
            verdict = self.mirror.hint(
                push.source_version, push.version, push.publishers, push.removals
            )
        return self._ack(is_current=verdict is not Verdict.FETCH)

    def take_events(self) -> list[ViewChanged]:
        """Return what to tell every feed after `take`; nothing if nothing is new."""
        difference = self.mirror.take_difference()
        has_news, self._has_news = self._has_news, False
        if difference.version != difference.source_version or difference.is_visible or has_news:
            return [ViewChanged(feed, difference, self._is_confirmed) for feed in self.feed_ids]
        return []

    def add_feed(self, feed_id: int) -> list[ViewChanged]:
        """Tell one more feed of everything; it is told at once what is known already."""
        self.feed_ids[feed_id] = None
        mirror = self.mirror
        if not mirror.is_known:
            return []
        whole = Difference(ZERO, mirror.version, dict(mirror.content), {}, {})
        return [ViewChanged(feed_id, whole, self._is_confirmed)]

    def _take_part(self, push: Push) -> PushAck | None:
        if push.version != self._parts_version or push.parts_left >= self._parts_left:
            self._drop_parts()
            self._is_torn = push.parts_left >= _PARTS_MAX
        elif push.parts_left != self._parts_left - 1:
            # A part is missing, and what it held must not be taken for removed.
            self._is_torn = True
        self._parts_version, self._parts_left = push.version, push.parts_left
        if not self._is_torn:
            self._parts.extend(push.publishers)
        return None if push.parts_left else self._take_snapshot(push)

    def _take_snapshot(self, push: Push) -> PushAck:
        is_torn, parts = self._is_torn, self._parts
        self._drop_parts()
        if is_torn:
            return self._ack(is_current=False)
        if push.is_reset or self._is_foreign:
            self.mirror.clear()
        is_taken = self.mirror.snapshot(push.version, parts, is_partial=push.is_unreconciled)
        self._view_cluster_id = self._cluster_id
        self._is_foreign = False
        self._note_confirmed(is_current=is_taken)
        return PushAck(self.data_info_id, self.scope, self.mirror.version)

    def _ack(self, *, is_current: bool) -> PushAck:
        self._note_confirmed(is_current=is_current)
        return PushAck(
            self.data_info_id, self.scope, self.mirror.version, needs_snapshot=not is_current
        )

    def _note_confirmed(self, *, is_current: bool) -> None:
        if is_current and not self._is_confirmed:
            self._is_confirmed = self._has_news = True

    def _drop_parts(self) -> None:
        self._parts = []
        self._parts_version = None
        self._parts_left = 0
        self._is_torn = False
