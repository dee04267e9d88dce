"""What is the same of a publication on threads and on an event loop: all that does not wait."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from zreg.client.health.instance_health import InstanceHealth
from zreg.client.runtime.health.watch import HealthPlan
from zreg.client.runtime.publication_state import PublicationState, check_room
from zreg.client.runtime.runtime import Runtime
from zreg.client.view.updated import updated
from zreg.client.view.values import Payload, Value
from zreg.errors import UsageError, refusal
from zreg.model import DataInfoId

if TYPE_CHECKING:
    from typing import Unpack

    from zreg.client.view.updated import EndpointChanges


class PublicationHandle:
    """One registration; it keeps its client as long as the program keeps it."""

    __slots__ = ("__weakref__", "_health_plan", "_runtime", "_state")

    def __init__(
        self,
        runtime: Runtime,
        data_info_id: DataInfoId,
        values: Sequence[Value],
        attributes: Mapping[str, str] | None,
        *,
        health: HealthPlan | None = None,
        in_children: bool = False,
    ) -> None:
        self._runtime = runtime
        self._health_plan = health
        payload = Payload(values, attributes, registered_at=time.time_ns() / 1e9)
        if health is not None:
            check_room(payload, health.rules.when_unhealthy)
        # The runtime refers to the state only, so that it does not keep itself.
        self._state = PublicationState(
            runtime.core_runner,
            runtime.connection,
            data_info_id,
            payload,
            in_children=in_children,
        )

    @property
    def data_info_id(self) -> DataInfoId:
        """The id that it is published under."""
        return self._state.data_info_id

    @property
    def publisher_id(self) -> bytes:
        """The random identity of the registration; a new one if it is published again."""
        return self._state.publisher_id

    @property
    def values(self) -> tuple[Value, ...]:
        """The values that were published last."""
        return self._state.payload.values

    @property
    def is_registered(self) -> bool:
        """Whether the registry holds what was published last."""
        return self._state.is_registered

    @property
    def copies(self) -> int:
        """On how many data nodes the registry held it when it was accepted; 0 if it is not."""
        return self._state.copies if self._state.is_registered else 0

    @property
    def health(self) -> InstanceHealth:
        """What is known of its health, and why its last check failed."""
        return self._state.health

    def submit(self) -> None:
        """Publish for the first time. Needs the runtime's lock."""
        state = self._state
        self._runtime.add_publication(state.publisher_id, state)
        if self._health_plan is not None:
            self._runtime.health.watch(state, self._health_plan)
        state.submit()

    def republish(self, *values: Value, attributes: Mapping[str, str] | None = None) -> None:
        """Publish these values in place of the last ones; attributes stay if none are given."""
        runtime, state = self._runtime, self._state
        runtime.lifecycle.check_open()
        attributes = state.payload.attributes if attributes is None else attributes
        # Before the lock is taken: a mapping may be the user's own code.
        payload = Payload(values, attributes, registered_at=time.time_ns() / 1e9)
        state.check_payload(payload)
        with runtime.changed:
            if state.is_withdrawn:
                publisher_id = state.id_to_publish_again()
                runtime.add_publication(publisher_id, state)
                state.begin_again(publisher_id)
                if state.watch is not None:
                    runtime.health.resume(state)
            state.payload = payload
            state.submit()

    def update(
        self,
        *,
        attributes: Mapping[str, str] | None = None,
        **fields: "Unpack[EndpointChanges]",
    ) -> None:
        """Change fields of the endpoints that are published, and keep all else.

        The names of the fields are those of `zreg.Endpoint`. Attributes, if they are given, replace
        all former ones.
        """
        runtime, state = self._runtime, self._state
        runtime.lifecycle.check_open()
        while True:
            former = state.payload
            payload = updated(former, attributes, fields)
            state.check_payload(payload)
            with runtime.changed:
                if state.is_withdrawn:
                    raise UsageError(
                        "this publication was unpublished: republish it with all its values"
                    )
                # Another thread may have republished it meanwhile.
                if state.payload is former:
                    state.payload = payload
                    state.submit()
                    return

    def unpublish(self) -> None:
        """Withdraw it from the registry; a second call does nothing."""
        runtime, state = self._runtime, self._state
        runtime.lifecycle.check_open()
        with runtime.changed:
            if not state.is_withdrawn:
                state.withdraw()
                runtime.withdraw(state.publisher_id)
                if state.watch is not None:
                    runtime.health.pause(state)

    def __repr__(self) -> str:
        """Show the name, the publisher id and the state, and what ended its client."""
        state = "registered" if self._state.is_registered else "pending"
        state = self._state.health.state.value if self._state.is_withheld else state
        state = "withdrawn" if self._state.is_withdrawn else state
        state = "of the parent process" if self._state.is_left_to_parent else state
        state = self._runtime.lifecycle.why_closed() or state
        return f"<Publication {self.data_info_id} {self.publisher_id.hex()[:8]} {state}>"

    def _is_settled(self) -> bool:
        state = self._state
        if state.is_left_to_parent:
            raise UsageError(
                "this publication is the parent's of this forked process: republish it to publish "
                "it here as well, or publish with in_children=True"
            )
        if state.is_withdrawn:
            raise UsageError("this publication was unpublished: republish it to wait for it")
        if state.refusal is not None and state.refusal.is_final:
            raise refusal(state.refusal.code, state.refusal.detail)
        return state.is_registered
