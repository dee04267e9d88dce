"""The open publications and subscriptions of a client, and the events for each of them."""

from zreg.client.core.commands import (
    AddSubscription,
    PublicationRefused,
    Registered,
    SubscriptionRefused,
    ViewChanged,
)
from zreg.client.runtime.events.listener import PublicationListener, SubscriptionListener
from zreg.client.runtime.outgoing_queue import OutgoingQueue
from zreg.config import Config
from zreg.errors import UsageError


class ListenerTable:
    """Publications by publisher id and subscriptions by feed id; the runtime's lock guards it.

    Invariant: the table never holds more of either than the configuration allows one client. An
    event for a listener that has left the table is dropped.
    """

    def __init__(self, config: Config) -> None:
        self._publications_max = config.publishers_per_client_max
        self._subscriptions_max = config.subscribers_per_client_max
        self.publications: dict[bytes, PublicationListener] = {}
        self.subscriptions: dict[int, SubscriptionListener] = {}

    def add_publication(self, publisher_id: bytes, listener: PublicationListener) -> None:
        """Add a publication, if it is not there. Raise `UsageError` above the limit."""
        publications, limit = self.publications, self._publications_max
        if len(publications) >= limit and publisher_id not in publications:
            raise UsageError(f"one client publishes at most {limit} times: use several clients")
        publications[publisher_id] = listener

    def remove_publication(self, publisher_id: bytes) -> None:
        """Remove a publication, if it is there."""
        self.publications.pop(publisher_id, None)

    def add_subscription(self, feed_id: int, listener: SubscriptionListener) -> None:
        """Add a subscription. Raise `UsageError` above the limit."""
        limit = self._subscriptions_max
        if len(self.subscriptions) >= limit:
            raise UsageError(f"one client subscribes at most {limit} times: use several clients")
        self.subscriptions[feed_id] = listener

    def remove_subscription(self, feed_id: int) -> None:
        """Remove a subscription, if it is there."""
        self.subscriptions.pop(feed_id, None)

    def begin_in_child(self, outgoing: OutgoingQueue) -> None:
        """Give the core of a forked child all subscriptions, and the publications it keeps."""
        for feed_id, subscription in self.subscriptions.items():
            data_info_id, scope = subscription.followed
            outgoing.put(AddSubscription(feed_id, data_info_id, scope))
            subscription.begin_in_child()
        publications, self.publications = self.publications, {}
        for publication in publications.values():
            publisher_id = publication.begin_in_child()
            if publisher_id is not None:
                self.publications[publisher_id] = publication

    def on_registered(self, event: Registered) -> None:
        """Tell the publications that the registry holds them."""
        for publisher_id in event.publisher_ids:
            if (publication := self.publications.get(publisher_id)) is not None:
                publication.on_registered(event.copies)

    def on_publication_refused(self, event: PublicationRefused) -> None:
        """Tell the publication that it was refused."""
        if (publication := self.publications.get(event.publisher_id)) is not None:
            publication.on_refused(event)

    def on_view_changed(self, event: ViewChanged) -> None:
        """Tell the subscription what became of its view."""
        if (subscription := self.subscriptions.get(event.feed_id)) is not None:
            subscription.on_view_changed(event)

    def on_subscription_refused(self, event: SubscriptionRefused) -> None:
        """Tell the subscription that it was refused."""
        if (subscription := self.subscriptions.get(event.feed_id)) is not None:
            subscription.on_refused(event)

    def on_session_lost(self, now: float) -> None:
        """Tell all subscriptions that no session confirms their views now."""
        for subscription in list(self.subscriptions.values()):
            subscription.on_session_lost(now)
