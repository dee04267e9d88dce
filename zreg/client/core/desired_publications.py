"""What this client publishes, and which of its withdrawals the registry has not confirmed yet."""

from collections.abc import Sequence

from zreg.client.core.commands import (
    Event,
    PublicationRefused,
    Registered,
    SetPublication,
    Withdrawn,
)
from zreg.client.core.conversation import Conversation, Requester
from zreg.effects import Effect, Emit
from zreg.wire.messages import WireMessage
from zreg.wire.records.client_messages import Publish, Unpublish
from zreg.wire.records.common_messages import Accepted, Refused


class PublicationRecord(Requester):
    """One registration: its newest body, or its withdrawal."""

    __slots__ = (
        "body",
        "data_info_id",
        "is_withdrawn",
        "publisher_id",
        "version",
        "was_accepted",
    )

    is_windowed = True

    def __init__(self, command: SetPublication) -> None:
        super().__init__()
        self.publisher_id = command.publisher_id
        self.data_info_id = command.data_info_id
        self.body = command.body
        # The version that was sent last; 0: none was sent.
        self.version = 0
        self.is_withdrawn = False
        # Whether the registry has ever held it.
        self.was_accepted = False

    def begin(self) -> None:
        """Give a body that is sent a version of its own; a withdrawal names the last one."""
        if not self.is_withdrawn:
            self.version += 1

    def message(self, request_id: int) -> WireMessage:
        """Return the newest state at its version."""
        if self.is_withdrawn:
            return Unpublish(request_id, self.publisher_id, self.version, self.data_info_id)
        return Publish(request_id, self.publisher_id, self.version, self.data_info_id, self.body)


class DesiredPublications:
    """The publications of one client, by publisher id.

    Invariants:
    - A record stays until the registry has confirmed its withdrawal: each new session gets it.
    - `unsettled` has the ids of publishers that the former session has registered and the present
      one has not yet. It is filled only when the client moves.
    - The version of a record rises with each body and with each replay that is sent. A withdrawal
      names the version that was sent last.
    """

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._records: dict[bytes, PublicationRecord] = {}
        self.unsettled: set[bytes] = set()

    def __len__(self) -> int:
        """Return how many records there are, withdrawals included."""
        return len(self._records)

    def set(self, command: SetPublication, now: float) -> Sequence[Effect]:
        """Publish or republish; the newest body wins."""
        record = self._records.get(command.publisher_id)
        if record is None:
            record = self._records[command.publisher_id] = PublicationRecord(command)
        else:
            record.body = command.body
            record.is_withdrawn = False
        return self._conversation.request(record, now)

    def withdraw(self, publisher_id: bytes, now: float) -> Sequence[Effect]:
        """Unpublish; drop a publication at once that was never sent."""
        record = self._records.get(publisher_id)
        if record is None or record.is_withdrawn:
            return ()
        if not record.version:
            self._conversation.cancel(record)
            del self._records[publisher_id]
            return [Emit(Withdrawn((publisher_id,)))]
        record.is_withdrawn = True
        return self._conversation.request(record, now)

    def replay(self, now: float) -> list[Effect]:
        """Send all publications with raised versions, then all withdrawals, in their turn."""
        effects: list[Effect] = []
        # Sorting is stable, so both keep their order.
        for record in sorted(self._records.values(), key=lambda record: record.is_withdrawn):
            effects += self._conversation.request(record, now)
        return effects

    def begin_move(self) -> None:
        """Note what another session has to register before the client leaves the present one."""
        self.unsettled = {
            publisher_id
            for publisher_id, record in self._records.items()
            if record.was_accepted and not record.is_withdrawn
        }

    def on_accepted(self, accepted: Accepted) -> list[Effect]:
        """Tell the API what the registry holds now, and what it no longer holds.

        An accepted subscription needs nothing more: its view comes with a push.
        """
        take = self._conversation.take
        registered: list[bytes] = []
        withdrawn: list[bytes] = []
        for request_id in accepted.request_ids:
            record = take(request_id)
            if not isinstance(record, PublicationRecord):
                continue
            if record.is_withdrawn:
                del self._records[record.publisher_id]
                withdrawn.append(record.publisher_id)
            else:
                record.was_accepted = True
                registered.append(record.publisher_id)
        if self.unsettled:
            self.unsettled.difference_update(registered, withdrawn)
        effects: list[Effect] = []
        if registered:
            effects.append(Emit(Registered(tuple(registered), accepted.copies)))
        if withdrawn:
            effects.append(Emit(Withdrawn(tuple(withdrawn))))
        return effects

    def on_refused(
        self, record: PublicationRecord, refused: Refused, *, is_final: bool
    ) -> Sequence[Event]:
        """Return what to tell the API; a withdrawal ends with a final refusal."""
        if not record.is_withdrawn:
            return [PublicationRefused(record.publisher_id, refused.code, refused.detail, is_final)]
        if not is_final:
            return ()
        del self._records[record.publisher_id]
        self.unsettled.discard(record.publisher_id)
        return [Withdrawn((record.publisher_id,))]
