"""Work that grows with what is held, each with what brings it into the production code."""

from collections.abc import Sequence

from mutations import Patch

from zreg.client.core.core import ClientCore
from zreg.data.followers.followers import Followers
from zreg.data.store import datum_store as store_module
from zreg.effects import Effect
from zreg.session.clients.pushes.pusher import Pusher
from zreg.session.clients.pushes.subscriber import Subscriber
from zreg.session.upstream.followed.buckets import Buckets
from zreg.session.upstream.followed.followed_datums import FollowedDatums
from zreg.session.upstream.registered.reconciliation import Reconciliation
from zreg.wire.records.data_messages import Beat, DigestCompared

_on_beat = FollowedDatums.on_beat
_next_push = Pusher._next_push
_on_digest_compared = Reconciliation.on_digest_compared


def every_answer_restamps() -> list[Patch]:
    """A follower that names a lower version gets the log or a snapshot; nothing is restamped."""
    return [(Followers, "_must_restamp", lambda self, datum, fetch: not datum.is_dirty)]


def a_replay_is_hinted() -> list[Patch]:
    """A quiet change sends no hint, however many subscribers an id has."""
    return [(store_module, "same_to_subscribers", lambda left, right: False)]


def every_beat_compares_every_bucket() -> list[Patch]:
    """A beat without a gap causes no comparison."""

    def note_beat(self: Buckets, peer: str, sequences: Sequence[int]) -> list[int]:
        return list(self)

    return [(Buckets, "note_beat", note_beat)]


def every_beat_fetches_every_datum() -> list[Patch]:
    """A beat fetches only what is incomplete."""

    def on_beat(self: FollowedDatums, peer: str, beat: Beat) -> list[Effect]:
        effects = _on_beat(self, peer, beat)
        for followed in self._followed.values():
            if followed.peer == peer:
                effects += self._fetches.fetch(followed)
        return effects

    return [(FollowedDatums, "on_beat", on_beat)]


def every_push_is_the_whole_list() -> list[Patch]:
    """A push is the change since the version that the client has."""

    def next_push(self: Pusher, subscriber: Subscriber, now: float) -> list[Effect]:
        if subscriber.evaluated != subscriber.followed.mirror.version:
            subscriber.client_version = subscriber.evaluated = None
        return _next_push(self, subscriber, now)

    return [(Pusher, "_next_push", next_push)]


def equal_digests_are_compared_in_detail() -> list[Patch]:
    """Ids and versions are sent only after digests that differed twice in succession."""

    def on_digest_compared(
        self: Reconciliation, peer: str, compared: DigestCompared, now: float
    ) -> list[Effect]:
        unequal = DigestCompared(compared.ring_epoch, is_equal=False)
        return _on_digest_compared(self, peer, unequal, now)

    return [(Reconciliation, "on_digest_compared", on_digest_compared)]


def a_core_is_called_all_the_time() -> list[Patch]:
    """A core says when it has to be called next."""
    return [(ClientCore, "next_tick_at", lambda self: 0.0)]
