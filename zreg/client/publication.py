"""What `Client.publish` returns: one registration, for as long as you want it."""

import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from zreg.client.core.commands import PublicationRefused, SetPublication
from zreg.client.view.values import Payload, Value
from zreg.errors import UsageError, refusal
from zreg.model import DataInfoId

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from zreg.client.runtime.runtime import Runtime


class Publication:
    """One registration. Every method returns at once, except `wait_registered`.

    The last call of `republish` and `unpublish` wins; leaving a `with` block unpublishes.
    """

    def __init__(
        self,
        runtime: "Runtime",
        data_info_id: DataInfoId,
        values: Sequence[Value],
        attributes: Mapping[str, str],
    ) -> None:
        self.data_info_id = data_info_id
        self.publisher_id = os.urandom(16)
        self._runtime = runtime
        # The runtime's lock guards all of these.
        self._payload = Payload(values, attributes, registered_at=time.time_ns() / 1e9)
        self._host: str | None = None
        # Whether the payload waits for a host that is not known yet.
        self._lacks_host = False
        self._is_withdrawn = False
        # Whether the core has published the id, so that a withdrawal of it is final.
        self._is_id_used_up = False
        self._is_registered = False
        self._refusal: PublicationRefused | None = None

    @property
    def values(self) -> tuple[Value, ...]:
        """The values that were published last."""
        return self._payload.values

    @property
    def is_registered(self) -> bool:
        """Whether the registry holds what was published last."""
        return self._is_registered

    def wait_registered(self, timeout_seconds: float = 30.0) -> "Self":
        """Wait until its data node holds it; raise the refusal if the registry refuses it."""
        if not self._is_registered:
            self._runtime.wait(self._is_settled, timeout_seconds, self._why_waiting)
        return self

    def republish(self, *values: Value, attributes: Mapping[str, str] | None = None) -> None:
        """Publish these values in place of the last ones; attributes stay if none are given."""
        self._runtime.check_open()
        with self._runtime.changed:
            attributes = self._payload.attributes if attributes is None else attributes
            payload = Payload(values, attributes, registered_at=time.time_ns() / 1e9)
            if self._is_withdrawn:
                self._begin_anew()
            self._payload = payload
            self.submit()

    def unpublish(self) -> None:
        """Withdraw it from the registry; a second call does nothing."""
        self._runtime.check_open()
        with self._runtime.changed:
            if not self._is_withdrawn:
                self._is_withdrawn = True
                self._is_registered = False
                self._is_id_used_up = self._runtime.outgoing.is_in_core(self.publisher_id)
                self._runtime.withdraw(self.publisher_id)

    def __enter__(self) -> "Self":
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: "type[BaseException] | None",
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        """Unpublish; a closed client, or a forked child, has nothing to withdraw."""
        if self._runtime.is_usable:
            self.unpublish()

    def __repr__(self) -> str:
        """Show the name, the publisher id and the state."""
        state = "registered" if self._is_registered else "pending"
        state = "withdrawn" if self._is_withdrawn else state
        return f"<Publication {self.data_info_id} {self.publisher_id.hex()[:8]} {state}>"

    # --- for the client and the runtime, which hold the lock ---------------------------------

    def submit(self) -> None:
        """Publish the payload; if it needs a host that is not known, `on_host_found` does it."""
        self._is_registered = self._lacks_host = False
        self._refusal = None
        body = self._payload.body
        if self._payload.needs_host:
            self._host = self._runtime.connection.local_host()
            self._lacks_host = self._host is None
            if self._host is None:
                return
            body = self._payload.body_with(self._host)
        self._runtime.publish(SetPublication(self.publisher_id, self.data_info_id, body))

    @property
    def needs_host(self) -> bool:
        """Whether an endpoint has no host, so that zreg has to fill in this machine's."""
        return self._payload.needs_host

    def on_host_found(self, host: str) -> None:
        """Publish again if the host differs from the last one."""
        if host != self._host:
            self.submit()

    def on_registered(self) -> None:
        """Note that the registry holds what the core has; a newer payload may still wait."""
        is_waiting = self._lacks_host or self._runtime.outgoing.holds(self.publisher_id)
        self._is_registered = not is_waiting
        self._refusal = None

    def on_refused(self, event: PublicationRefused) -> None:
        """Note the refusal."""
        self._refusal = event

    # --- helpers ----------------------------------------------------------------------------

    def _begin_anew(self) -> None:
        """Undo `unpublish`; take a new id if the core was told to withdraw this one."""
        if self._is_id_used_up:
            self.publisher_id = os.urandom(16)
            self._is_id_used_up = False
        self._runtime.add_publication(self.publisher_id, self)
        self._is_withdrawn = False

    def _is_settled(self) -> bool:
        if self._is_withdrawn:
            raise UsageError("this publication was unpublished: republish it to wait for it")
        if self._refusal is not None and self._refusal.is_final:
            raise refusal(self._refusal.code, self._refusal.detail)
        return self._is_registered

    def _why_waiting(self) -> str:
        if self._refusal is not None:
            return (
                f"{self.data_info_id} is not registered yet, the client asks again; the last "
                f"answer was: {self._refusal.detail}"
            )
        connection = self._runtime.connection.why_waiting()
        if self._lacks_host:
            return (
                f"{self.data_info_id} is not registered, since this machine's address is not "
                f"known: {connection}"
            )
        return f"{self.data_info_id} is not registered: {connection}"
