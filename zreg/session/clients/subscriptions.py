"""Subscribers come and go: following begins with the first one of an id and ends with the last."""

from collections.abc import Iterable, Sequence

from zreg.config import Config
from zreg.effects import Effect, EpochSeen, Link
from zreg.membership.cluster_member import ClusterMember
from zreg.model import ZERO
from zreg.session.clients.client_table import Client, SubscriptionKey
from zreg.session.clients.pusher import Pusher, Subscriber
from zreg.session.upstream.followed_datums import FollowedDatums
from zreg.wire.client_messages import PushAck, Subscribe


class Subscriptions:
    """Joins what clients want to what the session follows."""

    def __init__(
        self, config: Config, cluster_member: ClusterMember, following: FollowedDatums
    ) -> None:
        self._config = config
        self._cluster_member = cluster_member
        self._followed = following
        self.pusher = Pusher(config)

    def is_full(self, client: Client, subscribe: Subscribe) -> bool:
        """Return whether this would be one subscription too many."""
        is_new = (subscribe.data_info_id, subscribe.scope) not in client.subscription_keys
        count_max = self._config.subscribers_per_client_max
        return is_new and len(client.subscription_keys) >= count_max

    def add(self, client: Client, subscribe: Subscribe, now: float) -> Sequence[Effect]:
        """Take a subscriber, with what it says it has."""
        key = (subscribe.data_info_id, subscribe.scope)
        client.subscription_keys[key] = None
        client.unreplayed_subscription_keys.pop(key, None)
        interest, effects = self._followed.add(subscribe.data_info_id, now)
        subscriber = self.pusher.add(client, interest, subscribe.scope)
        if subscribe.version > ZERO:
            subscriber.claim = (subscribe.version, subscribe.digest)
            effects += self._claim(subscriber, now)
        return effects

    def remove(self, client: Client, keys: Iterable[SubscriptionKey]) -> list[Effect]:
        """Let subscribers go."""
        effects: list[Effect] = []
        for name, scope in keys:
            client.subscription_keys.pop((name, scope), None)
            client.unreplayed_subscription_keys.pop((name, scope), None)
            if self.pusher.remove(client, name, scope):
                effects += self._followed.drop(name)
        return effects

    def acknowledged(self, client: Client, ack: PushAck, now: float) -> Sequence[Effect]:
        """Take the acknowledgement of a push."""
        subscriber = self.pusher.find(client, ack.data_info_id, ack.scope)
        if subscriber is None:
            return ()
        self.pusher.acknowledged(subscriber, ack)
        return self._claim(subscriber, now)

    def epoch_came(self, now: float) -> list[Effect]:
        """Look again at the claims that waited for an epoch."""
        effects: list[Effect] = []
        for subscriber in self.pusher.release_claims():
            effects += self._claim(subscriber, now)
        return effects

    def _claim(self, subscriber: Subscriber, now: float) -> Sequence[Effect]:
        """Let the primary judge a version that a client says it has seen, if it is above mine.

        One of an epoch that is not here yet is held until the epoch comes: a data node would not
        answer before, and a client with an invented one waits for itself alone.
        """
        if subscriber.claim is None:
            return ()
        version, _ = subscriber.claim
        if version.epoch <= self._cluster_member.membership.epoch:
            self._followed.claim(subscriber.interest, version)
            return ()
        subscriber.is_claim_held = True
        return self._cluster_member.receive(Link.LOCAL, "", EpochSeen(version.epoch), now).effects
