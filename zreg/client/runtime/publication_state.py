"""What a client knows of one of its publications, whether the program keeps its handle or not."""

import os
from typing import Final, Protocol

from zreg.client.core.commands import PublicationRefused, SetPublication
from zreg.client.health.instance_health import (
    UNCHECKED,
    HealthState,
    InstanceHealth,
    WhenUnhealthy,
)
from zreg.client.health.outcome import REASON_CHARACTERS_MAX
from zreg.client.runtime.events.connection_status import ConnectionStatus
from zreg.client.runtime.outgoing_queue import OutgoingQueue
from zreg.client.view.marked import marked_unhealthy, without_weight
from zreg.client.view.values import Payload
from zreg.errors import LimitError
from zreg.model import DataInfoId


class CommandSender(Protocol):
    """What passes commands to the core: a `CoreRunner`."""

    @property
    def outgoing(self) -> OutgoingQueue:
        """The commands that the core has not taken yet."""
        ...

    def publish(self, command: SetPublication) -> None:
        """Publish, or republish under a known id."""
        ...


class Watched(Protocol):
    """What checks the health of one publication."""

    @property
    def health(self) -> InstanceHealth:
        """What is known now."""
        ...

    @property
    def when_unhealthy(self) -> WhenUnhealthy:
        """What becomes of the publication when it is unhealthy."""
        ...


class Drain(Protocol):
    """What drains a publication."""

    @property
    def is_in_process(self) -> bool:
        """Whether its thread runs in this process, and not in the parent of a forked child."""
        ...


# Most publications are never drained.
_NO_DRAINS: Final[frozenset[Drain]] = frozenset()
# No character takes more bytes.
_LONGEST_REASON: Final = "\U0001f480" * REASON_CHARACTERS_MAX


