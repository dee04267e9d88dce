"""Registers what clients publish, removes what they withdraw, and answers them.

A publish is accepted only once its data node has accepted it. A request that comes twice is done
once, and answered twice.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from zreg.config import Config, Limits
from zreg.effects import Effect, Link, Peer, Send
from zreg.errors import LimitError, RefusedError
from zreg.model import NO_INCARNATION, ZERO, Cause, Publisher
from zreg.primitives.reports.hop_rings import HopRings
from zreg.session.clients.client_table import Client, ClientTable
from zreg.session.clients.pending_reason import PendingReason
from zreg.session.clients.turn_answers import TurnAnswers
from zreg.session.clients.withdrawals import Withdrawals, is_unpublished
from zreg.session.upstream.registered.registration import Registration
from zreg.session.upstream.registered.registrations import Registrations
from zreg.session.upstream.registered.replays import Replays
from zreg.wire.records.client_messages import Publish, Unpublish
from zreg.wire.records.common_messages import HopKind, Refused

PUBLISHED: Final = HopKind.PUBLISHED
WITHDRAWN: Final = HopKind.WITHDRAWN
REFUSED: Final = HopKind.REFUSED
ANSWERED: Final = HopKind.ANSWERED


class Publishing:
    """Turns what clients publish into registrations.

    Invariants: `publisher_ids` of a client are those of its registrations without a removal, and
    `withdrawals` counts those with one. Both together are at most `publishers_per_client_max`.
    """

    def __init__(  # noqa: PLR0913 -- one argument per part
        self,
        config: Config,
        clients: ClientTable,
        registrations: Registrations,
        replays: Replays,
        pending_reason: PendingReason,
        answers: TurnAnswers,
        *,
        hops: HopRings,
    ) -> None:
        self._hops = hops.by_id
        self._config = config
        self._clients = clients
        self._registrations = registrations
        self._replays = replays
        self._pending_reason = pending_reason
        self._answers = answers
        self.withdrawals = Withdrawals(registrations)
        # How often a client registered a publisher or a newer state of it.
        self.registered_count = 0
        # How many registrations data nodes have refused for good.
        self.refused_count = 0

    # --- what clients say ---------------------------------------------------------------------

    def on_publish(
        self, client: Client, peer: Peer, publish: Publish, now: float
    ) -> Sequence[Effect]:
        """Register a publisher, or a newer state of it."""
        registrations = self._registrations
        publisher_id = publish.publisher_id
        registration = registrations.find(publisher_id)
        if registration is not None:
            answer = self._answer_known(client, peer, registration, publish, now)
            if answer is not None:
                return answer
        if registration is None and self._is_full(client):
            return [self._refuse_full(client, peer, publish.request_id)]
        self.registered_count += 1
        hop = (PUBLISHED, now, publisher_id, publish.version, ZERO, "", 0)
        self._hops[publish.data_info_id].append(hop)
        client.publisher_ids[publisher_id] = None
        if client.replayed_count is not None:
            client.unreplayed_publisher_ids.pop(publisher_id, None)
            client.replayed_count += 1
            if client.replayed_count == Limits.client_window:
                self._replays.note_long(client.client_id, now)
        session = registrations.session
        publisher = Publisher(
            publisher_id,
            publish.version,
            client.client_id,
            session,
            client.zone,
            client.data_center,
            client.app,
            publish.body,
        )
        if registration is None:
            registrations.publish(publish.data_info_id, publisher, publish.request_id)
        else:
            if registration.removal is not None:
                self.withdrawals.on_end(registration)
            registrations.republish(registration, publisher, publish.request_id)
        if session == NO_INCARNATION:
            return self._pending_reason.before_joining(peer, publish)
        return ()

    def begin_replay(self, client: Client, now: float) -> None:
        """Note that a client has greeted, and is about to replay."""
        self._replays.begin(client.client_id, now)
        if not self._registrations.is_member:
            self._replays.waiting.add(client.client_id)

    def begin_asked_replay(self, client: Client, now: float) -> None:
        """Note that a client was asked to publish again what this session had of it.

        Until it has done so, no digest says that all writes came.
        """
        self._replays.begin(client.client_id, now)
        if client.publisher_ids:
            self._replays.note_long(client.client_id, now)

    def on_incarnation_lost(self, now: float) -> None:
        """Note which clients wait from now on until this session is a member again."""
        for client_id in self._replays.unregistered():
            client = self._clients.of_id(client_id)
            # A program without a client is none: its next renewal registers it anywhere.
            if client is not None:
                self._replays.waiting.add(client_id)
                if client.peer is None:
                    self._replays.waiting.await_return(client_id, now)

    def on_connection_lost(self, client: Client, now: float) -> None:
        """Note that a client has lost its connection, and may come back."""
        self.end_replay(client)
        self._replays.waiting.await_return(client.client_id, now)

    def end_replay(self, client: Client) -> None:
        """Note that a client has sent its whole replay, or will not send the rest of it here."""
        client.replayed_count = None
        self._replays.end(client.client_id)

    def _answer_known(
        self,
        client: Client,
        peer: Peer,
        registration: Registration,
        publish: Publish,
        now: float,
    ) -> Sequence[Effect] | None:
        """Answer a publish that changes nothing; None if it brings a newer state."""
        known = registration.publisher
        if known.client_id != client.client_id or registration.name != publish.data_info_id:
            detail = "this publisher id belongs to another client or data id: use a new id"
            return [refusal(peer, publish.request_id, RefusedError, detail)]
        if publish.version > known.version:
            return None
        # The publish came twice, or late. The answer to the present state answers it too.
        if registration.removal is None and publish.version == known.version:
            client.unreplayed_publisher_ids.pop(known.publisher_id, None)
            if self._registrations.is_accepted(registration):
                self._answers.accept(peer, publish.request_id)
            else:
                registration.client_request_id = publish.request_id
                return self._pending_reason.of_repeated(peer, publish, registration, now)
        return ()

    def on_unpublish(
        self, client: Client, peer: Peer, unpublish: Unpublish, now: float
    ) -> Sequence[Effect]:
        """Withdraw a publisher; the client is answered when the data node has accepted that.

        Only the withdrawal of a publisher that this session does not know can be one too many.
        """
        publisher_id, request_id = unpublish.publisher_id, unpublish.request_id
        registration = self._registrations.find(publisher_id)
        if registration is None and self._is_full(client):
            return [self._refuse_full(client, peer, request_id)]
        if registration is None:
            # Another session registered it: the data node has to keep a tombstone all the same.
            registration = self._registrations.add_unknown(unpublish, client.client_id)
        elif registration.publisher.client_id != client.client_id:
            detail = "this publisher id belongs to another client: withdraw it there"
            return [refusal(peer, request_id, RefusedError, detail)]
        elif unpublish.version < registration.publisher.version:
            # It came late: the client has published again since.
            return ()
        client.unreplayed_publisher_ids.pop(publisher_id, None)
        client.publisher_ids.pop(publisher_id, None)
        if is_unpublished(registration, unpublish.version):
            # It came twice. The answer to the removal under way answers it too.
            registration.client_request_id = request_id
            return ()
        hop = (WITHDRAWN, now, publisher_id, unpublish.version, ZERO, "", 0)
        self._hops[registration.name].append(hop)
        # Another session may hold a newer version than this one: the client names its last.
        self.withdrawals.withdraw(
            registration, Cause.UNPUBLISHED, request_id, version=unpublish.version
        )
        return ()

    def _is_full(self, client: Client) -> bool:
        """Return whether one more registration of a client would be one too many."""
        count = len(client.publisher_ids) + self.withdrawals.count_of(client.client_id)
        return count >= self._config.publishers_per_client_max

    def _refuse_full(self, client: Client, peer: Peer, request_id: int) -> Effect:
        count_max = self._config.publishers_per_client_max
        detail = f"one client publishes at most {count_max} times"
        waiting = self.withdrawals.count_of(client.client_id)
        if waiting:
            detail += f", and {waiting} of its withdrawals wait for a data node"
        return refusal(peer, request_id, LimitError, f"{detail}: use several clients")

    def withdraw_unreplayed(self, client: Client) -> None:
        """Withdraw what a client did not publish again in the replay that has just ended."""
        self.end_replay(client)
        if not client.publisher_ids:
            self._replays.waiting.discard(client.client_id)
        for publisher_id in client.unreplayed_publisher_ids:
            client.publisher_ids.pop(publisher_id, None)
        self.withdrawals.withdraw_each(client.unreplayed_publisher_ids, Cause.NOT_REPLAYED)
        client.unreplayed_publisher_ids.clear()

    def withdraw_all(self, client: Client, cause: Cause) -> None:
        """Withdraw all that a client published: it is gone."""
        self._end(client)
        self.withdrawals.withdraw_each(client.publisher_ids, cause)
        self.withdrawals.on_client_ended(client.client_id)

    def forget_all(self, client: Client) -> None:
        """Forget all that a client published: another session has registered it."""
        self._end(client)
        for publisher_id in client.publisher_ids:
            registration = self._registrations.find(publisher_id)
            # A data node may have refused it meanwhile.
            if registration is not None and registration.removal is None:
                self._registrations.forget(registration)
        self.withdrawals.on_client_ended(client.client_id)

    def _end(self, client: Client) -> None:
        self.end_replay(client)
        self._replays.waiting.discard(client.client_id)

    # --- what data nodes say ------------------------------------------------------------------

    def on_accepted(self, registrations: Iterable[Registration], now: float) -> None:
        """Answer the clients whose registrations a data node has accepted."""
        accept = self._answers.accept
        for registration in registrations:
            known = registration.publisher
            version, peer, copies = known.version, registration.peer, registration.copies
            hop = (ANSWERED, now, known.publisher_id, version, ZERO, peer, copies)
            self._hops[registration.name].append(hop)
            if registration.removal is not None:
                self.withdrawals.on_end(registration)
            if registration.client_request_id:
                client = self._clients.of_id(registration.publisher.client_id)
                if client is not None and client.peer is not None:
                    accept(client.peer, registration.client_request_id, registration.copies)
                registration.client_request_id = 0

    def note_refused(self, registration: Registration, refused: Refused, now: float) -> None:
        """Note when a data node refused a registration, for good or until it is sent again."""
        known = registration.publisher
        hop = (REFUSED, now, known.publisher_id, known.version, ZERO, registration.peer)
        self._hops[registration.name].append((*hop, refused.code))

    def on_refused(self, registration: Registration, refused: Refused) -> list[Effect]:
        """Pass on the final refusal of a data node, which may come long after an acceptance.

        Then no request of the client waits for it, and a refusal names a request. So the client is
        asked to replay: it publishes again, and that request is refused.
        """
        self.refused_count += 1
        self.withdrawals.on_end(registration)
        client = self._clients.of_id(registration.publisher.client_id)
        if client is None:
            return []
        client.publisher_ids.pop(registration.publisher.publisher_id, None)
        if client.peer is None:
            return []
        if not registration.client_request_id:
            self._answers.ask_who(client.peer)
            return []
        answer = Refused(registration.client_request_id, refused.code, refused.detail)
        return [Send(Link.CLIENTS, client.peer, answer)]


def refusal(peer: Peer, request_id: int, error: type[RefusedError], detail: str) -> Effect:
    """Return the effect that refuses a client's request."""
    return Send(Link.CLIENTS, peer, Refused(request_id, error.code, detail))
