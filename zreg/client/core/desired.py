"""What the application wants of the registry, and what became of it.

Publications, withdrawals that nobody acknowledged yet, followed views, open questions. All of it
is kept until the application takes it back, so that every new session can be told all of it.
"""

from collections.abc import Sequence
from typing import Final

from zreg.client.core.commands import (
    AddSubscription,
    Answer,
    Answered,
    Ask,
    AskRefused,
    Event,
    PublicationRefused,
    Registered,
    SetPublication,
    SubscriptionRefused,
    Unanswered,
    Withdrawn,
)
from zreg.client.core.conversation import Conversation
from zreg.client.core.records import AskRecord, PublicationRecord, SubscriptionRecord
from zreg.effects import Effect, Emit
from zreg.errors import LimitError, NotPrimaryError, NotReadyError, SessionGoneError
from zreg.model import DataInfoId, Scope
from zreg.wire.client_messages import Push, ReplayDone, Unsubscribe
from zreg.wire.common_messages import Refused

_ASKS_MAX: Final = 1024
# The answers that mean "not now".
_TEMPORARY: Final = (NotPrimaryError.code, NotReadyError.code, SessionGoneError.code)


class Desired:
    """The desired state of one client, and the words in which a session is told of it."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._cluster_id = b""
        self._publications: dict[bytes, PublicationRecord] = {}
        self._subscriptions: dict[tuple[DataInfoId, Scope], SubscriptionRecord] = {}
        self._feeds: dict[int, SubscriptionRecord] = {}
        self._asks: dict[int, AskRecord] = {}

    def __repr__(self) -> str:
        """Show the sizes."""
        return (
            f"<Desired publications={len(self._publications)} "
            f"subscriptions={len(self._subscriptions)} asks={len(self._asks)}>"
        )

    def statistics(self) -> dict[str, int]:
        """Return the sizes, for people."""
        # A list, since another thread may ask for this.
        subscriptions = list(self._subscriptions.values())
        return {
            "publications": len(self._publications),
            "subscriptions": len(subscriptions),
            "publishers_seen": sum(len(each.mirror.content) for each in subscriptions),
            "asks": len(self._asks),
        }

    def replay(self, cluster_id: bytes, now: float) -> list[Effect]:
        """Say everything to a session of that cluster; what it holds beside it goes."""
        self._cluster_id = cluster_id
        effects: list[Effect] = []
        # Publications first, withdrawals after them: sorting is stable.
        for publication in sorted(self._publications.values(), key=lambda p: p.is_withdrawn):
            if not publication.is_withdrawn:
                publication.version += 1
            effects += self._conversation.ask(publication, now)
        for subscription in self._subscriptions.values():
            subscription.begin_connection(cluster_id)
            effects += self._conversation.ask(subscription, now)
        effects.append(self._conversation.say(ReplayDone(), now))
        for ask in self._asks.values():
            effects += self._conversation.ask(ask, now)
        return effects

    # --- commands ---------------------------------------------------------------------------

    def set_publication(self, command: SetPublication, now: float) -> Sequence[Effect]:
        """Publish or republish; the newest body wins."""
        publication = self._publications.get(command.publisher_id)
        if publication is None:
            publication = PublicationRecord(command)
            self._publications[command.publisher_id] = publication
        else:
            publication.body = command.body
            publication.is_withdrawn = False
        if self._conversation.is_open:
            publication.version += 1
        return self._conversation.ask(publication, now)

    def withdraw(self, publisher_id: bytes, now: float) -> Sequence[Effect]:
        """Unpublish; what was never sent just disappears."""
        publication = self._publications.get(publisher_id)
        if publication is None or publication.is_withdrawn:
            return ()
        if not publication.version:
            del self._publications[publisher_id]
            return [Emit(Withdrawn((publisher_id,)))]
        publication.is_withdrawn = True
        return self._conversation.ask(publication, now)

    def add_subscription(self, command: AddSubscription, now: float) -> Sequence[Effect]:
        """Follow; the session is asked once, however many feeds share the view."""
        name = command.data_info_id, command.scope
        subscription = self._subscriptions.get(name)
        effects: Sequence[Effect] = ()
        if subscription is None:
            subscription = SubscriptionRecord(*name, self._cluster_id)
            self._subscriptions[name] = subscription
            effects = self._conversation.ask(subscription, now)
        self._feeds[command.feed_id] = subscription
        return [*effects, *map(Emit, subscription.add_feed(command.feed_id))]

    def drop_subscription(self, feed_id: int, now: float) -> Sequence[Effect]:
        """Follow no more; the session is told when the last feed goes."""
        subscription = self._feeds.pop(feed_id, None)
        if subscription is None:
            return ()
        del subscription.feed_ids[feed_id]
        if subscription.feed_ids:
            return ()
        del self._subscriptions[subscription.data_info_id, subscription.scope]
        self._conversation.forget(subscription)
        if not self._conversation.is_open:
            return ()
        return self._unsubscribe(subscription.data_info_id, subscription.scope, now)

    def ask(self, command: Ask, now: float) -> Sequence[Effect]:
        """Pass a question on; it is answered, refused or unanswered, always one of them."""
        if len(self._asks) >= _ASKS_MAX:
            detail = f"{_ASKS_MAX} questions wait for an answer already: ask fewer at once"
            return [Emit(AskRefused(command.ask_id, LimitError.code, detail))]
        deadline = now + command.timeout_seconds
        ask = AskRecord(command.ask_id, command.question, deadline=deadline)
        self._asks[command.ask_id] = ask
        return self._conversation.ask(ask, now)

    def drop_late_asks(self, now: float) -> list[Effect]:
        """Give up the questions whose time is over."""
        late = [ask for ask in self._asks.values() if ask.deadline <= now]
        for ask in late:
            self._forget_ask(ask)
        return [Emit(Unanswered(ask.ask_id)) for ask in late]

    def next_deadline(self) -> float | None:
        """Return when the first question is given up."""
        return min((ask.deadline for ask in self._asks.values()), default=None)

    # --- answers ----------------------------------------------------------------------------

    def accepted(self, request_ids: Sequence[int]) -> list[Effect]:
        """Note what the registry holds now, and holds no more."""
        registered: list[bytes] = []
        withdrawn: list[bytes] = []
        for request_id in request_ids:
            asker = self._conversation.answered(request_id)
            if not isinstance(asker, PublicationRecord):
                continue
            if asker.is_withdrawn:
                del self._publications[asker.publisher_id]
                withdrawn.append(asker.publisher_id)
            else:
                registered.append(asker.publisher_id)
        effects: list[Effect] = []
        if registered:
            effects.append(Emit(Registered(tuple(registered))))
        if withdrawn:
            effects.append(Emit(Withdrawn(tuple(withdrawn))))
        return effects

    def refused(self, refused: Refused) -> Sequence[Effect]:
        """Note a no; a "not now" is asked again when its pause is over."""
        asker = self._conversation.waiting(refused.request_id)
        if asker is None:
            return ()
        code, detail = refused.code, refused.detail
        is_final = code not in _TEMPORARY
        if is_final:
            self._conversation.answered(refused.request_id)
        events: Sequence[Event] = ()
        match asker:
            case PublicationRecord(is_withdrawn=True):
                events = self._withdrawal_refused(asker, is_final=is_final)
            case PublicationRecord():
                events = [PublicationRefused(asker.publisher_id, code, detail, is_final)]
            case SubscriptionRecord():
                events = [
                    SubscriptionRefused(feed, code, detail, is_final) for feed in asker.feed_ids
                ]
            case AskRecord() if is_final:
                self._forget_ask(asker)
                events = [AskRefused(asker.ask_id, code, detail)]
        return [Emit(event) for event in events]

    def answered(self, answer: Answer) -> Sequence[Effect]:
        """Hand an answer to whoever asked."""
        asker = self._conversation.waiting(answer.request_id)
        if not isinstance(asker, AskRecord):
            return ()
        self._forget_ask(asker)
        return [Emit(Answered(asker.ask_id, answer))]

    def pushed(self, push: Push, now: float) -> Sequence[Effect]:
        """Take a push, acknowledge it and tell the feeds what it changed."""
        subscription = self._subscriptions.get((push.data_info_id, push.scope))
        if subscription is None:
            return self._unsubscribe(push.data_info_id, push.scope, now)
        ack = subscription.take(push)
        if ack is None:
            return ()
        return [self._conversation.say(ack, now), *map(Emit, subscription.take_events())]

    # --- helpers ----------------------------------------------------------------------------

    def _unsubscribe(self, data_info_id: DataInfoId, scope: Scope, now: float) -> list[Effect]:
        # Not waited for: if it is lost, the next push of this datum is answered with it again.
        message = Unsubscribe(self._conversation.new_id(), data_info_id, scope)
        return [self._conversation.say(message, now)]

    def _withdrawal_refused(
        self, publication: PublicationRecord, *, is_final: bool
    ) -> Sequence[Event]:
        if not is_final:
            return ()
        del self._publications[publication.publisher_id]
        return [Withdrawn((publication.publisher_id,))]

    def _forget_ask(self, ask: AskRecord) -> None:
        del self._asks[ask.ask_id]
        self._conversation.forget(ask)