class PublicationState:
    """The newest payload of a publication, and how far it is registered.

    The runtime's lock guards it. It does not refer to the runtime, which refers to it.
    """

    __slots__ = (
        "_connection",
        "_host",
        "_in_children",
        "_is_id_used_up",
        "_lacks_host",
        "_sender",
        "copies",
        "data_info_id",
        "drains",
        "is_left_to_parent",
        "is_registered",
        "is_withdrawn",
        "payload",
        "publisher_id",
        "refusal",
        "watch",
    )

    def __init__(
        self,
        sender: CommandSender,
        connection: ConnectionStatus,
        data_info_id: DataInfoId,
        payload: Payload,
        *,
        in_children: bool = False,
    ) -> None:
        self._in_children = in_children
        # Whether this is a forked child, and the parent still publishes it.
        self.is_left_to_parent = False
        self._sender = sender
        self._connection = connection
        self.data_info_id = data_info_id
        self.payload = payload
        self.publisher_id = os.urandom(16)
        self._host: str | None = None
        # Whether the payload waits for a host that is not known yet.
        self._lacks_host = False
        self.is_withdrawn = False
        # Whether the core has published the id, so that a withdrawal of it is final.
        self._is_id_used_up = False
        self.is_registered = False
        # How many data nodes held it when the registry accepted it last.
        self.copies = 0
        self.refusal: PublicationRefused | None = None
        # What checks its health, if it was published with `health=`.
        self.watch: Watched | None = None
        # Those that drain it now.
        self.drains = _NO_DRAINS

    @property
    def health(self) -> InstanceHealth:
        """What is known of its health."""
        return UNCHECKED if self.watch is None else self.watch.health

    @property
    def is_withheld(self) -> bool:
        """Whether subscribers must not see it now, although the program publishes it."""
        if self.watch is None:
            return False
        state = self.watch.health.state
        return state is HealthState.UNKNOWN or (
            state is HealthState.UNHEALTHY and self.watch.when_unhealthy is WhenUnhealthy.WITHDRAW
        )

    @property
    def needs_host(self) -> bool:
        """Whether an endpoint has no host, so that zreg has to fill in this machine's."""
        return self.payload.needs_host

    def submit(self) -> None:
        """Publish the payload as subscribers may see it now, unless it is withheld.

        If it needs a host that is not known, `on_host_found` does it.
        """
        self.is_registered = self._lacks_host = False
        self.refusal = None
        payload = self.payload
        if self.watch is not None or self.drains:
            if self.is_withheld:
                return
            payload = self._shown(payload)
        body = payload.body
        if payload.needs_host:
            self._host = self._connection.local_host
            self._lacks_host = self._host is None
            if self._host is None:
                return
            body = payload.body_with(self._host)
        self._sender.publish(SetPublication(self.publisher_id, self.data_info_id, body))

    def check_payload(self, payload: Payload) -> None:
        """Raise `UsageError` for a payload that could not be shown in all ways it may have to."""
        if self.watch is not None:
            check_room(payload, self.watch.when_unhealthy)
        if self.drains:
            without_weight(payload)

    def withhold(self) -> None:
        """Note that the registry is to hold it no more for now, and under which id it returns."""
        self.is_registered = self._lacks_host = False
        self.refusal = None
        self._is_id_used_up = self._sender.outgoing.is_in_core(self.publisher_id)
        self.publisher_id = self.id_to_publish_again()
        self._is_id_used_up = False

    def withdraw(self) -> None:
        """Note that it is unpublished."""
        self.is_withdrawn = True
        self.is_registered = False
        self._is_id_used_up = self._sender.outgoing.is_in_core(self.publisher_id)

    def id_to_publish_again(self) -> bytes:
        """Return the id after a withdrawal: a new one if the core was told to withdraw this one."""
        return os.urandom(16) if self._is_id_used_up else self.publisher_id

    def begin_again(self, publisher_id: bytes) -> None:
        """Undo the withdrawal."""
        self.publisher_id = publisher_id
        self._is_id_used_up = self.is_withdrawn = self.is_left_to_parent = False

    def begin_in_child(self) -> bytes | None:
        """Publish again in a forked child and return the new id; None if the parent keeps it."""
        self.is_registered, self.copies = False, 0
        if not self._in_children:
            # The parent's publisher id is the parent's.
            self.is_withdrawn = self.is_left_to_parent = self._is_id_used_up = True
            return None
        # One by another thread of the parent would never end here.
        self.drains = frozenset(drain for drain in self.drains if drain.is_in_process)
        self.begin_again(os.urandom(16))
        self.submit()
        return self.publisher_id

    def on_host_found(self, host: str) -> None:
        """Publish again if the host differs from the last one."""
        if host != self._host:
            self.submit()

    def on_registered(self, copies: int) -> None:
        """Note that the registry holds what the core has; a newer payload may still wait."""
        self.copies = copies
        is_waiting = self._lacks_host or self._sender.outgoing.holds(self.publisher_id)
        self.is_registered = not is_waiting
        self.refusal = None

    def on_refused(self, event: PublicationRefused) -> None:
        """Note the refusal; the registry does not hold what it has no room for."""
        self.refusal = event
        if event.is_final or event.code == LimitError.code:
            self.is_registered = False

    def why_waiting(self) -> str:
        """Return a sentence that says why it is not registered."""
        if self.refusal is not None:
            return (
                f"{self.data_info_id} is not registered yet, the client asks again; the last "
                f"answer was: {self.refusal.detail}"
            )
        if self.is_withheld:
            why = self.health.reason or "its first check has not ended yet"
            return f"{self.data_info_id} is not published now, since it is not healthy: {why}"
        connection = self._connection.why_waiting()
        if self._lacks_host:
            return (
                f"{self.data_info_id} is not registered, since this machine's address is not "
                f"known: {connection}"
            )
        return f"{self.data_info_id} is not registered: {connection}"

    def _shown(self, payload: Payload) -> Payload:
        health = self.health
        if health.state is HealthState.UNHEALTHY:
            return marked_unhealthy(payload, health.reason)
        return without_weight(payload) if self.drains else payload


def check_room(payload: Payload, when_unhealthy: WhenUnhealthy) -> None:
    """Raise `UsageError` if there would be no room to mark the payload as unhealthy."""
    if when_unhealthy is WhenUnhealthy.MARK:
        marked_unhealthy(payload, _LONGEST_REASON)
