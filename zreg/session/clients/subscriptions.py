"""Joins subscribers to followed datums: a datum is followed while it has a subscriber."""

from collections.abc import Iterable, Sequence

from zreg.config import Config
from zreg.effects import Effect, EpochSeen, Link
from zreg.membership.cluster_member import ClusterMember
from zreg.model import ZERO
from zreg.session.clients.client_table import Client, SubscriptionKey
from zreg.session.clients.pusher import Pusher
from zreg.session.clients.subscriber import Subscriber
from zreg.session.upstream.followed_datums import FollowedDatums
from zreg.wire.client_messages import PushAck, Subscribe


class Subscriptions:
    """Keeps in step: a client's subscription keys, its subscribers, and the followed datums."""

    def __init__(
        self, config: Config, cluster_member: ClusterMember, followed: FollowedDatums
    ) -> None:
        self._config = config
        self._cluster_member = cluster_member
        self._followed = followed
        self.pusher = Pusher(config)

    def is_full(self, client: Client, subscribe: Subscribe) -> bool:
        """Return whether this would be one subscription too many."""
        is_new = (subscribe.data_info_id, subscribe.scope) not in client.subscription_keys
        count_max = self._config.subscribers_per_client_max
        return is_new and len(client.subscription_keys) >= count_max

    def add(self, client: Client, subscribe: Subscribe, now: float) -> Sequence[Effect]:
        """Add a subscriber, with the view that its client says it has."""
        key = (subscribe.data_info_id, subscribe.scope)
        client.subscription_keys[key] = None
        client.unreplayed_subscription_keys.pop(key, None)
        followed, effects = self._followed.add(subscribe.data_info_id, now)
        subscriber = self.pusher.add(client, followed, subscribe.scope)
        if subscribe.version > ZERO:
            subscriber.claim = (subscribe.version, subscribe.digest)
            effects += self._pass_on_claim(subscriber, now)
        return effects

    def remove(self, client: Client, keys: Iterable[SubscriptionKey]) -> list[Effect]:
        """Remove subscribers."""
        effects: list[Effect] = []
        for name, scope in keys:
            client.subscription_keys.pop((name, scope), None)
            client.unreplayed_subscription_keys.pop((name, scope), None)
            self.pusher.remove(client, name, scope)
            if self.pusher.count_of(name) == 0:
                effects += self._followed.remove(name)
        return effects

    def on_push_ack(self, client: Client, ack: PushAck, now: float) -> Sequence[Effect]:
        """Take the acknowledgement of a push."""
        subscriber = self.pusher.find(client, ack.data_info_id, ack.scope)
        if subscriber is None:
            return ()
        self.pusher.on_push_ack(subscriber, ack)
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
        subscriber.is_claim_held = True
        return self._cluster_member.receive(Link.LOCAL, "", EpochSeen(version.epoch), now).effects
