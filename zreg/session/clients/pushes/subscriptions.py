"""Joins subscribers to followed datums: a datum is followed while it is needed here."""

from collections import Counter
from collections.abc import Iterable, Sequence

from zreg.config import Config
from zreg.effects import Effect, EpochSeen, Link
from zreg.membership.cluster_member import ClusterMember
from zreg.model import ZERO, DataInfoId
from zreg.primitives.reports.hop_rings import HopRings
from zreg.session.clients.client_table import Client, SubscriptionKey
from zreg.session.clients.pushes.pusher import Pusher
from zreg.session.clients.pushes.subscriber import Subscriber
from zreg.session.upstream.followed.followed_datum import FollowedDatum
from zreg.session.upstream.followed.followed_datums import FollowedDatums
from zreg.wire.records.client_messages import PushAck, Subscribe


class Subscriptions:
    """Keeps in step: a client's subscription keys, its subscribers, and the followed datums.

    Invariants: a datum is followed while at least one client has a key of it, or
    between `follow` and `unfollow`. Each subscriber has a
    key; the key of a client that does not read, or that is about to replay, has no subscriber.
    """

    def __init__(
        self,
        config: Config,
        cluster_member: ClusterMember,
        followed: FollowedDatums,
        hops: HopRings,
    ) -> None:
        self._config = config
        self._cluster_member = cluster_member
        self._followed = followed
        self._need_counts: Counter[DataInfoId] = Counter()
        self.pusher = Pusher(config, hops)

    def is_full(self, client: Client, subscribe: Subscribe) -> bool:
        """Return whether this would be one subscription too many."""
        is_new = (subscribe.data_info_id, subscribe.scope) not in client.subscription_keys
        count_max = self._config.subscribers_per_client_max
        return is_new and len(client.subscription_keys) >= count_max

    def add(self, client: Client, subscribe: Subscribe, now: float) -> Sequence[Effect]:
        """Add a subscriber, with the view that its client says it has.

        A request that is repeated under its id changes nothing: its push is under way.
        """
        key = (subscribe.data_info_id, subscribe.scope)
        present = self.pusher.find(client, *key)
        if present is not None and present.request_id == subscribe.request_id:
            return ()
        if key not in client.subscription_keys:
            client.subscription_keys[key] = None
            self._need_counts[subscribe.data_info_id] += 1
        client.unreplayed_subscription_keys.pop(key, None)
        followed, effects = self._followed.add(subscribe.data_info_id, now)
        subscriber = self.pusher.add(client, followed, subscribe.scope)
        subscriber.request_id = subscribe.request_id
        if subscribe.version > ZERO:
            subscriber.claim = (subscribe.version, subscribe.digest)
            effects += self._pass_on_claim(subscriber, now)
        return effects

    def remove(self, client: Client, keys: Iterable[SubscriptionKey]) -> list[Effect]:
        """Remove subscribers."""
        effects: list[Effect] = []
        for name, scope in keys:
            client.unreplayed_subscription_keys.pop((name, scope), None)
            if (name, scope) not in client.subscription_keys:
                continue
            del client.subscription_keys[name, scope]
            self.pusher.remove(client, name, scope)
            effects += self.unfollow(name)
        return effects

    def follow(self, name: DataInfoId, now: float) -> tuple[FollowedDatum, list[Effect]]:
        """Follow a datum, also without a subscriber, until `unfollow`."""
        self._need_counts[name] += 1
        return self._followed.add(name, now)

    def followed(self, name: DataInfoId) -> FollowedDatum:
        """Return a datum that is followed."""
        followed = self._followed.find(name)
        assert followed is not None
        return followed

    def unfollow(self, name: DataInfoId) -> list[Effect]:
        """End one need of a datum; the session follows it no more if that was the last one."""
        self._need_counts[name] -= 1
        if self._need_counts[name]:
            return []
        del self._need_counts[name]
        self.pusher.forget(name)
        return self._followed.remove(name)

    def stop_pushing(self, client: Client) -> None:
        """Drop a client's subscribers until it subscribes again; its datums stay followed.

        No acknowledgement of an earlier push can come after its replay: a client that has said
        Hello takes no push before the Welcome.
        """
        for name, scope in client.subscription_keys:
            self.pusher.remove(client, name, scope)

    def on_push_ack(self, client: Client, ack: PushAck, now: float) -> Sequence[Effect]:
        """Take the acknowledgement of a push."""
        subscriber = self.pusher.find(client, ack.data_info_id, ack.scope)
        if subscriber is None:
            return ()
        self.pusher.on_push_ack(subscriber, ack, now)
        return self._pass_on_claim(subscriber, now)

    def on_epoch(self, now: float) -> list[Effect]:
        """Look again at the claims that waited for an epoch."""
        effects: list[Effect] = []
        for subscriber in self.pusher.release_claims():
            effects += self._pass_on_claim(subscriber, now)
        return effects

    def _pass_on_claim(self, subscriber: Subscriber, now: float) -> Sequence[Effect]:
        """Have the primary judge the version that a client claims, if it is above the one here.

        A claim of an epoch that this session has not seen is held until the epoch comes: a data
        node would not answer before. A client that invents an epoch delays only itself.
        """
        if subscriber.claim is None:
            return ()
        version, _ = subscriber.claim
        if version.epoch <= self._cluster_member.membership.epoch:
            self._followed.claim(subscriber.followed, version)
            return ()
        self.pusher.hold_claim(subscriber)
        return self._cluster_member.receive(Link.LOCAL, "", EpochSeen(version.epoch), now).effects
